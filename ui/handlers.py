"""The events of the page: Generate streams frames, Stop raises a flag. No layout here, and no model code."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import numpy as np

from ui import limits
from ui.frames import Registry, Run, jpeg_uri, pack_record

log = logging.getLogger("chisel")

BROKEN = (
    "Something went wrong while carving, the picture so far is kept: try again, or start the program anew."
)


class Studio:
    """The handlers bound to one pipeline.

    `get_pipeline` returns the loaded pipeline and may wait for it: it is called when a run starts, not when
    the page is built, so that the page can be laid out while the weights are still being read.
    """

    def __init__(self, get_pipeline: Callable[[], Any]) -> None:
        self._get_pipeline = get_pipeline
        self.registry = Registry()

    def generate(
        self,
        prompt: Any,
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
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Streams (message, notice, Generate button, Stop button, seed); see `ui.frames` for the message.

        Refused input yields one sentence and leaves everything else as it was: the visible picture stays.
        """
        sent = (prompt, seed, steps, guidance, editing, temperature, order, schedule, gumbel)
        try:
            settings = limits.check_run(*sent, edit_mode, edit_threshold, edit_margin, edit_budget, polish)
        except limits.Refused as error:
            yield gr.skip(), str(error), *_buttons(running=False), gr.skip()
            return
        session, run = "", None
        try:
            pipe = self._get_pipeline()
            run = Run(settings.prompt, settings.seed, settings.steps, tuple(pipe.grid), int(pipe.vocab_size))
            session = (
                request.session_hash or run.id
            )  # a caller without a tab cannot be stopped, nor stop another
            self.registry.begin(session, run)
            yield from self._stream(pipe, settings, run)
        except ValueError as error:  # the pipeline's own refusals are written for the visitor
            yield _last(run, "failed"), _sentence(error), *_buttons(running=False), gr.skip()
        except Exception:
            log.exception("a run failed")
            yield _last(run, "failed"), BROKEN, *_buttons(running=False), gr.skip()
        finally:  # also reached when the tab closes in the middle of a run
            if run is not None:
                self.registry.end(session, run)

    def _stream(self, pipe: Any, settings: limits.RunSettings, run: Run) -> Iterator[tuple[Any, ...]]:
        """The frames of an accepted run. Stop is looked at between two steps."""
        state = "done"
        records = pipe.stream(settings.prompt, **settings.sampler())
        try:
            for record in records:
                run.frames.append(pack_record(record, _picture(pipe, record), run.elapsed_ms()))
                first = len(run.frames) == 1
                changed = ("", *_buttons(running=True), run.seed) if first else (gr.skip(),) * 4
                yield run.message("running"), *changed
                if run.stop.is_set():
                    state = "stopped"
                    break
        finally:
            records.close()
        yield run.message(state), gr.skip(), *_buttons(running=False), gr.skip()

    def stop(self, request: gr.Request) -> None:
        """Asks the tab's run to end after the step it is in; what is on the canvas stays."""
        self.registry.stop(request.session_hash or "")


def _picture(pipe: Any, record: Any) -> str:
    """The picture at this step as a data URI; empty while every token is masked, there is nothing to see."""
    tokens = np.asarray(record.tokens)
    if (tokens == pipe.vocab_size).all():
        return ""
    return jpeg_uri(pipe.decode(tokens.reshape(tuple(pipe.grid))))


def _last(run: Run | None, state: str) -> Any:
    """The closing message of a run that began; nothing for one that did not, so the old picture stays."""
    return run.message(state) if run is not None and run.frames else gr.skip()


def _sentence(error: ValueError) -> str:
    """The pipeline's words as a sentence of the page: a capital first, a full stop last."""
    words = str(error).strip().rstrip(".")
    return f"{words[:1].upper()}{words[1:]}."


def _buttons(running: bool) -> tuple[Any, Any]:
    """Generate and Stop: exactly one of them can be pressed."""
    return gr.update(interactive=not running), gr.update(interactive=running)
