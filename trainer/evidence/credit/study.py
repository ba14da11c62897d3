"""Run the arms of a study, one a card, within a time budget: tables A and E and the question of the vocabulary.

    python -m trainer evidence credit --ground runs/ground_lattice --study objective --predict
    python -m trainer evidence credit --ground runs/ground_lattice --study objective --minutes 9 --out runs/credit_a

The same command goes on where it was cut: runs that have ended stay, the others resume from their checkpoints. Every
card takes the next run that is not done, seed by seed, so that all arms of a seed stand before the next seed begins;
on a machine without a GPU one run goes at a time. credit.json in --out holds what there is at every moment;
`python -m trainer evidence tables` makes pages and plots of such records in its folder.

All of the question, with one to four GPUs; minutes are of one card. `--predict` says what a study will cost before it
begins.

    tokenizers, one a card                                                                        4 minutes each
        python -m trainer tokenizer --world world_256 --patch 16 --levels 16 16 16 8 4 --encoder-width \\
            1024 --decoder-width 384 --decoder-depth 8 --minutes 4 --batch 128 --workers 8 --out runs/codec_131072
        the same with --codebook 131072 for --levels ..., and for the vocabulary question with --levels 8 8 8 8,
        --levels 8 8 8 8 4 and --levels 16 16 16 16
    grounds, one a card                                                                           2 minutes each
        python -m trainer evidence ground --codec runs/codec_131072 --world world_256 --objects 40 \\
            --styles 3d --scenes 262144 --out runs/ground_131072
        python -m trainer evidence ambiguity --ground runs/ground_131072 --json runs/ambiguity_131072.json
    a pilot: is CE accepted half of the time?  Take its steps for all that follows.               3 minutes
        python -m trainer evidence credit --ground runs/ground_131072 --arms ce --seeds 1 --steps 2000 --out runs/pilot
    table A, on either ground                                                                     18 runs
        python -m trainer evidence credit --ground runs/ground_131072 --study objective --out runs/credit_a
    why: the knobs, one seed first                                                                8 runs
        python -m trainer evidence credit --ground runs/ground_131072 --study knobs --seeds 1 --out runs/credit_knobs
    table E                                                                                       15 runs
        python -m trainer evidence credit --ground runs/ground_131072 --study editing --editing --out runs/credit_e
    the vocabulary, on each of its grounds                                                        6 runs each
        python -m trainer evidence credit --ground runs/ground_4096 --study vocabulary --out runs/credit_4096
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch

from mdm_core.device import usable
from trainer.command import ask, out_folder, run_command
from trainer.evidence.credit.cost import predict
from trainer.evidence.credit.ground import Ground
from trainer.evidence.credit.training import ArmTrainer, write_json
from trainer.record import environment
from trainer.settings.credit import ARMS, CreditSettings

TOLD = {"stopped": "stopped; the same command goes on"}
RECORD, SETUP = "credit.json", "setup.json"
LEAST = 20.0  # seconds that must be left for a run to be begun or gone on with


def folder_of(out: Path, arm: str, seed: int) -> Path:
    return out / "runs" / f"{arm}-{seed}"


def row_of(out: Path, arm: str, seed: int) -> dict[str, Any] | None:
    """What there is of a run; None where it has measured nothing yet."""
    path = folder_of(out, arm, seed) / "row.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


# ---- in the process of a card ---------------------------------------------------------------------------------------

_leaving: Any = None  # set by the coordinator: save and leave


def take_card(cards: Any, leaving: Any) -> None:
    """The first thing that a process of the pool does: it sees one card and no other."""
    global _leaving  # noqa: PLW0603  (a pool gives its processes no other place)
    _leaving = leaving
    card = cards.get()
    if card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = card
    # the coordinator is told, and tells
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, signal.SIG_IGN)


def run_job(settings: CreditSettings, arm: str, seed: int, until: float) -> str:
    """Train one arm of one seed as far as the time goes; what became of it in a word."""
    if until - time.time() < LEAST or _leaving.is_set():
        return "not begun"
    return train_arm(settings, arm, seed, until, lambda: time.time() > until or _leaving.is_set())


def train_arm(settings: CreditSettings, arm: str, seed: int, until: float, leaves: Any) -> str:
    """`run_job` without a pool."""
    out = folder_of(settings.out, arm, seed)
    device = None if settings.device is None else usable(settings.device)
    run = ArmTrainer(Ground(settings.ground), arm, ARMS[arm], seed, settings.conditions, out, device, leaves)
    run.resume()
    run.run(stop_after=max(0.0, until - time.time()))
    run.write()
    said = "done" if run.ended else f"cut at step {run.step}"
    if run.ended:
        clear(out)
    del run
    gc.collect()  # the next run of this process wants the card's memory
    return said


def clear(out: Path) -> None:
    """Remove the checkpoints of a run that has ended: at V = 131,072 they weigh a third of a gigabyte each."""
    for path in sorted((out / "checkpoints").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


# ---- the coordinator ------------------------------------------------------------------------------------------------


def cards_of(settings: CreditSettings) -> list[str | None]:
    """CUDA_VISIBLE_DEVICES of each process; [None] where everything runs on one device that is named or no GPU."""
    if settings.device is not None or not torch.cuda.is_available():
        return [None]
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = shown.split(",") if shown else [str(i) for i in range(torch.cuda.device_count())]
    return list(cards[: settings.cards or len(cards)])


def collect(settings: CreditSettings, info: dict[str, Any]) -> list[dict[str, Any]]:
    """Write credit.json from the rows that there are, of other arms in the folder too; returns the rows."""
    paths = sorted((settings.out / "runs").glob("*/row.json"))
    rows = [json.loads(p.read_text(encoding="utf-8")) for p in paths]
    write_json(settings.out / RECORD, {**info, "runs": rows})
    return rows


def prepared(settings: CreditSettings) -> dict[str, Any]:
    """The head of the record. ValueError where the folder holds runs under other conditions."""
    ground = Ground(settings.ground)
    asked = settings.alike()
    setup = out_folder(settings.out) / SETUP
    if setup.exists():
        before = json.loads(setup.read_text(encoding="utf-8"))
        if other := sorted(k for k in asked if before.get(k) != asked[k]):
            raise ValueError(
                f"{settings.out} holds runs with another {other[0]} ({before.get(other[0])}, not "
                f"{asked[other[0]]}): choose another --out"
            )
    write_json(setup, asked)
    told = ("world", "objects", "styles", "vocab_size", "tokens", "codec", "fidelity", "controls", "snapped")
    return {
        "environment": environment(usable(settings.device), settings.commit),
        "conditions": asked,
        "ground": {k: ground.info[k] for k in told} | {"scenes": ground.info["scenes"]},
        "prompts": len(ground.prompts),
        "verifier_sha256": ground.info["verifier_sha256"],
        "study": settings.study,
    }


def run_queue(settings: CreditSettings) -> list[dict[str, Any]]:
    """All runs, as far as the minutes go; the rows that there are in the end."""
    until = time.time() + 60 * settings.minutes
    info, cards = prepared(settings), cards_of(settings)
    todo = [(a, s) for a, s in settings.jobs if not (row_of(settings.out, a, s) or {}).get("done")]
    print(f"{len(todo)} runs to do on {len(cards)} cards", flush=True)
    context = multiprocessing.get_context("spawn")
    places, leaving = context.Queue(), context.Event()
    for card in cards:
        places.put(card)
    with _signals(leaving), ProcessPoolExecutor(len(cards), context, take_card, (places, leaving)) as pool:
        futures = {pool.submit(run_job, settings, a, s, until): (a, s) for a, s in todo}
        waiting: set[Future[str]] = set(futures)
        while waiting:
            ended, waiting = wait(waiting, timeout=5.0, return_when=FIRST_COMPLETED)
            for future in ended:
                _told(futures[future], future)
            collect(settings, info)
    rows = collect(settings, info)
    left = len(settings.jobs) - sum(r["done"] for r in rows if (r["arm"], r["seed"]) in settings.jobs)
    print(
        f"{settings.out / RECORD}: " + (f"{left} runs are left" if left else "all runs are done"), flush=True
    )
    return rows


def _told(job: tuple[str, int], future: Future[str]) -> None:
    """What became of a run; the others go on where one failed."""
    try:
        said = future.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "a run's process was ended from outside; the same command goes on with what is saved"
        ) from None
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        said = f"failed: {error}"
    print(f"{job[0]}, seed {job[1]}: {said}", flush=True)


class _signals:
    """While it lasts, Ctrl-C and a termination signal have every run save and leave; a second one ends at once."""

    def __init__(self, leaving: Any):
        self.leaving = leaving

    def __enter__(self) -> None:
        def leave(*_: object) -> None:
            if self.leaving.is_set():
                raise KeyboardInterrupt
            self.leaving.set()

        self.before = {s: signal.signal(s, leave) for s in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for sent, handler in self.before.items():
            signal.signal(sent, handler)


def main() -> None:
    settings = ask(CreditSettings, __doc__)
    if settings.predict:
        print(predict(Ground(settings.ground), settings))
    else:
        run_queue(settings)


if __name__ == "__main__":
    run_command(main, **TOLD)
