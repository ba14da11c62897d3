"""What the studio accepts. Every handler checks its inputs here, on the server, whatever the browser says.

The page's own sliders and fields keep most visitors inside these bounds, but each handler can also be called
directly over HTTP, so nothing that arrives is trusted: not its type, not its range, not its length. A value
that is refused raises `Refused` with one sentence that says what is wrong and what would be right.

The form is the prompt, the seed, and the controls of all settings that are declared in `mdm_core.settings`. What a
form leaves out is as the opened model has it.
"""

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from mdm_core.declared import WHERE, Control
from mdm_core.pipeline import MAX_PROMPT
from mdm_core.settings import MAX_SEED, SEED, SETTINGS, SampleConfig, passes

PROMPT_CHARACTERS = MAX_PROMPT
SEED_LAST = MAX_SEED


def _ordered() -> dict[str, Control]:
    """All controls by name: those that are met at once come first, the deepest folded away last."""
    every = [control for name, setting in SETTINGS.items() for control in setting.controls(name)]
    shown = [control for where in WHERE if where != "nowhere" for control in every if control.where == where]
    return {control.name: control for control in shown}


CONTROLS: Mapping[str, Control] = MappingProxyType(_ordered())
(SEED_CONTROL,) = SEED.controls("seed")
(EDITING,) = (one.name for one in SETTINGS["edit"].controls("edit") if one.switch)
# The form's values by name, in the order of the page's inputs and of the endpoint's parameters.
FIELDS = ("prompt", "seed", *CONTROLS)


class Refused(ValueError):
    """An input the studio will not run. Its text is one sentence for the visitor."""


@dataclass(frozen=True)
class RunSettings:
    """A checked request for one picture: `chosen` holds fields of `SampleConfig`; others are as the model has them.

    Those that count forward passes are always among them.
    """

    prompt: str
    seed: int
    chosen: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """Steps that set masked tokens."""
        return int(self.chosen["steps"])

    @property
    def passes(self) -> int:
        """Forward passes at most."""
        return passes(self.chosen)

    def sampler(self) -> dict[str, Any]:
        """Keyword arguments for `Pipeline.stream(prompt, **kwargs)`."""
        return {"seed": self.seed, **self.chosen}

    def having(self, **changes: Any) -> "RunSettings":
        """With other values of these settings, which are checked already."""
        return replace(self, chosen={**self.chosen, **changes})


# ---- values ---------------------------------------------------------------------------------------------------


def number(value: Any, control: Control) -> float | int:
    """The value as a number inside the control's range; Refused when it is none, or broken where it must be whole."""
    advice = (
        f"{control.label} must be a {'whole ' if control.whole else ''}number from {_written(control.low)} "
        f"to {_written(control.high)}"
    )
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(f"{advice}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{advice}.")
    if control.whole and value != int(value):
        raise Refused(f"{advice}.")
    if not control.low <= value <= control.high:
        raise Refused(f"{advice}; {_written(value)} is outside.")
    return int(value) if control.whole else float(value)


def prompt(value: Any) -> str:
    """The prompt as plain text on one line; Refused when empty, too long or not valid text."""
    if not isinstance(value, str):
        raise Refused("The prompt must be text.")
    if len(value) > PROMPT_CHARACTERS:
        raise Refused(
            f"Prompts can be up to {PROMPT_CHARACTERS} characters long, this one has {len(value):,}: "
            "shorten it a little."
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(
            "The prompt holds a character that is not valid text: delete it and try again."
        ) from None
    # Control characters never belong to a prompt, they come from careless copying: they count as spaces.
    spaced = "".join(" " if unicodedata.category(c) == "Cc" else c for c in value)
    words = " ".join(spaced.split())
    if not words:
        raise Refused("Type what you would like to see first.")
    return words


def choice(value: Any, allowed: tuple[str, ...], name: str) -> str:
    """The value when it is one of `allowed`; Refused otherwise."""
    if not isinstance(value, str) or value not in allowed:
        raise Refused(f"{name} must be one of: {', '.join(allowed)}.")
    return value


def switch(value: Any, name: str) -> bool:
    """The value when it is a true bool; Refused otherwise."""
    if not isinstance(value, bool):
        raise Refused(f"{name} must be on or off.")
    return value


def control(value: Any, of: Control) -> Any:
    """What a control says, checked; Refused in one sentence."""
    if of.switch:
        return switch(value, of.label)
    return choice(value, of.choices, of.label) if of.choices else number(value, of)


# ---- settings -------------------------------------------------------------------------------------------------


def setting(name: str, told: Mapping[str, Any]) -> Any:
    """The value of one setting from what its controls say; Refused in one sentence."""
    declared = SETTINGS[name]
    said = {one.name: control(told.get(one.name), one) for one in declared.controls(name)}
    try:
        return declared.check(name, declared.meant(name, said))
    except ValueError:  # each control is within its range: it is how they go together
        raise Refused(declared.together or f"{declared.label} must be {declared.range}.") from None


def taken(name: str, value: Any) -> Any:
    """The value of one setting as a link or a file tells it, within the page's own range; Refused in one sentence."""
    declared = SETTINGS[name]
    if declared.controls(name):
        return setting(name, declared.shown(name, value))
    try:
        return declared.check(name, value)
    except ValueError:
        raise Refused(f"{declared.label} must be {declared.range}.") from None


def check_run(text: Any, seed: Any = None, **told: Any) -> RunSettings:
    """Checks everything a run needs, in the order of the page; Refused at the first thing wrong.

    `told` holds what the controls say, by their names. A setting of which no control is there is left to the model,
    but not one that says how long the run takes.
    """
    words = prompt(text)
    known = int(number(seed, SEED_CONTROL))
    if unknown := sorted(set(told) - set(CONTROLS)):
        raise Refused(f"The form has no field {unknown[0][:40]!r}.")
    chosen = {}
    for name, declared in SETTINGS.items():
        mine = [one.name for one in declared.controls(name)]
        if declared.passes or any(one in told for one in mine):
            chosen[name] = setting(name, told)
    return RunSettings(words, known, chosen)


def shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the controls of these settings show."""
    out: dict[str, Any] = {}
    for name, value in settings.items():
        if name in SETTINGS:
            out |= SETTINGS[name].shown(name, value)
    return {name: value for name, value in out.items() if name in CONTROLS}


def allowed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings: a model's own where the page takes them, the library's defaults for the rest."""
    out = {}
    for one in fields(SampleConfig):
        try:
            out[one.name] = taken(one.name, settings.get(one.name, one.default))
        except Refused:
            out[one.name] = one.default
    return out


def able(values: Mapping[str, Any], facts: Any) -> dict[str, Any]:
    """What controls show for a model: sliders no further than they go, and editing off where the model was never
    trained to doubt a token that is set."""
    if facts is None:
        return dict(values)
    ending = {one.name for one in CONTROLS.values() if one.ends}
    shown = {
        name: min(v, highest(CONTROLS[name], facts)) if name in ending else v for name, v in values.items()
    }
    return shown if facts.revises else {**shown, EDITING: False}


def highest(of: Control, facts: Any) -> float:
    """Where the slider of a control ends."""
    return min(of.high, getattr(facts, of.ends)) if of.ends else of.high


def defaults(pipe: Any) -> dict[str, Any]:
    """All settings as the opened model has them, as far as the page takes them."""
    facts = getattr(pipe, "facts", None)
    return allowed(facts.defaults if facts is not None else {})


def _written(value: float) -> str:
    """A number for people: 4,294,967,295 rather than 4.29497e+09; huge ones stay short."""
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,g}"
