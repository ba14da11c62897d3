"""The chapter on one step: what the model read, how large it is, and what it thought of a cell, guided and not."""

from collections.abc import Callable, Mapping
from typing import Any

from mdm_core.explain import outlook as core
from ui.assemble import markup
from ui.inspector import lookups
from ui.inspector.lookups import Lookups, pairs, patches
from ui.server.studio import answered
from ui.stage.component import Static

TOP = 6  # tokens of a cell that are told
SIZES = ("depth", "width", "heads", "ffn", "resample")  # of the transformer, by their names in the card


def pieces(pipe: Any, prompt: str) -> list[str] | None:
    """The prompt as the model's text tokens, a space shown as one; None where the model keeps that to itself."""
    bpe = getattr(pipe.prompts, "bpe", None)
    if bpe is None:
        return None
    found = bpe.encode(prompt)
    return [bpe.decode([one], skip_special_tokens=False) or "·" for one in found.ids]


def sizes(facts: Any) -> dict[str, int]:
    """How large the transformer is, as far as its card tells."""
    recipe = facts.card.get("recipe")
    model = recipe.get("model") if isinstance(recipe, Mapping) else None
    told = {**(model if isinstance(model, Mapping) else {}), "parameters": facts.card.get("parameters")}
    kept = {name: told.get(name) for name in (*SIZES, "parameters")}
    return {name: n for name, n in kept.items() if isinstance(n, int) and not isinstance(n, bool)}


class OneStep:
    """Bound to the look-ups of one studio."""

    def __init__(self, seen: Lookups) -> None:
        self.seen = seen

    def about(self, data: Any) -> dict[str, Any]:
        """{"run": id} -> {"pieces": [text, ...] or null, "sizes": {name: n}}"""
        studio = self.seen.studio
        run = studio.store.get(data.get("run") if isinstance(data, dict) else None)
        return {"pieces": pieces(studio.pipe, run.prompt), "sizes": sizes(studio.pipe.facts)}

    def chances(self, data: Any) -> dict[str, Any]:
        """{"run", "step", "cell"} -> {"guidance", "with": [[id, p], ...], "without": the same or null, "patches"}."""
        run, step, cell = self.seen.find(data)
        pipe, held = self.seen.studio.pipe, int(run.records[step].tokens[cell])
        guidance = float(run.request.sampler()["guidance"])
        top = min(TOP, run.vocab)

        def likeliest(guided: bool) -> list[list[float]]:
            told = self.seen.outlook(run, step, guided).candidates(cell, held, top)
            return pairs(told.ids, told.probabilities)

        guided = likeliest(True)
        plain = likeliest(False) if guidance else None
        ids = list(dict.fromkeys(int(i) for i, _ in [*guided, *(plain or [])]))
        return {
            "guidance": guidance,
            "with": guided,
            "without": plain,
            "patches": patches(ids, core.patches_in_place(pipe, run.records[step].tokens, cell, ids)),
        }


def functions(studio: Any) -> list[Callable[..., Any]]:
    """What learn/onestep/onestep.js may call."""
    bound = OneStep(lookups.of(studio))

    def about(data: Any) -> dict[str, Any]:
        """See `OneStep.about`."""
        return answered(lambda: bound.about(data))

    def chances(data: Any) -> dict[str, Any]:
        """See `OneStep.chances`."""
        return answered(lambda: bound.chances(data))

    return [about, chances]


def put(studio: Any) -> None:
    """Places the chapter; parts of others stand below it, as sections with its data-chapter and a data-part."""
    Static(
        markup("learn/onestep/onestep.html"), "onestep", elem_id="onestep", server_functions=functions(studio)
    )
