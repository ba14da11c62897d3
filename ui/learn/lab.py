"""The self-correction lab: break a share of a finished picture's tokens, then let the model look again, or not.

What is counted is exact: of the broken tokens, how many came back to precisely the id they had; and of the whole
ones, how many were changed. The broken places and their wrong tokens depend on the seed alone.
"""

import logging
from collections.abc import Generator, Iterator
from typing import Any

import gradio as gr
import numpy as np

from mdm_core.diffusion import wrong
from mdm_core.settings import HEAL
from ui.assemble import markup
from ui.inspector.lookups import whole
from ui.server.form import SEED_LAST, Refused
from ui.server.runs import Run
from ui.server.studio import BROKEN, over, session_of, told
from ui.stage.component import Live

log = logging.getLogger("chisel")

SHARES = (5, 10, 20)  # per cent of the tokens


class Lab:
    """Bound to one studio."""

    def __init__(self, studio: Any) -> None:
        self.studio = studio

    def heal(self, event: gr.EventData, request: gr.Request) -> Iterator[dict[str, Any]]:
        """Streams the lab's message; {"run": id, "share": per cent, "seed": n} comes with the event.

        {"state": "waiting" | "healing" | "done" | "stopped", "share", "columns", "broken": [cell, ...], "passes",
        "off": [cell, ...], "on": [cell, ...] (repaired cells), "harmed": n, "pictures": {"whole", "broken",
        "off", "on"}}; or {"error": sentence}.
        """
        try:
            run, share, seed = self.check(told(event, "run", "share", "seed"))
            ticket = self.studio.line.join(session_of(request) or f"nobody {id(event)}")
        except Refused as error:
            yield {"error": str(error)}
            return
        except Exception:
            log.exception("the lab could not start")
            yield {"error": BROKEN}
            return
        with ticket:
            for _ in ticket.places():
                yield {"state": "waiting"}
            if ticket.cancelled:
                yield {"state": "stopped"}
                return
            try:
                yield from ticket.at_work(self.heals(run, share, seed, ticket))
            except Exception:
                log.exception("the lab failed")
                yield {"error": BROKEN}

    def check(self, data: Any) -> tuple[Run, int, int]:
        """Run, share and seed; Refused where the picture is unfinished or a value out of place."""
        data = data if isinstance(data, dict) else {}
        share, seed = data.get("share"), whole(data.get("seed", 0), SEED_LAST, "seed")
        if isinstance(share, bool) or share not in SHARES:
            raise Refused(f"The lab breaks {', '.join(map(str, SHARES))} % of the tokens.")
        if data.get("run") is None:
            raise Refused("Make a picture first: the lab breaks a finished one.")
        run = self.studio.store.get(data["run"])
        if run.state == "running" or not run.records or (run.records[-1].tokens == run.vocab).any():
            raise Refused("The picture is not finished: let every token be set first.")
        return run, int(share), seed

    def heals(self, run: Run, share: int, seed: int, ticket: Any) -> Generator[dict[str, Any], None, None]:
        """Break, look again without editing and with it, count after every pass."""
        pipe = self.studio.pipe
        tokens = run.records[-1].tokens.astype(np.int64)
        where, broken = break_some(tokens, share, seed, run.vocab)
        pictures = {"whole": self.studio.picture(run, tokens), "broken": self.studio.picture(run, broken)}
        told = {"share": share, "broken": where.tolist(), "passes": 0, "harmed": 0, "pictures": pictures}
        told["columns"] = run.grid[1]
        settings = {**run.request.sampler(), **HEAL, "seed": seed}

        def fixed(after: np.ndarray) -> list[int]:
            return where[after[where] == tokens[where]].tolist()

        def looked_at_again(edit: str) -> Generator[Any, None, None]:
            start = broken.reshape(run.grid)
            return pipe.stream(run.prompt, **{**settings, "edit": edit}, tokens=start)

        for record in looked_at_again("off"):  # no masks and no editing: nothing is ever asked again
            off = record.tokens
        told["off"], pictures["off"] = fixed(off), self.studio.picture(run, off)
        told["on"], pictures["on"] = [], pictures["broken"]
        yield {**told, "state": "healing"}
        records = looked_at_again("overwrite")
        try:
            for record in records:
                whole_before = np.setdiff1d(np.arange(run.cells), where)
                told["on"], told["passes"] = fixed(record.tokens), int(record.step)
                told["harmed"] = int((record.tokens[whole_before] != tokens[whole_before]).sum())
                told["pictures"] = {**pictures, "on": self.studio.picture(run, record.tokens)}
                if ticket.cancelled and not over(record, run.vocab, records):
                    yield {**told, "state": "stopped"}
                    return
                yield {**told, "state": "healing"}
        finally:
            records.close()
        yield {**told, "state": "done"}


def put(studio: Any) -> None:
    """Places the lab, a chapter of Learn."""
    piece = Live(markup("learn/lab.html"), "lab", events=("heal",), elem_id="lab")
    piece.heal(
        Lab(studio).heal,
        None,
        piece,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="once",
        concurrency_id="lab",
        concurrency_limit=None,  # each enters its handler at once and waits in studio.line
    )


def break_some(tokens: np.ndarray, share: int, seed: int, vocab: int) -> tuple[np.ndarray, np.ndarray]:
    """(cells, tokens after): `share` per cent of the cells broken; which, and to what, depends on the seed alone."""
    return wrong.break_some(tokens, share / 100, vocab, np.random.default_rng([seed, share]))
