"""A small model (9.9 M parameters, 60 objects) on two CPU cores.

    python -m trainer train emoji_cpu --codec assets/model --out runs/emoji_cpu

Cost: 17 scenes/s on two cores of an AMD EPYC server, in a run of one minute; 4 hours at that rate see
about 245,000 scenes.
Result: not run to its end; over its first 640 scenes the loss is 13.3 on average.
"""

from mdm_core.families.chisel.config import ModelConfig
from trainer.recipes.recipe import Recipe
from trainer.scenes.source import SceneDataConfig

RECIPE = Recipe(
    model=ModelConfig(width=256, depth=6, heads=4, kv_heads=4, ffn=704, token_width=192, token_heads=3),
    data=SceneDataConfig(n_objects=60, batch_size=64),
    minutes=240,
    ema=0.999,
)
