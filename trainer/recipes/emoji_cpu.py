"""A small model (9.9 M parameters, 60 objects) on two CPU cores.

    python -m trainer.train emoji_cpu --codec assets/model --out runs/emoji_cpu

Cost: 17 scenes/s on two cores of a 2023 server, so 4 hours see about 245,000 scenes.
Result: not run to its end; the first 640 scenes bring the loss from 14.0 to about 13.
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
