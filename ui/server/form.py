"""What the studio accepts. Every handler checks its inputs here, on the server, whatever the browser says.

The page's own sliders and fields keep most visitors inside these bounds, but each handler can also be called
directly over HTTP, so nothing that arrives is trusted: not its type, not its range, not its length. A value
that is refused raises `Refused` with one sentence that says what is wrong and what would be right.
"""

import math
import unicodedata
from dataclasses import dataclass, replace
from typing import Any

PROMPT_CHARACTERS = 500
SEED_LAST = 2**32 - 1
ORDERS = ("confidence", "halton", "entropy", "margin", "random", "threshold")
SCHEDULES = ("cosine", "linear", "arccos", "shift")
EDIT_MODES = ("overwrite", "remask")


@dataclass(frozen=True)
class Bound:
    """One number of the form: its name for people, its inclusive range, its default, its slider's step."""

    name: str
    low: float
    high: float
    default: float
    step: float = 1

    @property
    def whole(self) -> bool:
        """True where only whole numbers make sense."""
        return all(float(x).is_integer() for x in (self.low, self.high, self.default, self.step))


STEPS = Bound("Steps", 1, 64, 12)
GUIDANCE = Bound("Guidance", 0, 20, 1.5, 0.5)
TEMPERATURE = Bound("Temperature", 0.05, 2, 0.4, 0.05)
GUMBEL = Bound("Order noise", 0, 20, 1, 0.5)
EDIT_THRESHOLD = Bound("Edit threshold", 0, 1, 0.3, 0.01)
EDIT_MARGIN = Bound("Edit margin", 0, 1, 0, 0.01)
EDIT_BUDGET = Bound("Edit budget", 0, 1, 0.15, 0.01)
POLISH = Bound("Polish passes", 0, 8, 4)
SEED = Bound("Seed", 0, SEED_LAST, 0)


def of_model(bound: Bound, default: Any) -> Bound:
    """`bound` with the opened model's own default, where that is a number inside it."""
    usable = isinstance(default, (int, float)) and not isinstance(default, bool)
    if not usable or not bound.low <= default <= bound.high or (bound.whole and default != int(default)):
        return bound
    return replace(bound, default=default)


class Refused(ValueError):
    """An input the studio will not run. Its text is one sentence for the visitor."""


@dataclass(frozen=True)
class RunSettings:
    """A checked request for one picture; `sampler()` gives the keywords of `Pipeline.stream`."""

    prompt: str
    seed: int
    steps: int
    guidance: float
    temperature: float
    order: str
    schedule: str
    gumbel: float
    edit: str
    edit_threshold: float
    edit_margin: float
    edit_budget: float
    polish: int

    def sampler(self) -> dict[str, Any]:
        """Keyword arguments for `Pipeline.stream(prompt, **kwargs)`."""
        return {name: value for name, value in vars(self).items() if name != "prompt"}


def number(value: Any, bound: Bound) -> float | int:
    """The value as a number inside `bound`; Refused when it is none, or broken where it must be whole."""
    low, high = f"{bound.low:,g}" if bound.high < 1e6 else f"{bound.low:,.0f}", _written(bound.high)
    advice = f"{bound.name} must be a {'whole ' if bound.whole else ''}number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused(f"{advice}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(f"{advice}.")
    if bound.whole and value != int(value):
        raise Refused(f"{advice}.")
    if not bound.low <= value <= bound.high:
        raise Refused(f"{advice}; {_written(value)} is outside.")
    return int(value) if bound.whole else float(value)


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
        raise Refused(
            "Type what you would like to see first, for example: three strawberries on a teal background."
        )
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


def check_run(
    text: Any,
    seed: Any,
    steps: Any,
    guidance: Any,
    editing: Any,
    temperature: Any,
    order: Any,
    schedule: Any,
    gumbel: Any,
    edit_mode: Any,
    edit_threshold: Any,
    edit_margin: Any,
    edit_budget: Any,
    polish: Any,
) -> RunSettings:
    """Checks everything a run needs, in the order of the page; Refused at the first thing wrong."""
    words = prompt(text)
    numbers = {
        "seed": number(seed, SEED),
        "steps": number(steps, STEPS),
        "guidance": number(guidance, GUIDANCE),
        "temperature": number(temperature, TEMPERATURE),
        "gumbel": number(gumbel, GUMBEL),
        "edit_threshold": number(edit_threshold, EDIT_THRESHOLD),
        "edit_margin": number(edit_margin, EDIT_MARGIN),
        "edit_budget": number(edit_budget, EDIT_BUDGET),
        "polish": number(polish, POLISH),
    }
    mode = choice(edit_mode, EDIT_MODES, "Edit mode")
    return RunSettings(
        prompt=words,
        order=choice(order, ORDERS, "Order"),
        schedule=choice(schedule, SCHEDULES, "Schedule"),
        edit=mode if switch(editing, "Editing") else "off",
        **numbers,
    )


def _written(value: float) -> str:
    """A number for people: 4,294,967,295 rather than 4.29497e+09; huge ones stay short."""
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,g}"
