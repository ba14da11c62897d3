"""The chapters of Learn in the order in which they are told: one entry for each, whoever wrote it.

A chapter is a section of the page (`<section class="cz-chapter" data-chapter="its name">`) that drives the stage on the
visitor's own picture. `put` places its components, one or several; each one's template is such a section, and the place
(learn/place) shows all sections that bear the chosen chapter's name. Their scripts stand in learn/chapters.js, and hear
`stage.on("chapter", (name) => ...)` when a chapter is opened, with "" when Learn is left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mdm_core.diffusion import corruption, schedule, step
from mdm_core.facts import Facts
from mdm_core.ops.gce import reference
from ui import opened
from ui.learn import explorer, lab
from ui.learn.attention import attention
from ui.learn.forward import forward
from ui.learn.one_token import one_token
from ui.learn.onestep import onestep
from ui.learn.sampler import game


@dataclass(frozen=True)
class Chapter:
    """One chapter, for the models that it makes sense for."""

    name: str  # in the page's address and in files
    short: str  # on its tab
    title: str
    put: Callable[[Any], None]  # places its components, given the studio
    suits: Callable[[Facts], bool] = lambda facts: True
    formula: str = ""  # a file of HTML with MathML, "" for none
    code: tuple[Callable[..., Any], ...] = ()  # what the page shows as the code behind it


def _one_step(studio: Any) -> None:
    onestep.put(studio)
    attention.put(studio)


CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        "token",
        "Tokens",
        "What a token is",
        one_token.put,
        formula="learn/one_token/formula.html",
        code=(one_token.digits,),
    ),
    Chapter(
        "forward",
        "Noise",
        "Masks and flips",
        forward.put,
        formula="learn/forward/formula.html",
        code=(corruption.corrupt, schedule.mask_ratio),
    ),
    Chapter(
        "step",
        "One step",
        "One step of the model",
        _one_step,
        formula="learn/onestep/formula.html",
        code=(step.denoise, step.choose, step.commit_quota, step.commit_order),
    ),
    Chapter(
        "sampler",
        "You decide",
        "You are the sampler",
        game.put,
        formula="learn/onestep/formula.html",
        code=(step.choose, step.commit_order, step.carry_out),
    ),
    Chapter(
        "editing",
        "Second thoughts",
        "Changing its mind",
        lab.put,
        opened.has_lab,
        formula="learn/edit_formula.html",
        code=(step.edit_candidates, step.choose_edits),
    ),
    Chapter(
        "neighbours",
        "Neighbours",
        "Why neighbours deserve credit",
        explorer.put,  # hidden by the browser where the opened model's codes have no neighbours
        formula="learn/gce_formula.html",
        code=(reference.row_losses, reference.membership),
    ),
)


def suiting(facts: Facts) -> tuple[Chapter, ...]:
    """The chapters that make sense for a model."""
    return tuple(chapter for chapter in CHAPTERS if chapter.suits(facts))
