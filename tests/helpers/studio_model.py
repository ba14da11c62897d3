"""The model in front of which the page is tested: a tiny one made for that, which draws blobs in a fifth of a second.

    python -m trainer tokenizer --minutes 4 --levels 8 8 8 4 --encoder-width 96 --decoder-width 64 --decoder-depth 2 \\
        --out runs/tiny_codec
    cp assets/model/text.json runs/tiny_codec/
    python -m trainer train emoji_cpu --codec runs/tiny_codec --out runs/tiny_studio minutes=9 data.n_objects=311 \\
        model.width=128 model.depth=3 model.heads=2 model.kv_heads=2 model.ffn=352 model.token_width=96 \\
        model.token_depth=1 model.token_heads=2 model.token_ffn=256 validate_every=100000 data.batch_size=64 \\
        decay=0.5 lr=2e-3

on two cores made runs/tiny_studio/model. Its card is that of the studio at 128 pixels; its defaults are six steps, one
of polish, and a sampler so careless (temperature 1.5, noise of 4 in the choice of cells) that every run edits.
`CHISEL_TEST_MODEL` names another model folder. Tests take what they expect from here, not as a number.
"""

import os
from pathlib import Path

from mdm_core.families.chisel.config import load_config

FOLDER = Path(os.environ.get("CHISEL_TEST_MODEL") or Path(__file__).parents[1] / "studio_model")
CONFIG = load_config(FOLDER / "config.json")
MASK = CONFIG.model.mask_id  # the id of a masked token, which comes after the last code
LEVELS = CONFIG.tokenizer.levels
