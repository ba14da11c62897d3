"""What NL-Diffusion-Image costs at full size on this GPU: random weights, 1,024 px, 20 steps with guidance and editing.

    python -m trainer bench nl [--steps 20] [--runs 3] [--out assets/benchmarks]
    python -m trainer bench nl --tiny --device cpu    the same at a shape that any machine runs

Weights are made on the GPU in bf16, of the size of trained ones: they take the time and memory of trained weights and
draw nothing. A prompt has 117 ids and 1,024 slots, as the authors' own example has. Measured are a run step by step, a
picture's decoding and encoding, and the sampling tail: from the hidden states of both branches of guidance to a token
and its probability, by the fused step and by the way of published programs, which make logits [2, L, V], guide them,
and take their softmax and a multinomial draw. Beside them stands memory beyond what was in use before.
"""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from mdm_core.device import default
from mdm_core.families.nl_diffusion.backbone import NLBackbone
from mdm_core.families.nl_diffusion.config import BodyConfig, NLConfig
from mdm_core.families.nl_diffusion.prompts import NLPrompts, Prompt
from mdm_core.families.nl_diffusion.transformer import NLTransformer
from mdm_core.families.published.ibq import IBQ, IBQConfig
from mdm_core.ops import describe_backend, sample_step
from mdm_core.pipeline import Pipeline
from trainer.bench.measure import peak_bytes, times
from trainer.command import ask, out_folder, run_command
from trainer.record import environment
from trainer.settings.bench import NLDiffusion

ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
FULL = NLConfig(BodyConfig(rope_parameters=ROPE), IBQConfig())
TINY = NLConfig(
    BodyConfig(512, 64, 64, 2, 4, 2, 16, 96, sample_size=8, rope_parameters=ROPE),
    IBQConfig(32, (1, 1, 1), 1, (4,), 16, 8, 8, 512),
)
GUIDANCE = 5.0
SETTINGS: dict[str, Any] = {
    "guidance": GUIDANCE,
    "temperature": 1.0,
    "schedule": "shift",
    "edit": "overwrite",
    "edit_threshold": 0.0,  # random weights are never sure: at any other no edit would be made
    "polish": 0,
}
BEFORE, BEHIND = 114, 3  # ids before the slots and behind them


class _Prompts:
    """A prompt of the usual length, whatever it says."""

    take, join = NLPrompts.take, NLPrompts.join

    def __init__(self, config: BodyConfig):
        self.config = config

    def encode(self, prompts: list[str]) -> list[Prompt]:
        g = torch.Generator().manual_seed(0)
        length = BEFORE + self.config.slots + BEHIND
        ids = torch.randint(self.config.vocab_size, (length,), generator=g)
        return [Prompt(ids, BEFORE - 6, BEFORE)] * len(prompts)


def filled(module: nn.Module, device: torch.device, held: Callable[[str], torch.dtype]) -> None:
    """Random weights for a module on the meta device, made where they stay."""
    g = torch.Generator(device).manual_seed(0)
    state = {}
    for name, p in module.state_dict().items():
        value = torch.empty(p.shape, dtype=held(name), device=device)
        # of the size of trained ones, so that nothing overflows or dies out on the way
        scale = 1.0 if "embed" in name else float(p[0].numel()) ** -0.5 if p.ndim > 1 else 0.0
        state[name] = (
            value.normal_(0, scale, generator=g) if p.ndim > 1 else value.fill_(name.endswith("weight"))
        )
    module.load_state_dict(state, assign=True)
    module.eval().requires_grad_(False)


def build(config: NLConfig, device: torch.device, dtype: torch.dtype) -> Pipeline:
    """The pipeline as `from_pretrained` makes it of a folder, but for its words."""
    with torch.device("meta"):
        model, codec = NLTransformer(config), IBQ(config.tokenizer, config.body.sample_size)
    narrow = ("decoder.", "post_quant_conv.")
    filled(model, device, lambda name: dtype)
    filled(codec, device, lambda name: dtype if name.startswith(narrow) else torch.float32)
    return Pipeline(codec, _Prompts(config.body), NLBackbone(model, config))


