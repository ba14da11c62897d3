"""The shipped weights: one large GPU for a quarter of an hour.

python -m trainer.train emoji_gpu --codec assets/model --out runs/emoji
"""

from mdm_core.config import ModelConfig
from mdm_core.corruption import CorruptionConfig
from trainer.data import SceneDataConfig
from trainer.recipe import Recipe

RECIPE = Recipe(
    model=ModelConfig(),
    data=SceneDataConfig(
        n_objects=160,
        styles=("flat", "cartoon", "simple", "glossy", "bright"),
        batch_size=768,
        workers=12,
    ),
    corruption=CorruptionConfig(flip_uniform=0.5, flip_group=0.5),
    self_flip_steps=0.25,
    minutes=15,
    compile=True,
    ema=0.998,
    log_every=50,
    validate_every=500,
)
