"""A training run, whatever it trains: batches in, steps, a guard, a log, checkpoints.

A subclass builds its model and its data, says what `draw` and `loss` are, and what comes out in the end. The model's
run, that of the image tokenizer, the judge's and those of table A are such subclasses: all of them resume exactly,
treat a loss that is not finite alike, log alike, and run on one device or several.
"""

from __future__ import annotations

import json
import math
import random
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from trainer.conduct import Conduct
from trainer.data.source import Batch, ByIndex, Placed, Stream, batches
from trainer.engine import checkpoint, state
from trainer.engine.optim import EMA, clip_gradients, cosine, trapezoid
from trainer.engine.parallel import Parallel
from trainer.engine.reporter import Reporter
from trainer.files import replacing

COUNTERS = ("step", "samples", "seconds", "log", "pending", "skipped", "score")
MOST_SKIPS = 20  # steps in a row without a finite gradient, after which on_nan="skip" gives up

Drawn = TypeVar("Drawn", bound=tuple[Any, ...])  # a micro-batch on the training device


class DivergedError(RuntimeError):
    """The loss or its gradient is not finite, and the run stops; the message says what to do."""


class Run(Generic[Drawn]):
    """Holds the parts of one run; `run` trains.

    A subclass calls `__init__`, builds what it trains, and hands it to `assemble`.
    """

    counted = "samples"  # what a batch holds, as the log names it
    remedy = "lower lr"  # where the loss is not finite
    untimed = 0  # first steps of each process whose time does not count: they compile and tune
    export_every = 0.0  # seconds between calls of `publish`; 0: none

    def __init__(self, settings: Conduct, out: Path, parallel: Parallel):
        self.settings, self.out = settings, out
        self.parallel, self.device = parallel, parallel.device
        if parallel.main:
            checkpoint.check_writable(out)
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(settings.seed)
        torch.set_float32_matmul_precision("high")
        self.step, self.samples, self.seconds = 0, 0, 0.0
        # the place in the data, of all devices together: it does not depend on how many there are
        self.micro_batches, self.position = 0, 0  # drawn so far, and their samples
        self.skipped = 0  # steps in a row without a finite gradient
        self.score: float | None = None  # of the last validation, lower is better
        self.pending: list[float] = []  # losses since the last line of the log
        self.log: list[dict[str, Any]] = []
        self.aside = 0.0  # seconds of this process that do not count
        self.stream: Iterator[Batch] = iter(())
        self.drawn: Drawn | None = None  # the next micro-batch, where it was drawn ahead
        self.stop = False  # set by a signal: save and leave
        self.reporter = Reporter(self)

    def assemble(
        self,
        model: nn.Module,
        net: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        source: ByIndex | Stream,
        batch_size: int,
        workers: int = 0,
    ) -> None:
        """What is trained, by what, on what.

        Args:
            model: whose parameters are optimised, averaged and saved, on the run's device.
            net: `model` with its loss, as `Parallel.wrap` gives it.
            source: batches by index, or in order.
            batch_size: samples of a micro-batch of one device, by which the place in the data moves on.
            workers: processes that draw batches ahead.
        """
        self.model, self.net, self.optimizers, self.source = model, net, optimizers, source
        self.batch_size, self.workers = batch_size, workers
        self.base_lr = [[g["lr"] for g in o.param_groups] for o in optimizers]
        self.ema = EMA(model, self.settings.ema)
        kept = model.state_dict().keys()
        self.running = [buffer for name, buffer in model.named_buffers() if name in kept]
        # a stream's position must be that of the last step, so only batches that have an index come early
        self.draws_ahead = self.device.type == "cuda" and isinstance(source, ByIndex)
        # what a checkpoint asks; random states last, so that nothing draws after they are back
        self.parts: dict[str, state.Stateful] = {
            "model": state.Weights(model),
            "ema": state.Averages(self.ema, model),
            "optimizer": state.Optimizers(optimizers, model),
            "run": self,
            "processes": state.Processes(self.parallel, source),
        }
        self.saver = state.Saver(self.out, self.parts, self.parallel)

    # ---- what a subclass says ------------------------------------------------------------------------

    def draw(self) -> Drawn:
        """The next micro-batch, on the training device; the first of it is as long as it has samples."""
        raise NotImplementedError

    def loss(self, batch: Drawn, index: int) -> Tensor:
        """Scalar loss of micro-batch `index`, by `net`."""
        return self.net(*batch)

    def progress(self) -> float:
        """How much of the schedule is over, from 0 to 1."""
        s = self.settings
        return self.step / s.steps if s.steps else self.seconds / (60 * s.minutes)

    def learning_rate(self, progress: float) -> float:
        """The factor of every learning rate."""
        s = self.settings
        return (
            cosine(progress, s.warmup) if s.schedule == "cosine" else trapezoid(progress, s.warmup, s.decay)
        )

    def validates(self) -> bool:
        """Whether `validate` is due after this step."""
        return False

    def validate(self) -> dict[str, float]:
        """Figures for the log. All processes call; what is drawn here must not move the run's random numbers."""
        return {}

    def told(self) -> dict[str, float]:
        """What else a line of the log says of the last step."""
        return {}

    def warmed(self) -> None:
        """The steps that do not count are over."""

    def after(self) -> None:
        """Called after each step that has been told of."""

    def publish(self) -> None:
        """Write what can be looked at while the run goes on."""

    # ---- one step ------------------------------------------------------------------------------------

    def gradient(self) -> tuple[float, float]:
        """Fill the gradients from the next batches; (loss, norm of the gradient before clipping)."""
        s, p = self.settings, self.parallel
        for o in self.optimizers:
            o.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for a in range(s.accumulate):
            index = self.micro_batches + p.rank
            batch = self.drawn or self.draw()
            self.drawn = None
            with p.accumulating(self.net, last=a == s.accumulate - 1):
                loss = self.loss(batch, index) / s.accumulate
                loss.backward()
            total += loss.detach()
            self.samples += len(batch[0]) * p.world
            self.micro_batches += p.world
            self.position += self.batch_size * p.world
        norm = clip_gradients(list(self.model.parameters()), s.clip or math.inf)
        result = torch.stack([p.mean(total), norm.float()]).to("cpu", non_blocking=True)
        if self.draws_ahead:  # the GPU has the next batch to work on while this process waits for the numbers
            event = torch.cuda.Event() if self.device.type == "cuda" else None
            if event is not None:
                event.record()
            self.drawn = self.draw()
            if event is not None:
                event.synchronize()
        mean, length = result.tolist()
        return mean, length

    def update(self) -> None:
        """Change the weights by the gradients that are there."""
        for o in self.optimizers:
            o.step()
        self.ema.update(self.model)

    def set_learning_rate(self, progress: float) -> float:
        """Set every group's rate for `progress` in [0, 1]; returns the factor."""
        factor = self.learning_rate(progress)
        for o, base in zip(self.optimizers, self.base_lr, strict=True):
            for group, lr in zip(o.param_groups, base, strict=True):
                group["lr"] = lr * factor
        return factor

    # ---- the run -------------------------------------------------------------------------------------

    def resume(self) -> bool:
        """Go on from the newest whole checkpoint, if there is one, and say so."""
        found = state.load(self.out, self.parts, self.parallel, self.reporter.say, self.opened)
        if found:
            self.reporter.say(f"resumed at step {self.step}")
        return found

    def opened(self, path: Path) -> checkpoint.Reader:
        """A checkpoint of this run as its parts know it."""
        return checkpoint.Reader(path)

    def run(self, stop_after: float = math.inf) -> None:
        """Train until the schedule ends, or for `stop_after` seconds of this process, and save.

        Raises DivergedError when the loss is not finite (see `on_nan`) and CheckpointError when a checkpoint
        cannot be written; the checkpoints written before are intact then.
        """
        try:
            self._steps(stop_after)
            self.saver.wait()
        except Exception:
            self.saver.join()
            raise

    def _steps(self, stop_after: float) -> None:
        s, p = self.settings, self.parallel
        source = self.source
        if isinstance(source, ByIndex):
            source = Placed(source, self.micro_batches, self.position, self.batch_size)
        self.stream = batches(source, self.micro_batches + p.rank, p.world, self.workers)
        self.drawn, self.aside = None, 0.0
        began, already, first, saved = time.time(), self.seconds, self.step, self.step
        exported = kept = began
        self.reporter.start()
        while True:
            now = time.time()
            progress, leave, keep, due = p.agree(
                [
                    self.progress(),
                    float(self.stop or now - began >= stop_after),
                    float(s.save_every > 0 and 0 < 60 * s.save_minutes < now - kept),
                    float(0 < self.export_every < now - exported),
                ]
            )
            if keep and saved != self.step:
                self.save()
                saved, kept = self.step, time.time()
            if due and self.step:
                self.publish()
                exported = time.time()
            if progress >= 1 or leave:
                break
            self.set_learning_rate(progress)
            # what a forward pass moves besides gradients: running means of normalisation
            moved = [b.clone() for b in self.running] if s.on_nan == "skip" else []
            loss, norm = self.gradient()
            self.step += 1
            if math.isfinite(loss) and math.isfinite(norm):
                self.update()
                self.pending.append(loss)
                self.skipped = 0
            else:
                self._not_finite(loss, norm)
                for buffer, before in zip(self.running, moved, strict=True):
                    buffer.copy_(before)
            if self.untimed and self.step == first + self.untimed:
                self.warmed()
                self.aside = time.time() - began
            self.seconds = already + time.time() - began - self.aside
            self._tell(loss)
            self.after()
            if s.save_every and self.step % s.save_every == 0:
                self.save()
                saved, kept = self.step, time.time()
        self.reporter.stop()
        if s.save_every and saved != self.step:
            self.save()

    def _tell(self, loss: float) -> None:
        """After each step: log and validate when it is time."""
        s, reporter = self.settings, self.reporter
        reporter.moved(loss)
        validates = self.validates()
        if not validates and not (s.log_every and self.step % s.log_every == 0):
            return
        reporter.share()
        entry = {"step": self.step, self.counted: self.samples, "seconds": round(self.seconds, 1)}
        if self.pending:
            entry["loss"] = round(sum(self.pending) / len(self.pending), 5)
            self.pending = []
        entry |= self.told()
        if validates:
            entry |= self.validate()
        if reporter.skipped_files:
            entry["skipped_files"] = reporter.skipped_files
        self.log.append(entry)
        reporter.record(entry, [o.param_groups[0]["lr"] for o in self.optimizers])

    def _not_finite(self, loss: float, norm: float) -> None:
        """Say so; stop the run, or leave the weights as they were before this step."""
        self.skipped += 1
        what = f"the loss is {loss} and the norm of its gradient {norm} at step {self.step}"
        if self.settings.on_nan == "stop" or self.skipped >= MOST_SKIPS:
            self.saver.join()
            before = checkpoint.newest(state.folder(self.out)) if self.parallel.main else None
            kept = f"; the last checkpoint is {before}" if before else ""
            raise DivergedError(f"{what}: {self.remedy} and resume{kept}")
        self.reporter.say(f"{what}: this step is skipped")

    # ---- state ---------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The loop's own: counters, losses not yet told of, the log."""
        return {name: getattr(self, name) for name in (*COUNTERS, "micro_batches", "position")}

    def load_state_dict(self, stored: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`; checkpoints of before, which do not tell the place, too."""
        for name in COUNTERS:
            setattr(self, name, stored[name])
        self.micro_batches, self.position = state.place(stored, self.settings.accumulate, self.batch_size)

    def save(self) -> None:
        """Begin to write a checkpoint, and write the log for people."""
        self.reporter.share()
        s = self.settings
        self.saver.save(self.step, score=self.score, keep_last=s.keep_last, keep_best=s.keep_best)
        if self.parallel.main:
            with replacing(self.out / "log.json") as log:
                log.write_text(json.dumps(self.log))


def leave_on_signals(run: Run[Any]) -> None:
    """Ctrl-C or a termination signal ends the run after a checkpoint; a second one at once."""

    def leave(*_: object) -> None:
        if run.stop:
            raise KeyboardInterrupt
        run.stop = True

    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, leave)