def published_tail(both: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
    """[2, L, D] -> (tokens [L], their probabilities [L]), as published programs make them."""
    logits = both @ head.t()  # [2, L, V]
    guided = (1 + GUIDANCE) * logits[0] - GUIDANCE * logits[1]
    p = guided.softmax(-1)
    token = torch.multinomial(p, 1)
    return token[:, 0], p.gather(1, token)[:, 0]


def fused_tail(both: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
    """The same by the fused step, with entropy, the best two and the current token's probability besides."""
    hidden = (1 + GUIDANCE) * both[0].float() - GUIDANCE * both[1].float()
    current = torch.full((len(hidden),), len(head), device=head.device)
    done = sample_step(hidden, head, current, temperature=1.0, seed=1, step=1)
    return done.token, done.confidence


def tail(config: NLConfig, device: torch.device, dtype: torch.dtype, seconds: float) -> dict[str, Any]:
    """Milliseconds and memory of both tails."""
    L, D, V = config.body.sample_size**2, config.body.hidden_size, config.tokenizer.codebook_size
    g = torch.Generator(device).manual_seed(1)
    both = torch.randn(2, L, D, generator=g, device=device).to(dtype)
    head = (torch.randn(V, D, generator=g, device=device) * D**-0.5).to(dtype)
    work: dict[str, Callable[[], object]] = {
        "fused": lambda: fused_tail(both, head),
        "published": lambda: published_tail(both, head),
    }
    taken = times(work, device, seconds)
    memory = {name: peak_bytes(run, device) for name, run in work.items()}
    return {
        "shape": [2, L, V],
        "ms": {name: round(ms, 3) for name, ms in taken.items()},
        "memory_mb": {name: round(size / 1e6, 2) for name, size in memory.items()},
        "share_of_published": {
            "time": round(taken["fused"] / taken["published"], 4),
            "memory": round(memory["fused"] / memory["published"], 4),
        },
    }


def timed(steps: Iterator[Any], device: torch.device) -> tuple[list[float], list[Any]]:
    """Seconds until each, and what came."""
    taken, out, began = [], [], time.perf_counter()
    for one in steps:
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        taken.append(now - began)
        out.append(one)
        began = now
    return taken, out


def measure(
    config: NLConfig, device: torch.device, dtype: torch.dtype, steps: int, runs: int
) -> dict[str, Any]:
    """Seconds and memory of a run and of a picture."""
    pipe = build(config, device, dtype)
    used = memory(device)
    each, whole_runs, edits = [], [], 0
    for run in range(runs + 1):
        taken, records = timed(pipe.stream("a run", seed=run, steps=steps, **SETTINGS), device)
        if run:  # the first warms up
            each += taken[1:]
            whole_runs.append(sum(taken))
            edits = sum(len(record.edited) for record in records)
    after_run = memory(device)
    tokens = records[-1].tokens.reshape(pipe.grid)
    decoded = [_once(functools.partial(pipe.decode, tokens), device) for _ in range(runs + 1)]
    encoded = [_once(functools.partial(pipe.encode, decoded[-1][1]), device) for _ in range(runs + 1)]
    seconds = {
        name: round(statistics.median(taken for taken, _ in made[1:]), 4)
        for name, made in (("decode", decoded), ("encode", encoded))
    }
    return {
        "parameters": {
            name: sum(p.numel() for p in part.state_dict().values())
            for name, part in (
                ("transformer", cast(Any, pipe.backbone).model),
                ("tokenizer", cast(Any, pipe.codec)),
            )
        },
        "dtype": str(dtype).removeprefix("torch."),
        "steps": steps,
        "settings": SETTINGS,
        "edits_of_the_last_run": edits,
        "seconds": {"step": round(statistics.median(each), 4), "run": round(statistics.median(whole_runs), 3)}
        | seconds,
        "memory_gb": {"weights": used, "peak of a run": after_run, "peak with pictures": memory(device)},
    }


def _once(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """(seconds, what it made)"""
    began = time.perf_counter()
    made = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, made


def memory(device: torch.device) -> float | None:
    """Most of the GPU's memory in use so far, GB."""
    return round(torch.cuda.max_memory_allocated() / 1e9, 2) if device.type == "cuda" else None


def main(argv: list[str] | None = None) -> None:
    args = ask(NLDiffusion, __doc__, argv)
    device, config = torch.device(args.device or default()), TINY if args.tiny else FULL
    if device.type == "cpu" and not args.tiny:
        raise ValueError(
            "at full size this needs a GPU of 24 GB or more: --tiny runs the same work at a small shape"
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "this machine has no CUDA device: --device cpu --tiny runs the same work at a small shape"
        )
    out, dtype = out_folder(args.out), torch.bfloat16
    print(describe_backend(device), flush=True)
    row: dict[str, Any] = {
        "name": "NL-Diffusion-Image, random weights",
        **measure(config, device, dtype, args.steps, args.runs),
    }
    print(json.dumps(row, indent=1), flush=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    row |= {"sampling_tail": tail(config, device, dtype, args.seconds), "environment": environment(device)}
    print(json.dumps(row["sampling_tail"], indent=1))
    if args.tiny:
        return
    path = out / f"nl_diffusion_{device.type}.json"
    path.write_text(json.dumps({"rows": [row]}, indent=1) + "\n")
    print("wrote", path)


if __name__ == "__main__":
    run_command(main)
