"""A small model on two CPU cores.

    python -m trainer.train emoji_cpu --codec assets/model --out runs/emoji_cpu

Cost: about 4 hours on 2 cores.
"""

from mdm_core.config import ModelConfig
from trainer.data import SceneDataConfig
from trainer.recipe import Recipe

RECIPE = Recipe(
    model=ModelConfig(width=256, depth=6, heads=4, kv_heads=4, ffn=704, token_width=192, token_heads=3),
    data=SceneDataConfig(n_objects=60, batch_size=64),
    minutes=240,
    ema=0.999,
)
