"""One process of a run that notes what it draws, for test_place.py.

Options are fields of the recipe, and `signal` [rank, step]: that process is told to end after that step; `unread`:
every batch names a file that this process could not read.
"""

import dataclasses
import os
import signal
from pathlib import Path
from unittest.mock import patch

import torch
from tiny_run import TinyData, TinySource, tiny_recipe

from trainer.engine import loop, step
from trainer.engine.loop import Trainer
from trainer.engine.run import leave_on_signals


def work(codec, out, options: dict) -> dict:
    """Train and return what was drawn: samples as [first, end], and the numbers that masks and flips hang on."""
    told, unread = options.pop("signal", None), options.pop("unread", False)
    size = options.pop("batch_size", 3)
    drawn, was, seed_of = [], TinySource.batch, step.stream_seed
    seeds: list[int] = []

    def batch(self, index):
        first = index * self.config.batch_size
        drawn.append([first, first + self.config.batch_size])
        found = was(self, index)
        return dataclasses.replace(found, skipped=(f"{drawn[-1]}.png: broken",)) if unread else found

    def stream_seed(seed, index):
        seeds.append(index)
        return seed_of(seed, index)

    with patch.object(TinySource, "batch", batch), patch.object(loop, "stream_seed", stream_seed):
        recipe = tiny_recipe(**{"save_every": 4, "data": TinyData(batch_size=size), **options})
        run = Trainer(recipe, Path(codec), Path(out), torch.device("cpu"))
        if told:
            leave_on_signals(run)
        resumed, update = run.resume(), run.update

        def listen():
            update()
            if told == [run.parallel.rank, run.step]:
                os.kill(os.getpid(), signal.SIGTERM)

        drawn.clear()
        with patch.object(run, "update", listen):
            run.run()
    return {"resumed": resumed, "drawn": drawn, "seeds": seeds, "step": run.step, "samples": run.samples}
