"""What a study will cost, in minutes of one GPU, before it begins: by measured rates, or by runs that there are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from mdm_core.families.chisel.config import ModelConfig
from trainer.engine.plan import (
    RECORDS,
    build_on_meta,
    forecast,
    kernel_rates,
    parts_of_a_step,
    step_rate,
    work_per_sample,
)
from trainer.evidence.credit.ground import Ground
from trainer.evidence.credit.training import recipe_of
from trainer.recipes.measured import gpu_recipe
from trainer.recipes.recipe import Recipe
from trainer.settings.credit import ARMS, CreditSettings, RunSettings

# What no record says; taken until a run of the folder tells better.
START = 25.0  # seconds of a process before its first step, once a card: imports, the GPU, tuned kernels
PICTURES = 150.0  # pictures a second that a check draws, decodes and judges on one GPU
TOKENS = 1.0  # seconds of a check's token figures
# A small model's steps take so much longer than its products say: launches and the CPU. 65 ms where these say 17, in
# assets/evidence/ablation_gpu.json, of which a step here is the like.
SPENT_BESIDE = 3.9


def step_seconds(settings: RunSettings, recipe: Recipe, folder: Path = RECORDS) -> float | None:
    """Seconds of a step on one GPU of the records; None where there are none.

    As `trainer plan` forecasts it, but the head only sees a share of the tokens, and drafts are paid for.
    """
    rates, rate = kernel_rates(recipe.model.token_width, folder), step_rate(folder)
    if rates is None or rate is None or not rate.get("batch") or forecast(recipe, 1, folder) is None:
        return None
    seconds = []
    for r, share in ((gpu_recipe(rate["batch"]), 1.0), (recipe, settings.rows)):
        model = build_on_meta(r.model)
        work = work_per_sample(r.model, model)
        work = dataclasses.replace(work, head=share * work.head)
        known = kernel_rates(r.model.token_width, folder)
        assert known is not None
        seconds.append(sum(parts_of_a_step(r, 1, model, work, known).values()))
    return SPENT_BESIDE * seconds[1] / seconds[0] * rate["ms"] * 1e-3


def run_seconds(ground: Ground, settings: RunSettings, name: str, folder: Path = RECORDS) -> float | None:
    """Seconds of one run on one GPU, its checks included; None where no rates are on record."""
    recipe = recipe_of(settings, ground, ARMS[name], 0).for_codec(ground.codec)
    step = step_seconds(settings, recipe, folder)
    if step is None:
        return None
    prompts = len(ground.prompts)
    drawn = 0 if not prompts else -(-settings.checks // settings.pictures_every)
    pictures = prompts * (drawn + (4 if settings.editing else 0))
    return settings.steps * step + settings.checks * TOKENS + pictures / PICTURES


def measured(out: Path, steps: int) -> dict[str, float]:
    """Seconds of a run of `steps`, by arms that have ended runs in a folder."""
    found: dict[str, float] = {}
    for path in sorted((out / "runs").glob("*/row.json")):
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if row["done"]:
            found[row["arm"]] = steps * row["seconds_per_step"] + row["seconds_of_checks"]
    return found


def predict(ground: Ground, settings: CreditSettings) -> str:
    """The cost of a queue as text."""
    jobs = settings.jobs
    known = measured(settings.out, settings.steps)
    seeds = len({seed for _, seed in jobs})
    lines, total, unknown = [], 0.0, False
    for name in dict.fromkeys(arm for arm, _ in jobs):
        seconds = run_seconds(ground, settings, name)
        if seconds is None and name not in known:
            unknown = True
            lines.append(f"  {name:<14} unknown: no rates of a GPU are on record")
            continue
        how = "measured" if name in known else "forecast"
        seconds = known.get(name, seconds)
        assert seconds is not None
        total += seconds * seeds
        lines.append(f"  {name:<14} {seconds / 60:6.1f} minutes a run ({how}), {seeds} seeds")
    model = ModelConfig(text_vocab_size=4096)
    head = f"{ground.info['vocab_size']:,} codes, {ground.info['tokens']} tokens a picture, {settings.steps} steps of"
    lines.insert(
        0, f"{head} {settings.batch} on a body of size {settings.size} (text of {model.text_length} ids):"
    )
    if not unknown:
        cards = max(1, settings.cards)
        lines.append(
            f"together {total / 60:.0f} minutes of one GPU, about {(total / cards + START) / 60:.0f} on "
            f"{cards} ({START:.0f} s of start a card)"
        )
    return "\n".join(lines)
