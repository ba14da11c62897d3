"""How long a picture of 256 pixels takes beside one of 128, on this machine, in one run.

    python -m trainer bench speed                                    random weights of the world's shape, one pass
    python -m trainer bench speed --model runs/world/model --against CHECKOUT       real ones, beside older code

Both pipelines run with their own defaults and decode every step, as the page does. They take turns, so that a
disturbance of the machine hits both alike, each in a process of its own; the small one is the shipped model in the code
of `--against` (a folder of another commit), or in this code. Without --model the large one has random weights, made
sure of themselves as trained ones are, so that steps, edits and polish passes cost what they will. `at equal passes`
is the ratio for as many passes as the small one takes, since runs end early where nothing is left to edit; `cpu` is
that of the cores' own time, which tells more than the clock where others use the machine too.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from mdm_core.families.chisel.config import PipelineConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.pipeline import SHIPPED, Pipeline
from trainer.bench.pipeline import Served
from trainer.command import ask, out_file, run_command
from trainer.recipes.world_gpu import CODEC, RECIPE
from trainer.record import environment
from trainer.settings.bench import ROOT, Speed

SURE = 40.0  # times the head of random weights, which else are as good as even


def random_world(folder: Path, guided: bool = True) -> Path:
    """A model folder of the recipe world_gpu with random weights, and the shipped model's words and settings."""
    torch.manual_seed(0)
    shipped = Pipeline.from_pretrained(SHIPPED, "cpu")
    codec = dataclasses.replace(CODEC, decoder_width=256)
    config = PipelineConfig(codec, dataclasses.replace(RECIPE.model, guided=guided), shipped.config.sample)
    model = MaskedDiffusionTransformer(config.model)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("out.weight", "down.weight")):  # those begin at zero
                p.normal_(std=p.shape[1] ** -0.5)
        model.head.weight.mul_(SURE)
    Pipeline.save(folder, ImageTokenizer(config.tokenizer), model, shipped.prompts, config)
    return folder


def measure(
    places: dict[str, tuple[Path, Path]], runs: int, device: str = "cpu"
) -> dict[str, dict[str, Any]]:
    """Figures of each pipeline, by name: (checkout, model folder). The median of `runs` pictures, in turns."""
    served = {name: Served(checkout, model, device) for name, (checkout, model) in places.items()}
    done: dict[str, list[dict[str, float]]] = {name: [] for name in served}
    for seed in range(runs + 1):
        for name, pipeline in served.items():
            done[name].append(pipeline.ask("one", seed))
    out: dict[str, dict[str, Any]] = {}
    for name, pipeline in served.items():
        figures = done[name][1:]  # the first warms up
        out[name] = {key: round(statistics.median(f[key] for f in figures), 4) for key in figures[0]}
        out[name] |= {"load_s": round(pipeline.load_s, 2), **pipeline.ask("peak")}
        pipeline.close()
    return out


def beside(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    """How many times as long the large picture takes, on the clock and of the cores: as it came, for equal passes."""
    equal = small["passes"] / large["passes"]
    out = {}
    for name, key in (("times", "picture_s"), ("times_cpu", "cpu_s")):
        out[name] = round(large[key] / small[key], 2)
        out[f"{name}_at_equal_passes"] = round(large[key] / small[key] * equal, 2)
    return out


def main(argv: list[str] | None = None) -> None:
    args = ask(Speed, __doc__, argv)
    out_file(args.json)
    if not (args.against / "mdm_core").is_dir():
        raise ValueError(f"{args.against} is no checkout: it holds no folder mdm_core")
    with tempfile.TemporaryDirectory() as aside:
        model = args.model or random_world(Path(aside) / "model", not args.two_passes)
        places = {"small": (args.against, args.small), "large": (ROOT, model)}
        found = measure(places, args.runs)
    record = {
        "environment": environment(torch.device("cpu")),
        "large_is": str(args.model.name) if args.model else "random weights of the recipe world_gpu",
        **found,
        **beside(found["small"], found["large"]),
    }
    print(json.dumps(record, indent=1))
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main)
