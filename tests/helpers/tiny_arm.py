"""An arm of table A on ten grids of random tokens, without atlas, judge and prompts."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_model import tiny_config

from mdm_core.groups import Groups
from trainer.evidence.arms import ArmRun, Bench
from trainer.settings.evidence import Ablate, Arm, ArmSettings


class TinyBench(Bench):
    """What the arms share."""

    def __init__(self, out: Path):
        config = tiny_config()
        self.args = Ablate(batch=3, rows=0.8, out=out)
        self.device = torch.device("cpu")
        self.model_config, self.codec_config = config.model, config.tokenizer
        self.flips = Groups.lattice(config.tokenizer.levels, 2)

    def load(self) -> dict:
        g = torch.Generator().manual_seed(0)
        x0 = torch.randint(0, 32, (10, 16), generator=g).int()
        text = torch.randint(0, 20, (10, self.model_config.text_length), generator=g).short()
        return {"x0": x0, "text": text, "unseen_x0": x0[:4], "unseen_text": text[:4]}


def tiny_arm(out: Path, arm: Arm, **settings) -> ArmRun:
    torch.set_num_threads(1)
    bench = TinyBench(out)
    settings = {"seed": 1, "steps": 12, "save_every": 4} | settings
    return ArmRun(bench, arm, ArmSettings(**settings), bench.load(), out, None, lambda: None)
