"""What comes into the studio: share links, saved trajectories, pictures. Each is checked before it is used."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import numpy as np

from mdm_core.diffusion.trajectory import MadeBy, StepRecord, Trajectory, given
from mdm_core.settings import SETTINGS
from ui.assemble import markup
from ui.bring import upload
from ui.export import envelope, sharelink
from ui.export.envelope import ROUNDED
from ui.fields import Ask
from ui.server import asks
from ui.server import form as limits
from ui.server.form import Refused, RunSettings
from ui.server.frames import VERSION, message
from ui.server.line import Ticket
from ui.server.runs import MAX_RECORDS, Request, Run, largest_run
from ui.server.studio import (
    BROKEN,
    LEFT,
    ahead_of_you,
    answered,
    buttons,
    by_program,
    complaint,
    log,
    made_by,
    session_of,
)
from ui.stage.component import Static, when_over

BUSY = "Others are opening files just now: try again in a moment."


def settings_of(told: dict[str, Any], prompt: Any, model: dict[str, Any]) -> RunSettings:
    """The settings that a file tells, each one checked; one out of range is as the `model` has it.

    So is one that the file does not tell, and it is left open, but for those that say how long the run took.
    """
    chosen = {}
    for name, setting in SETTINGS.items():
        if name in told or setting.passes:
            try:
                chosen[name] = limits.taken(name, told.get(name))
            except Refused:
                chosen[name] = model[name]
    try:
        seed = limits.number(told.get("seed"), limits.SEED_CONTROL)
    except Refused:
        seed = 0
    return RunSettings(limits.prompt(prompt), int(seed), chosen)


def read_trajectory(data: bytes, grid: tuple[int, int], vocab: int, here: MadeBy | None = None) -> Trajectory:
    """A saved trajectory that fits this model; Refused in one sentence."""
    try:
        loaded = Trajectory.from_json(json.loads(data))
    except RecursionError:
        raise Refused("This file is no saved run: choose the JSON that the studio wrote.") from None
    except (ValueError, OverflowError, AttributeError) as error:
        sentence = "This file is no saved run: choose the JSON that the studio wrote."
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
            raise Refused(sentence) from None
        raise Refused(f"{sentence[:-1]}; {str(error)[:90].rstrip('.')}.") from None
    same_shape = (loaded.grid, loaded.vocab_size) == (grid, vocab)
    if not same_shape or not envelope.same_model(loaded.made_by, here):
        raise Refused(envelope.another("This run", loaded.made_by))
    if not 1 <= len(loaded.records) <= MAX_RECORDS:
        raise Refused(
            f"A saved run must have 1 to {MAX_RECORDS} steps, this one has {len(loaded.records):,}."
        )
    if [r.step for r in loaded.records] != list(range(len(loaded.records))):
        raise Refused("The steps of this saved run are not numbered in order: it was changed or damaged.")
    return loaded


def form(settings: RunSettings, model: dict[str, Any], facts: Any = None) -> tuple[Any, ...]:
    """The settings as values of the form's fields; what they leave open is as the `model` has it.

    facts: of the opened model, which may not be able to do all that its runs were made with.
    """
    values = {"prompt": settings.prompt, "seed": settings.seed}
    values |= limits.able(limits.shown({**model, **settings.chosen}), facts)
    return tuple(values[name] for name in limits.FIELDS)


def _alone(said: dict[str, Any]) -> dict[str, Any]:
    """The message of a run that stands alone: no parent that the browser would have to know."""
    return {**said, "parent": None, "prefix": 0}


class Opening:
    """The handlers behind opening and uploading, bound to one studio."""

    def __init__(self, studio: Any) -> None:
        self.studio = studio
        self._free = threading.BoundedSemaphore(2)

    # ---- files: look-ups that answer with the message of a finished run ---------------------------------

    def upload(self, data: Any) -> dict[str, Any]:
        """{"file": base64 of an image, "prompt": text} -> {"message": a run of one step, "ours": was it saved here}.

        A PNG that this model saved here comes back token by token, with its prompt, seed and settings.
        """
        raw = upload.bytes_of(data.get("file") if isinstance(data, dict) else None)
        model = limits.defaults(self.studio.pipe)
        if ours := self._saved(raw, model):
            return {"message": self.studio.show(ours), "ours": True}
        settings = settings_of(model, "an uploaded picture", model)
        with self._turn():
            ground = upload.ground(self.studio.pipe, raw)
            run = self._run(Request("upload", settings, ground.tokens), [given(ground.tokens)])
            run.ground = ground
            return {"message": self.studio.show(run)}

    def trajectory(self, data: Any) -> dict[str, Any]:
        """{"file": base64 of a saved trajectory} -> {"message": the run with all its steps}."""
        pipe = self.studio.pipe
        most = largest_run(tuple(pipe.grid))
        raw = upload.bytes_of(data.get("file") if isinstance(data, dict) else None, most, "The saved run")
        with self._turn():
            loaded = read_trajectory(raw, tuple(pipe.grid), int(pipe.vocab_size), made_by(pipe))
            settings = settings_of(loaded.settings, loaded.prompt, limits.defaults(pipe))
            return {"message": self.studio.show(self._run(Request("opened", settings), loaded.records))}

    def functions(self) -> list[Callable[..., Any]]:
        """What bring/bring.js may call as `server.name(argument)`."""

        def upload_picture(data: Any) -> dict[str, Any]:
            """A picture as a run of one step."""
            return answered(lambda: self.upload(data))

        def open_run(data: Any) -> dict[str, Any]:
            """A saved trajectory as a run."""
            return answered(lambda: self.trajectory(data))

        return [upload_picture, open_run]

    # ---- links: carved anew, so they wait in line like everybody ------------------------------------------

    def link(
        self, text: Any, request: gr.Request, event: gr.EventData | None = None, beside: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        """Streams (message, notice, Generate, Stop, form values...) while the chain of a link is carved.

        Of a link that holds two runs that is the first, whose last message says under "seen" that there is another;
        `beside`: that one. Each is an event of its own: a busy browser may merge two messages of one event.
        """
        session = session_of(request)
        idle = (gr.skip(),) * len(limits.FIELDS)
        try:
            pipe = self.studio.pipe
            link = sharelink.decode(text, tuple(pipe.grid), int(pipe.vocab_size), made_by(pipe))
            if beside and link.beside is None:
                raise Refused(envelope.BROKEN)
            ticket = self.studio.line.join(session or f"nobody {id(request)}", by_program(event))
        except Refused as error:
            yield gr.skip(), str(error), *buttons(running=False), *idle
            return
        except Exception:
            log.exception("a link could not be opened")
            yield gr.skip(), BROKEN, *buttons(running=False), *idle
            return
        with ticket:
            for ahead in ticket.places():
                waiting = {"v": VERSION, "state": "waiting", "ahead": ahead}
                yield waiting, ahead_of_you(ahead), *buttons(running=True, waiting=True), *idle
            if ticket.cancelled:
                yield {"v": VERSION, "state": "left"}, "", *buttons(running=False), *idle
                return
            shown = form(link.entries[-1].settings, limits.defaults(pipe), getattr(pipe, "facts", None))
            yield gr.skip(), "", *buttons(running=True), *(idle if beside else shown)
            words = ""
            try:
                for sent, said in ticket.at_work(self._chain(link, ticket, session, beside)):
                    yield sent, said, *buttons(running=True), *idle
                    words = said if said == ROUNDED else ""
            except Exception as error:
                words = complaint(error)
            yield gr.skip(), words, *buttons(running=False), *idle

    def _chain(
        self, link: sharelink.Link, ticket: Ticket, session: str, beside: bool = False
    ) -> Iterator[tuple[Any, str]]:
        """(message, notice) while the runs of a link are carved; only the last one is shown.

        Those it grew from stay on the server, where branches and further links find them.
        """
        more = {}
        if link.beside and link.seen:
            more = {} if beside else {"seen": list(link.seen)}
            link = link.beside if beside else link
        studio, parent, run = self.studio, None, None
        vocab, cells = int(studio.pipe.vocab_size), studio.pipe.grid[0] * studio.pipe.grid[1]
        for i, entry in enumerate(link.entries, start=1):
            shown = i == len(link.entries)
            request = entry.request(parent, vocab, cells)
            role = "beside" if beside and shown else "main"
            if entry.kind == "given":
                run = parent = self._run(request, [given(entry.tokens)], session)
                run.role = role
                said = {**studio.show(run), **more}
                yield (said if shown else gr.skip()), ""
                continue
            run = studio.begin(request, asks.Ask((request,), role, parent), session)
            state = LEFT
            try:
                # the browser does not have the steps before a branch: they are sent with it
                before = run.records[: run.prefix] if shown else []
                run.frames = studio.framed(run, before)
                for n, _ in enumerate(studio.steps(run, parent, ticket), start=1):
                    words = (
                        ""
                        if shown
                        else f"Rebuilding what this picture grew from: {i} of {len(link.entries)}."
                    )
                    yield (_alone(message(run, "running")) if shown else gr.skip()), words
                    if n == entry.shown:
                        break
                state = "done" if run.whole and not entry.shown else "stopped"
            except Exception:
                state = "failed"
                raise
            finally:
                last = _alone(studio.close(run, state) or message(run, state))
            if ticket.cancelled:
                yield (last if shown else {"v": VERSION, "state": "left"}), ""
                return
            same = not shown or envelope.digest(run.records[-1].tokens) == link.digest
            yield ({**last, **more} if shown else gr.skip()), "" if same else ROUNDED
            parent = run

    def _saved(self, raw: bytes, model: dict[str, Any]) -> Run | None:
        """The run of a PNG that was saved by this model; None for any other picture, which is a picture then."""
        told, pipe = upload.told(raw), self.studio.pipe
        try:
            by = MadeBy.told(json.loads(told["made_by"])) if "made_by" in told else None
            tokens = asks.tokens(told["tokens"], int(np.prod(pipe.grid)), int(pipe.vocab_size))
            settings = settings_of(json.loads(told["settings"]), told["prompt"], model)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            return None
        if not envelope.same_model(by, made_by(pipe)):
            return None
        return self._run(Request("opened", settings, tokens), [given(tokens)])

    # ---- parts ----------------------------------------------------------------------------------------------

    def _run(self, request: Request, records: list[StepRecord], session: str = "") -> Run:
        pipe = self.studio.pipe
        run = Run(request, tuple(pipe.grid), int(pipe.vocab_size), "main", session)
        run.made_by = made_by(pipe)
        run.records = list(records)
        run.planned = records[-1].steps_planned
        return run

    def _turn(self) -> "_Turn":
        return _Turn(self._free)


class _Turn:
    """One of the few that may decode a file at the same time; Refused when none comes free in time."""

    def __init__(self, free: threading.BoundedSemaphore, seconds: float = 10.0) -> None:
        self._free, self._seconds = free, seconds

    def __enter__(self) -> None:
        if not self._free.acquire(timeout=self._seconds):
            raise Refused(BUSY)

    def __exit__(self, *error: object) -> None:
        self._free.release()


def panel(opening: Opening) -> None:
    """Upload and open, in the Retouch task."""
    Static(
        markup("bring/bring.html"),
        "bring",
        elem_id="bring",
        server_functions=opening.functions(),
    )


def wire(opening: Opening, inputs: list[Any], outputs: list[Any]) -> None:
    """The events behind a link in the address; bring/bring.js presses their buttons, which nobody sees.

    `inputs` are the fields of the form, `outputs` are grid, notice, Generate and Stop.
    """

    def open_link(text: Any, request: gr.Request, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
        """`Opening.link` as Gradio calls it: it fills in what is declared as exactly its own."""
        yield from opening.link(text, request, event)

    def open_beside(text: Any, request: gr.Request, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
        """The same for the second run of a link."""
        yield from opening.link(text, request, event, beside=True)

    for handler, name in ((open_link, "link"), (open_beside, "beside")):
        link = Ask(None, visible=False)
        button = gr.Button("Open the link", elem_id=f"open-{name}", elem_classes="cz-unseen")
        event = button.click(
            handler,
            [link],
            [*outputs, *inputs],
            js="() => [location.hash]",
            api_name=f"open_{name}",
            api_visibility="public" if name == "link" else "private",
            show_progress="hidden",
            trigger_mode="once",
            concurrency_id="model",
            concurrency_limit=None,  # each enters its handler at once and waits in studio.line
        )
        when_over(event, *outputs[2:])
