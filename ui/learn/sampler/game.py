"""You are the sampler: a visitor decides at every step which cells are set, and the model looks again.

A run that is decided by hand is kept like any other, with the tab's own, and grows by one record for each decision;
going back and deciding anew begins another run with the records so far. All else follows from the records (see
`mdm_core.explain.by_hand`). What a step offers is computed from the look-ups' kept pass, so that another temperature
costs no pass.

What goes to the browser about the coming step, `k` of it; arrays as in `ui.server.frames`:

    {"state": "turn" | "over", "run": id, "k": step, "phase": "unmask" | "polish", "steps": planned, "seed", "prompt",
     "grid": [h, w], "vocab": V, "image": picture so far, "guess": picture of every drawn token, "tokens": i32 [L],
     "drawn": i32 [L], "p": u16 [L], "order": u16 [m], "chance": u16 [m], "commits": u16 [n], "edits": i32 [e * 3],
     "temperature": t, "form": {...}}

`over` has, in place of what a step would offer, the run's closing `message` for the stage. A look-up at another
temperature answers with the same, without the picture so far.
"""

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from mdm_core.explain.by_hand import ByHand, Turn
from mdm_core.explain.outlook import Outlook
from ui.assemble import markup
from ui.export import envelope, gamelink
from ui.export.gamelink import GameLink
from ui.inspector import lookups
from ui.inspector.lookups import whole
from ui.server import form as limits
from ui.server.form import Refused, RunSettings
from ui.server.frames import fixed_point, pack
from ui.server.line import Ticket
from ui.server.runs import MAX_RECORDS, Request, Run
from ui.server.studio import BROKEN, answered, complaint, made_by, session_of, told
from ui.stage.component import Live

log = logging.getLogger("chisel")

KIND = "hand"
WRONG = "The page sent something that the studio does not understand: reload the page and try again."
OVER = "This picture is done: go back to an earlier step, or begin anew."
UNFIT = "The next choice of this link does not fit what the model offers here: go on by your own."
FULL = (
    f"A picture can have up to {MAX_RECORDS} steps: go back to an earlier one and set more cells at a time."
)


