"""The events of the page: an ask is carved and streamed, Stop ends it. No layout here, and no model code."""

import dataclasses
import inspect
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import gradio as gr
import numpy as np

from mdm_core.diffusion.trajectory import MadeBy
from ui.server import asks
from ui.server import form as limits
from ui.server.frames import VERSION, jpeg_uri, message, pack_record
from ui.server.line import Line, Ticket
from ui.server.picture import Pace, picture
from ui.server.runs import Request, Run, Store

log = logging.getLogger("chisel")

BROKEN = (
    "Something went wrong while carving, the picture so far is kept: try again, or start the program anew."
)
# What a run is until it is known to be done: a handler is also closed from outside, in the middle of a step, when the
# tab is gone or its connection was lost. What was carved by then is kept, and is not the whole.
LEFT = "stopped"


class Studio:
    """The handlers bound to one pipeline, with the runs that it keeps and the line of those who wait.

    `get_pipeline` returns the loaded pipeline and may wait for it: it is called when a run starts, not when
    the page is built, so that the page can be laid out while the weights are still being read.
    """

    def __init__(self, get_pipeline: Callable[[], Any]) -> None:
        self._get_pipeline = get_pipeline
        self.store = Store()
        self.line = Line()

    @property
    def pipe(self) -> Any:
        """The loaded pipeline; waits for it."""
        return self._get_pipeline()

    # ---- the model event ----------------------------------------------------------------------------

    def generate(
        self,
        form: Mapping[str, Any],
        ask: Any = None,
        request: gr.Request | None = None,
        event: gr.EventData | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Streams (message, notice, Generate button, Stop button, seed); see `ui.server.frames` for the message.

        `form` holds the values of `form.FIELDS`, `ask` says what to do (`ui.server.asks`); without one a new picture is
        made. Refused input yields one sentence and leaves everything else as it was: the visible picture stays.
        """
        try:
            told = dict(form)
            settings = limits.check_run(told.pop("prompt", None), told.pop("seed", None), **told)
            pipe = self.pipe
            asked = asks.check(ask, settings, tuple(pipe.grid), int(pipe.vocab_size), self.store)
        except limits.Refused as error:
            yield gr.skip(), str(error), *buttons(running=False), gr.skip()
            return
        except Exception:
            log.exception("a request could not be checked")
            yield gr.skip(), BROKEN, *buttons(running=False), gr.skip()
            return
        yield from self.carve(asked, session_of(request), by_program(event))

    def carve(self, asked: asks.Ask, session: str, program: bool = False) -> Iterator[tuple[Any, ...]]:
        """Carves a checked ask for the tab `session`, after those who came before; the outputs of `generate`."""
        # a caller without a tab can stop nobody, nor be stopped by another
        name = session or f"nobody {id(asked)}"
        try:
            ticket = self.line.join(name, program)
        except limits.Refused as error:
            yield gr.skip(), str(error), *buttons(running=False), gr.skip()
            return
        with ticket:  # also left when the tab closes in the middle of a run
            for ahead in ticket.places():
                waiting = {"v": VERSION, "state": "waiting", "ahead": ahead}
                yield waiting, ahead_of_you(ahead), *buttons(running=True, waiting=True), gr.skip()
            if ticket.cancelled:
                yield {"v": VERSION, "state": "left"}, "", *buttons(running=False), gr.skip()
            elif asked.role == "variation":
                yield from ticket.at_work(self._variations(asked, ticket, session))
            else:
                yield from ticket.at_work(self._one(asked, ticket, session))

    def _one(self, asked: asks.Ask, ticket: Ticket, session: str) -> Generator[tuple[Any, ...], None, None]:
        try:
            request = asks.decided(asked.requests[0], self.pipe)
        except Exception as error:
            yield gr.skip(), complaint(error), *buttons(running=False), gr.skip()
            return
        run = self.begin(request, asked, session)
        first = True
        state, words = LEFT, ""
        try:
            for _ in self.steps(run, asked.parent, ticket):
                # the form keeps its own seed where a run only stands beside for comparison
                seed = run.seed if run.role == "main" else gr.skip()
                changed = ("", *buttons(running=True), seed) if first else (gr.skip(),) * 4
                first = False
                yield message(run, "running"), *changed
            state = "done" if run.whole else "stopped"
        except Exception as error:
            state, words = "failed", complaint(error)
        finally:
            last = self.close(run, state)
        yield last or gr.skip(), words or gr.skip(), *buttons(running=False), gr.skip()

    def _variations(
        self, asked: asks.Ask, ticket: Ticket, session: str
    ) -> Generator[tuple[Any, ...], None, None]:
        """Several runs of one region with different seeds, sent when each is finished."""
        sent: list[dict[str, Any]] = []
        words = ""

        def so_far(state: str) -> dict[str, Any]:
            count = len(asked.requests)
            return {"v": VERSION, "role": "variation", "state": state, "of": count, "variations": list(sent)}

        yield so_far("running"), "", *buttons(running=True), gr.skip()
        for request in asked.requests:
            run = self.begin(request, asked, session)
            state = LEFT
            try:
                for _ in self.steps(run, asked.parent, ticket):
                    yield gr.skip(), *(gr.skip(),) * 4  # a closed tab is noticed here
                state = "done" if run.whole else "stopped"
            except Exception as error:
                state, words = "failed", complaint(error)
            finally:
                said = self.close(run, state)
                if state != "done":  # a variation that is not whole is not offered
                    self.store.forget(run)
            if state != "done" or said is None:
                break
            sent.append(said)
            yield so_far("running"), *(gr.skip(),) * 4
        state = "done" if len(sent) == len(asked.requests) else "stopped"
        yield so_far(state), words or gr.skip(), *buttons(running=False), gr.skip()

    # ---- one run --------------------------------------------------------------------------------------

    def begin(self, request: Request, asked: asks.Ask, session: str) -> Run:
        """A run for `request`; a branch takes over its parent's steps up to the one it leaves from."""
        pipe, parent, prefix = self.pipe, asked.parent, 0
        if request.kind == "branch" and parent is not None and request.parent is not None:
            prefix = request.parent[1]
            left = max(request.settings.steps - prefix, 1)
            request = dataclasses.replace(request, settings=request.settings.having(steps=left))
        run = Run(request, tuple(pipe.grid), int(pipe.vocab_size), asked.role, session)
        run.made_by = made_by(pipe)
        run.prefix = prefix
        masked = request.tokens is None or bool((request.tokens == run.vocab).any())
        run.planned = prefix + (request.settings.steps if masked else 0)
        if parent is not None:
            run.records = list(parent.records[:prefix])
            if request.kind != "generate":
                run.ground = parent.ground
        return self.store.keep(run)

    def steps(self, run: Run, parent: Run | None, ticket: Ticket) -> Iterator[None]:
        """Carves step by step into run.records and run.frames. Stop is looked at between two steps.

        A Stop that comes after the last step has ended nothing: the run is whole.
        """
        records, pace = run.request.stream(self.pipe), Pace()
        try:
            for record in records:
                record = _continued(record, run, parent)
                run.records.append(record)
                image = self.at_pace(pace, run, record)
                run.frames.append(pack_record(record, image, run.elapsed_ms()))
                yield
                if ticket.cancelled and not over(record, run.vocab, records):
                    return
            run.whole = True
        finally:
            records.close()

    def close(self, run: Run, state: str) -> dict[str, Any] | None:
        """The end of a run, however it came: its closing message with all frames, which then are let go.

        A run that showed nothing is forgotten, and there is no message.
        """
        run.state = state
        if state == "done" and run.frames and run.frames[-1]["image"] is None:
            run.frames[-1] = {**run.frames[-1], "image": self.picture(run, run.records[-1].tokens)}
        said = message(run, state) if run.frames else None
        run.frames = []
        if len(run.records) > run.prefix:
            self.store.keep(run)
        else:
            self.store.forget(run)
        return said

    def show(self, run: Run) -> dict[str, Any]:
        """The closing message of a run whose records are all there (opened from a file, uploaded)."""
        run.frames = self.framed(run, run.records[run.prefix :])
        return self.close(run, "done") or {}

    def framed(self, run: Run, records: list[Any]) -> list[dict[str, Any]]:
        """Frames of steps that are there already, the last one with its picture and the others where that is quick."""
        pace = Pace()
        images = [self.at_pace(pace, run, record) for record in reversed(records)]
        return [pack_record(r, image, 0) for r, image in zip(records, reversed(images), strict=True)]

    def at_pace(self, pace: Pace, run: Run, record: Any) -> str | None:
        """The picture after a step, None where it can wait until somebody looks at it."""
        return pace.spend(lambda: self.picture(run, record.tokens)) if pace.allows else None

    def picture(self, run: Run, tokens: Any) -> str:
        """Tokens of a run as a data URI; empty while every token is masked, there is nothing to see."""
        tokens = np.asarray(tokens).reshape(run.grid)
        if (tokens == run.vocab).all() and run.ground is None:
            return ""
        return jpeg_uri(picture(self.pipe, tokens, run.ground))

    def stop(self, request: gr.Request) -> None:
        """Asks the tab's run to end after the step it is in, or its wait to end; the canvas stays."""
        self.line.cancel(session_of(request))

    # ---- light look-ups of the canvas, past the queue -----------------------------------------------------

    def functions(self) -> list[Callable[..., Any]]:
        """What js may call as `server.name(argument)`; each answers {"error": sentence} to what it refuses."""

        def preview(data: Any) -> dict[str, Any]:
            """Edited tokens as a picture: {"run": id, "tokens": i32 [L]} -> {"image": data URI}."""
            return answered(lambda: self._preview(data))

        def picture(data: Any) -> dict[str, Any]:
            """A step that came without its picture: {"run": id, "step": k} -> {"image": data URI}."""
            return answered(lambda: self._picture(data))

        def recall(data: Any) -> dict[str, Any]:
            """A run that this tab had before a reload: {"run": id} -> {"message": its closing message}."""
            return answered(lambda: self._recall(data))

        return [preview, picture, recall]

    def _recall(self, data: Any) -> dict[str, Any]:
        run = self.store.get(data.get("run") if isinstance(data, dict) else None)
        records = run.records[run.prefix :]
        if not records:
            raise limits.Refused("This picture is still being carved: it is not there yet.")
        # only the last step brings its picture; the others wait until somebody looks at them
        last, blank = records[-1], run.ground is None
        images = ["" if blank and (r.tokens == run.vocab).all() else None for r in records[:-1]]
        frames = [pack_record(r, image, 0) for r, image in zip(records[:-1], images, strict=True)]
        frames.append(pack_record(last, self.picture(run, last.tokens), 0))
        # whoever left it running is gone
        state = LEFT if run.state == "running" else run.state
        return {"message": {**message(run, state), "role": "main", "frames": frames}}

    def _picture(self, data: Any) -> dict[str, Any]:
        data = data if isinstance(data, dict) else {}
        run = self.store.get(data.get("run"))
        return {"image": self.picture(run, run.record(data.get("step")).tokens)}

    def _preview(self, data: Any) -> dict[str, Any]:
        run = self.store.get(data.get("run") if isinstance(data, dict) else None)
        tokens = asks.tokens(data.get("tokens"), run.cells, run.vocab)
        return {"image": self.picture(run, tokens)}


def endpoint(work: Callable[..., Iterator[tuple[Any, ...]]]) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """`Studio.generate` as Gradio calls it: a parameter for each field of the form, by its name, and then `ask`."""

    def generate(*sent: Any) -> Iterator[tuple[Any, ...]]:
        yield from work(dict(zip(limits.FIELDS, sent, strict=False)), *sent[len(limits.FIELDS) :])

    kinds: dict[str, Any] = {"ask": Any, "request": gr.Request, "event": gr.EventData}
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    plain = [inspect.Parameter(name, either, annotation=Any) for name in limits.FIELDS]
    more = [inspect.Parameter(name, either, default=None, annotation=kind) for name, kind in kinds.items()]
    generate.__signature__ = inspect.Signature([*plain, *more])  # type: ignore[attr-defined]  # which parameters Gradio sees
    generate.__annotations__ = {**dict.fromkeys(limits.FIELDS, Any), **kinds}
    return generate


def over(record: Any, vocab: int, records: Iterator[Any]) -> bool:
    """No step follows this one. Where nothing is masked only the sampler knows, so one more step is asked of it."""
    return not (record.tokens == vocab).any() and next(records, None) is None


def made_by(pipe: Any) -> MadeBy | None:
    """The opened model as links and files name it."""
    return MadeBy.of(getattr(pipe, "facts", None))


def session_of(request: gr.Request | None) -> str:
    """The tab that an event came from, or the client; "" where there is none."""
    return getattr(request, "session_hash", None) or ""


def by_program(event: gr.EventData | None) -> bool:
    """True for an event that no component of the page set off: somebody called the endpoint, as gradio_client does."""
    return event is not None and event.target is None


def told(event: gr.EventData, *names: str) -> dict[str, Any]:
    """What came along with an event under these names; whatever else arrived in its place counts as nothing."""
    out = {}
    for name in names:
        try:
            out[name] = getattr(event, name)
        except (AttributeError, TypeError, LookupError):  # Gradio looks into it, of whatever type it is
            pass
    return out


def answered(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """work(), or its refusal as {"error": sentence}; what nobody foresaw is logged and not shown."""
    try:
        return work()
    except (limits.Refused, ValueError) as error:
        return {"error": _sentence(error)}
    except Exception:
        log.exception("a look-up failed")
        return {"error": BROKEN}


def _continued(record: Any, run: Run, parent: Run | None) -> Any:
    """A record of a branch, numbered after the steps it grew from; the first keeps what its parent had seen."""
    if not run.prefix or parent is None:
        return record
    if record.phase != "start":
        planned = record.steps_planned + run.prefix
        return dataclasses.replace(record, step=record.step + run.prefix, steps_planned=planned)
    before = parent.record(run.prefix)
    return dataclasses.replace(before, tokens=record.tokens, locked=record.locked)


def complaint(error: Exception) -> str:
    """What to say about a run that broke: the pipeline's own refusals are written for the visitor."""
    if isinstance(error, ValueError):
        return _sentence(error)
    log.error("a run failed", exc_info=error)
    return BROKEN


def _sentence(error: ValueError) -> str:
    """The pipeline's words as a sentence of the page: a capital first, a full stop last."""
    words = str(error).strip().rstrip(".")
    return f"{words[:1].upper()}{words[1:]}."


def ahead_of_you(ahead: int) -> str:
    """The place in the line as a sentence."""
    who = "One visitor is" if ahead == 1 else f"{ahead} visitors are"
    return f"{who} ahead of you: your picture starts by itself, or press Cancel."


def buttons(running: bool, waiting: bool = False) -> tuple[Any, Any]:
    """Generate and Stop: exactly one of them can be pressed; while the tab waits in line, Stop is Cancel."""
    stop = gr.update(interactive=running, value="Cancel" if waiting else "Stop")
    return gr.update(interactive=not running), stop
