"""What one process of the distributed tests does; see crew.py."""

import os
import signal
import sys
from pathlib import Path
from unittest.mock import patch

import torch
from tiny_run import tiny_recipe
from tiny_tokenizer import tiny_tokenizer
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from trainer.engine import checkpoint
from trainer.engine.loop import Trainer
from trainer.engine.muon import Muon
from trainer.engine.parallel import Parallel, full
from trainer.engine.state import split
from trainer.judge.detector import WIDTHS
from trainer.judge.loop import JudgeData, JudgeTrainer
from trainer.scenes.atlas import Atlas
from trainer.scenes.spec import EMOJI_128
from trainer.settings.judge import JudgeSettings
from trainer.tokenizer import train as tokenizer


def train(kind: str, codec: Path, out: Path, options: dict) -> dict:
    """Go on with a tiny run, and export its model; losses, kinds of parameters and whole weights."""
    run = Trainer(tiny_recipe(parallel=kind, **options), Path(codec), Path(out), torch.device("cpu"))
    resumed = run.resume()
    kinds = {type(p).__name__ for p in run.model.parameters()}
    losses, gradient = [], run.gradient

    def heard() -> tuple[float, float]:
        losses.append(gradient())
        return losses[-1]

    with patch.object(run, "gradient", heard):
        run.run()
    run.export(run.out / "model")
    weights = {name: full(p.detach()).tolist() for name, p in run.model.named_parameters()}
    return {
        "losses": losses,
        "kinds": sorted(kinds),
        "world": run.parallel.world,
        "weights": weights,
        "resumed": resumed,
    }


def whole_state(kind: str, codec: Path, out: Path, options: dict) -> dict[str, list]:
    """Every tensor of a checkpoint as this number of processes holds it after resuming, gathered."""
    run = Trainer(tiny_recipe(parallel=kind, **options), Path(codec), Path(out), torch.device("cpu"))
    assert run.resume()
    return {name: full(v).tolist() for name, v in split(run.parts)[0]}


def dies(codec: Path, out: Path, options: dict, rank: int, where: str, nth: int) -> dict:
    """`train` in shards, in which process `rank` dies at its nth passage of the point `where` of a save."""
    passed = 0

    def at(point: str) -> None:
        nonlocal passed
        passed += where == point
        if where == point and passed == nth and os.environ["RANK"] == str(rank):
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.at = at
    return train("fsdp", codec, out, options)


def train_tokenizer(folder: Path, out: Path, settings: dict) -> tuple[list[float], dict[str, list]]:
    """(losses of the log, weights) of a tiny tokenizer's run."""
    run = tiny_tokenizer(Path(folder), Path(out), **settings)
    run.resume()
    run.run()
    weights = {name: p.detach().tolist() for name, p in run.model.named_parameters()}
    return [entry["loss"] for entry in run.log], weights


def train_judge(out: Path, settings: dict) -> tuple[list[float], dict[str, list]]:
    """(losses of the log, parameters) of a narrow judge of four objects at 128 pixels."""
    torch.set_num_threads(1)
    WIDTHS["emoji_128"] = (8, 16, 16)
    parallel = Parallel(torch.device("cpu"))
    data = JudgeData.of(Atlas.load(), EMOJI_128, 4, parallel.device)
    asked = JudgeSettings(**{"batch": 2, "steps": 2, "log_every": 1, "save_every": 1, **settings})
    run = JudgeTrainer(data, asked, Path(out), parallel, {})
    run.resume()
    run.run()
    weights = {name: p.detach().tolist() for name, p in run.model.named_parameters()}
    return [entry["loss"] for entry in run.log], weights


def tokenizer_command(arguments: list[str]) -> None:
    """`python -m trainer tokenizer` with these arguments."""
    torch.set_num_threads(1)
    sys.argv[1:] = arguments
    tokenizer.main()


def sharded_muon(one_machine: bool) -> tuple[list[float], list[float]]:
    """(differences of weights, in shards and whole, after four steps; their sizes)."""
    world = os.environ["WORLD_SIZE"]
    os.environ["LOCAL_WORLD_SIZE"] = world if one_machine else "1"
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (int(world),))
    g = torch.Generator().manual_seed(0)
    # some with fewer rows than processes
    shapes = [(7, 5), (7, 5), (4, 9), (2, 3), (7, 5), (7, 5), (12, 12)]
    plain = [torch.nn.Parameter(torch.randn(*shape, generator=g)) for shape in shapes]
    split = [torch.nn.Parameter(distribute_tensor(p.detach().clone(), mesh, [Shard(0)])) for p in plain]
    runs = [(Muon(plain, lr=0.1, weight_decay=0.1), plain), (Muon(split, lr=0.1, weight_decay=0.1), split)]
    for _ in range(4):
        gradients = [torch.randn(*shape, generator=g) for shape in shapes]
        for optimizer, params in runs:
            for p, grad in zip(params, gradients, strict=True):
                whole = params is plain
                p.grad = grad.clone() if whole else distribute_tensor(grad.clone(), mesh, [Shard(0)])
            optimizer.step()
    differences = [float((full(q.detach()) - p).abs().max()) for p, q in zip(plain, split, strict=True)]
    return differences, [float(p.detach().abs().max()) for p in plain]