class Game:
    """Bound to one studio."""

    def __init__(self, studio: Any) -> None:
        self.studio = studio
        self.lookups = lookups.of(studio)

    # ---- events: they wait in line, as all do that ask the model ------------------------------------------

    def decide(self, event: gr.EventData, request: gr.Request) -> Iterator[dict[str, Any]]:
        """Streams what comes next, or {"error": sentence}; one of these comes with the event:

        {"form": {field: value}} begins; {"run": id, "step": k, "temperature": t, "set": [cell, ...],
        "edit": [cell, ...], "back": [cell, ...]} decides the step after record k; {"link": hash} plays the choices of a
        link, each with the "turn" that it was made at, which says "more" until the last.
        """
        try:
            data = told(event, "form", "run", "step", "temperature", "set", "edit", "back", "link")
            session, link = session_of(request), None
            if "link" in data:
                pipe = self.studio.pipe
                link = gamelink.decode(data["link"], tuple(pipe.grid), int(pipe.vocab_size), made_by(pipe))
                run, decision = self.begun_with(link.settings, session), None
            elif "run" in data:
                run, decision = self.found(data), self.decision(data)
            else:
                run, decision = self.begun(data.get("form"), session), None
            ticket = self.studio.line.join(session or f"nobody {id(event)}")
        except Exception as error:
            yield refused(error)
            return
        with ticket:
            for ahead in ticket.places():
                yield {"state": "waiting", "ahead": ahead}
            if ticket.cancelled:
                yield {"state": "stopped"}
                return
            work = self.carried_out(run, decision) if link is None else self.played(run, link, ticket)
            yield from ticket.at_work(work)

    def carried_out(
        self, run: Run, decision: tuple[int, float | None, list[list[int]]] | None
    ) -> Iterator[dict[str, Any]]:
        """One decision, kept once it was carried out, and what the next step offers."""
        try:
            game = self.game(run)
            if decision is not None:
                step, temperature, cells = decision
                game = game.rewound(step)
                heats = run.heats[:step]
                if step < len(run.records) - 1:  # decided anew: what was seen of the other run stays true
                    run = Run(
                        run.request, run.grid, run.vocab, run.role, run.session, run.planned, run.made_by
                    )
                game.take(game.turn(self.seen(run, game), temperature), *cells)
                run.records = game.records
                run.heats = (*heats, None if temperature == game.config.temperature else temperature)
                run.state = "done" if game.over else "running"
            said = self.over(run) if game.over else self.offer(run, game, None)
            self.studio.store.keep(run)  # only now: one that could not be offered takes no room
            yield said
        except Exception as error:
            yield refused(error)

    def played(self, run: Run, link: GameLink, ticket: Ticket) -> Iterator[dict[str, Any]]:
        """The choices of a link, carried out one after another; what no longer fits leaves the game where it stands."""
        try:
            game = self.game(run)
            for heat, cells in link.choices:
                if game.over or (not any(cells) and self.leaves(run, -1)):
                    raise Refused(envelope.BROKEN)
                said = self.offer(run, game, heat)
                self.studio.store.keep(run)
                yield {**said, "more": True}
                if ticket.cancelled:
                    yield {"state": "stopped"}
                    return
                turn = game.turn(self.seen(run, game), heat)
                try:
                    game.take(turn, *cells)
                except ValueError:
                    raise Refused(UNFIT) from None
                run.records, run.heats = list(game.records), (*run.heats, heat)
                run.state = "done" if game.over else "running"
            said = self.over(run) if game.over else self.offer(run, game, None)
            self.studio.store.keep(run)
            same = envelope.digest(run.records[-1].tokens) == link.digest
            yield said if same else {**said, "words": envelope.ROUNDED}
        except Exception as error:
            yield refused(error)

    def share(self, data: Any) -> dict[str, str]:
        """The link of a game as far as step k: {"run": id, "step": k} -> {"hash": ...}."""
        data = data if isinstance(data, dict) else {}
        run = self.found(data)
        run.record(data.get("step"))
        return {"hash": gamelink.encode(run, data["step"])}

    def begun(self, form: Any, session: str) -> Run:
        """A run with nothing set, of the form's prompt, seed and settings; the surest come first in it."""
        if not isinstance(form, dict):
            raise Refused(WRONG)
        given = dict(form)
        settings = limits.check_run(given.pop("prompt", None), given.pop("seed", None), **given)
        return self.begun_with(settings, session)

    def begun_with(self, settings: RunSettings, session: str) -> Run:
        """The same from settings that are checked."""
        settings = settings.having(order="confidence")
        if settings.passes >= MAX_RECORDS:
            raise Refused(FULL)
        pipe = self.studio.pipe
        run = Run(Request(KIND, settings), tuple(pipe.grid), int(pipe.vocab_size), "main", session)
        run.planned, run.made_by = settings.steps, made_by(pipe)
        run.records = ByHand(pipe, run.prompt, **run.request.sampler()).records
        return run

    def decision(self, data: dict[str, Any]) -> tuple[int, float | None, list[list[int]]]:
        """Step, temperature and the three lists of cells; Refused where one is out of place."""
        run = self.found(data)
        run.record(data.get("step"))
        last = len(run.records) - 1
        if data["step"] == last and run.state == "done":
            raise Refused(OVER)
        if data["step"] + 1 >= MAX_RECORDS:
            raise Refused(FULL)
        cells = []
        for name in ("set", "edit", "back"):
            given = data.get(name, [])
            if not isinstance(given, list) or len(given) > run.cells:
                raise Refused(WRONG)
            cells.append([whole(cell, run.cells - 1, "cell") for cell in given])
        if not any(cells) and self.leaves(run, data["step"]):
            raise Refused("Choose at least one cell to set, or to send back.")
        return data["step"], self.heat(data.get("temperature")), cells

    def leaves(self, run: Run, step: int) -> bool:
        """Something is masked, so that a step without any decision would lead nowhere."""
        return bool((run.records[step].tokens == run.vocab).any())

    # ---- a look-up, past the line ------------------------------------------------------------------------------

    def again(self, data: Any) -> dict[str, Any]:
        """The step after record k at another temperature: {"run": id, "step": k, "temperature": t}."""
        data = data if isinstance(data, dict) else {}
        run = self.found(data)
        run.record(data.get("step"))
        temperature = self.heat(data.get("temperature"))
        game = self.game(run).rewound(data["step"])
        if game.over:
            raise Refused(OVER)
        return self.offer(run, game, temperature, picture=False)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def found(self, data: dict[str, Any]) -> Run:
        """The run of this id, if it is one that is decided by hand, of the opened model."""
        run: Run = self.studio.store.get(data.get("run"))
        if run.request.kind != KIND:
            raise Refused("This picture was not decided by hand: begin one that is.")
        if (run.grid, run.vocab) != (tuple(self.studio.pipe.grid), self.studio.pipe.vocab_size):
            raise Refused("This picture was made by another model, which is not open here.")
        return run

    def game(self, run: Run) -> ByHand:
        """The run as its sampler, to go on with."""
        return ByHand(self.studio.pipe, run.prompt, records=run.records, **run.request.sampler())

    def heat(self, value: Any) -> float | None:
        """A temperature within what the form takes, None for the run's own."""
        control = limits.CONTROLS.get("temperature")
        if value is None or control is None:
            return None
        return float(limits.number(value, control))

    def seen(self, run: Run, game: ByHand) -> Outlook:
        """The pass of the next step, from those kept: the inspector will ask for the same."""
        grid = game.tokens.reshape(run.grid)
        guidance = game.config.guidance
        return self.lookups.kept((run.id, len(game.records), True), run.prompt, grid, guidance)

    def offer(
        self, run: Run, game: ByHand, temperature: float | None, picture: bool = True
    ) -> dict[str, Any]:
        """What the next step offers, for the wire."""
        turn: Turn = game.turn(self.seen(run, game), temperature)
        said = {
            **self.about(run),
            "state": "turn",
            "k": turn.k,
            "phase": turn.phase,
            "guess": self.studio.picture(run, turn.drawn),
            "tokens": pack(turn.tokens, "<i4"),
            "drawn": pack(turn.drawn, "<i4"),
            "p": pack(fixed_point(turn.confidence, 65535.0), "<u2"),
            "order": pack(turn.order, "<u2"),
            "chance": pack(turn.chance, "<u2"),
            "commits": pack(turn.commits, "<u2"),
            "edits": pack(turn.edits, "<i4"),
            "temperature": turn.config.temperature,
        }
        if picture:
            said["image"] = self.studio.picture(run, turn.tokens)
        return said

    def over(self, run: Run) -> dict[str, Any]:
        """The end: the run comes onto the stage."""
        message = self.studio.show(run)
        return {**self.about(run), "state": "over", "k": len(run.records), "message": message}

    def about(self, run: Run) -> dict[str, Any]:
        """What stays the same from step to step."""
        return {
            "run": run.id,
            "steps": run.planned,
            "seed": run.seed,
            "prompt": run.prompt,
            "grid": list(run.grid),
            "vocab": run.vocab,
            "form": {"prompt": run.prompt, "seed": run.seed, **limits.shown(run.request.settings.chosen)},
        }


def refused(error: Exception) -> dict[str, Any]:
    """A refusal for the wire; what nobody foresaw is logged and not shown."""
    if isinstance(error, ValueError):
        return {"error": complaint(error)}
    log.error("a step by hand failed", exc_info=error)
    return {"error": BROKEN}


def put(studio: Any) -> None:
    """Places the chapter."""
    game = Game(studio)

    def again(data: Any) -> dict[str, Any]:
        """See `Game.again`."""
        return answered(lambda: game.again(data))

    def share_game(data: Any) -> dict[str, Any]:
        """See `Game.share`."""
        return answered(lambda: game.share(data))

    piece = Live(
        markup("learn/sampler/sampler.html"),
        "by_hand",
        events=("decide",),
        elem_id="by-hand",
        server_functions=[again, share_game],
    )
    piece.decide(
        game.decide,
        None,
        piece,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="multiple",
        concurrency_id="by_hand",
        concurrency_limit=None,  # each enters its handler at once and waits in studio.line
    )
