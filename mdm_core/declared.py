"""What a setting can be: a number, one of some words, a window. Each kind says itself what its values are.

A setting checks a value, has the controls that a form shows for it, and the flag of a command line. The settings
themselves stand in `mdm_core.settings`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mdm_core.checks import is_real, is_whole, own, real_number, whole_number

# Where a form shows a setting: at once, in its fold for the advanced, in that fold's own fold, or not at all.
WHERE = ("main", "advanced", "more", "nowhere")


@dataclass(frozen=True)
class Control:
    """One control of a form: a slider (low..high in steps), a list of `choices`, or a switch.

    `needs` = (name of another control, its values) for which this one matters at all. `ends` names the fact of an
    opened model (`mdm_core.facts`) at which a slider ends before `high`; what lies beyond means the same as its end.
    `slide` is where it ends for every model: what lies beyond may be told all the same.
    """

    name: str
    label: str
    help: str
    where: str
    low: float = 0
    high: float = 1
    step: float = 1
    whole: bool = False
    choices: tuple[str, ...] = ()
    switch: bool = False
    needs: tuple[str, tuple[str, ...]] | None = None
    slide: float | None = None
    ends: str = ""


@dataclass(frozen=True, kw_only=True)
class Setting(ABC):
    """What a setting is called and where it is met; the kinds below say what it may be.

    passes: it counts forward passes of the model, so it is what a run costs.
    together: what to tell a visitor whose controls, each within its range, make no value together.
    """

    label: str
    help: str
    where: str = "advanced"
    passes: bool = False
    needs: tuple[str, tuple[str, ...]] | None = None
    together: str = ""

    @abstractmethod
    def check(self, name: str, value: Any) -> Any:
        """`value` as the sampler takes it; ValueError names the setting, its range and the value in one sentence."""

    @abstractmethod
    def controls(self, name: str) -> tuple[Control, ...]:
        """The controls that a form has for it; together they say its value."""

    def shown(self, name: str, value: Any) -> dict[str, Any]:
        """What its controls show for `value`, whatever that is."""
        return {name: value}

    def meant(self, name: str, told: Mapping[str, Any]) -> Any:
        """The value that its controls mean."""
        return told[name]

    @abstractmethod
    def flag(self) -> dict[str, Any]:
        """What `ArgumentParser.add_argument` must know besides name and help."""

    @property
    @abstractmethod
    def range(self) -> str:
        """What it may be, in words."""


@dataclass(frozen=True, kw_only=True)
class Number(Setting):
    """A number from `low` (or `above` it) to `high` (None: no bound); a form's slider may be narrower: `page`, `ends`,
    `slide`.

    optional: None is allowed and switches it off; a slider then shows `off` for it.
    """

    low: float
    high: float | None
    step: float = 1
    whole: bool = False
    above: bool = False
    page: tuple[float, float] | None = None
    slide: float | None = None
    ends: str = ""
    optional: bool = False
    off: float = 0

    def check(self, name: str, value: Any) -> Any:
        value = own(value)
        if value is None and self.optional:
            return None
        if self.high is not None and not self.above:
            if self.whole:
                return whole_number(name, value, int(self.low), int(self.high))
            return real_number(name, value, self.low, self.high)
        right = is_whole(value) if self.whole else is_real(value)
        right = right and (value > self.low if self.above else value >= self.low)
        if not right or (self.high is not None and not value <= self.high):
            raise ValueError(f"{name} must be {self.range}, got {value!r}")
        return value

    @property
    def range(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            return f"above {self.low:g}" + ("" if self.high is None else f" and at most {self.high:g}")
        return f"{kind} of {self.low:g} or more" if self.high is None else f"{self.low:g} to {self.high:.15g}"

    def controls(self, name: str) -> tuple[Control, ...]:
        low, high = self.page or (self.low, self.low if self.high is None else self.high)
        text = f"{self.help} {self.off:g} switches it off." if self.optional else self.help
        span = (low, high, self.step, self.whole)
        return (
            Control(
                name,
                self.label,
                text,
                self.where,
                *span,
                needs=self.needs,
                ends=self.ends,
                slide=self.slide,
            ),
        )

    def shown(self, name: str, value: Any) -> dict[str, Any]:
        return {name: self.off if value is None and self.optional else value}

    def meant(self, name: str, told: Mapping[str, Any]) -> Any:
        return None if self.optional and told[name] == self.off else told[name]

    def flag(self) -> dict[str, Any]:
        kind: Callable[[str], Any] = int if self.whole else float
        metavar = "N" if self.whole else "X"
        if not self.optional:
            return {"type": kind, "metavar": metavar}

        def value(text: str) -> Any:
            return None if text == "off" else kind(text)

        value.__name__ = kind.__name__  # argparse names it where the text is none
        return {"type": value, "metavar": f"{metavar}|off"}


@dataclass(frozen=True, kw_only=True)
class Choice(Setting):
    """One of `choices`. Where one of them is `off`, a form has a switch of the name `switch` for it, which is met at
    once, and a list of the others under the name `mode`."""

    choices: tuple[str, ...]
    off: str = ""
    switch: str = ""
    switch_label: str = ""
    switch_help: str = ""
    mode: str = ""

    def check(self, name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in self.choices:
            raise ValueError(f"{name} must be {self.range}, got {value!r}")
        return str(value)

    def controls(self, name: str) -> tuple[Control, ...]:
        others = tuple(choice for choice in self.choices if not self.off or choice != self.off)
        pick = Control(self.mode or name, self.label, self.help, self.where, choices=others, needs=self.needs)
        if not self.off:
            return (pick,)
        return (Control(self.switch, self.switch_label, self.switch_help, "main", switch=True), pick)

    def shown(self, name: str, value: Any) -> dict[str, Any]:
        if not self.off:
            return {name: value}
        first = next(choice for choice in self.choices if choice != self.off)
        return {self.switch: value != self.off, self.mode: first if value == self.off else value}

    def meant(self, name: str, told: Mapping[str, Any]) -> Any:
        if not self.off:
            return told[name]
        return told[self.mode] if told[self.switch] else self.off

    def flag(self) -> dict[str, Any]:
        return {"choices": self.choices}

    @property
    def range(self) -> str:
        return f"one of {', '.join(self.choices)}"


@dataclass(frozen=True, kw_only=True)
class Window(Setting):
    """Two rising numbers within 0..1; a form has a slider for each end, under the names `ends`."""

    ends: tuple[str, str]
    end_labels: tuple[str, str]
    end_helps: tuple[str, str]

    def check(self, name: str, value: Any) -> Any:
        value = value.tolist() if hasattr(value, "tolist") else value
        ends = tuple(map(own, value)) if isinstance(value, tuple | list) else ()
        if not (len(ends) == 2 and all(map(is_real, ends)) and 0 <= ends[0] <= ends[1] <= 1):
            raise ValueError(f"{name} must be {self.range}, got {value!r}")
        return ends

    def controls(self, name: str) -> tuple[Control, ...]:
        named = zip(self.ends, self.end_labels, self.end_helps, strict=True)
        return tuple(
            Control(end, label, text, self.where, 0, 1, 0.05, needs=self.needs) for end, label, text in named
        )

    def shown(self, name: str, value: Any) -> dict[str, Any]:
        both = value if isinstance(value, tuple | list) and len(value) == 2 else (None, None)
        return dict(zip(self.ends, both, strict=True))

    def meant(self, name: str, told: Mapping[str, Any]) -> Any:
        return told[self.ends[0]], told[self.ends[1]]

    def flag(self) -> dict[str, Any]:
        return {"type": float, "nargs": 2, "metavar": ("FROM", "TO")}

    @property
    def range(self) -> str:
        return "two rising numbers within 0..1"
