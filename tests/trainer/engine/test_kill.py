"""kill -9 at any time: fifty seeded SIGKILLs, half of them at named points inside a save, half whenever they come.

Each kill hits a process that resumed from what the one before left behind. A run goes on until it is through, and
then its whole state must equal that of a run that nobody disturbed, bit for bit. Processes are forked from a
server that has PyTorch loaded already, so that all of it takes seconds.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from crew import context
from tiny_run import assert_same, codec_folder, tiny_run, whole_state

from trainer.engine import checkpoint

KILLS = 50
STEPS = 24
OPTIONS = {"steps": STEPS, "save_every": 2, "log_every": 1000}


def work(codec, out, ready, point=None, nth=1) -> None:
    """In a process of its own: go on with the run, and die at the nth passage of `point`."""
    passed = 0

    def at(where: str) -> None:
        nonlocal passed
        passed += where == point
        if passed == nth and where == point:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.at = at
    run = tiny_run(codec, out, **OPTIONS)
    run.resume()
    ready.send(run.step)
    run.run()


def start(*arguments):
    """(process, step it resumed at)"""
    mine, theirs = context().Pipe(duplex=False)
    codec, out, *rest = arguments
    process = context().Process(target=work, args=(codec, out, theirs, *rest))
    process.start()
    theirs.close()
    return process, mine.recv()


def test_fifty_kills_leave_no_trace(tmp_path):
    codec = codec_folder(tmp_path / "codec")
    undisturbed = tiny_run(codec, tmp_path / "undisturbed", **OPTIONS)
    undisturbed.run()
    expected = whole_state(undisturbed)

    chance, kills, runs = random.Random(20_260), {"inside": 0, "anywhere": 0}, 0
    while sum(kills.values()) < KILLS:
        out, finished = tmp_path / f"run{runs}", False
        runs += 1
        while not finished and sum(kills.values()) < KILLS:
            kind = "inside" if kills["inside"] <= kills["anywhere"] else "anywhere"
            if kind == "inside":
                point, nth = chance.choice(checkpoint.POINTS), chance.randint(1, 3)
                process, _ = start(codec, out, point, nth)
            else:
                process, _ = start(codec, out)
                time.sleep(chance.uniform(0, 0.25))
                process.kill()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)  # an error of its own would be 1
            finished = process.exitcode == 0
            kills[kind] += not finished
        final = tiny_run(codec, out, **OPTIONS)
        final.resume()
        final.run()
        assert_same(expected, whole_state(final))
    assert kills == {"inside": KILLS // 2, "anywhere": KILLS // 2}


@pytest.mark.parametrize("point", checkpoint.POINTS)
def test_a_kill_at_each_point_of_a_save(tmp_path, point):
    """What is found after a kill in the third save: that save from the rename on, the second one before it."""
    codec = codec_folder(tmp_path / "codec")
    process, _ = start(codec, tmp_path / "run", point, 3)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    reached = 6 if checkpoint.POINTS.index(point) >= checkpoint.POINTS.index("renamed") else 4
    assert checkpoint.newest(tmp_path / "run" / "checkpoints").name == f"step-{reached:09d}"
