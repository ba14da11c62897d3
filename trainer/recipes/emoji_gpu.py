"""The shipped weights: one large GPU for a quarter of an hour.

    python -m trainer.train emoji_gpu --codec assets/model --out runs/emoji

Cost: 8,500 scenes/s on an H200 (batch 768, 90 ms a step), after half a minute of compilation.
Result: the shipped weights were made in two runs of this recipe. The first had 160 objects and was cut off
after 534 s and 3.8 M scenes at full learning rate (1.495 bits per masked token at its last check). The second
began with those weights, has all 311 objects, the new ones drawn twice as often, and ran to its end:

    python -m trainer.train emoji_gpu --init FIRST --stop-after 515 minutes=8.58 data.favour_from=160 decay=0.45

3.9 M scenes, 1.471 bits per masked token over 311 objects at its last check, before the learning rate was zero.
"""

from mdm_core.config import ModelConfig
from mdm_core.corruption import CorruptionConfig
from trainer.data import SceneDataConfig
from trainer.recipe import Recipe

RECIPE = Recipe(
    model=ModelConfig(),
    data=SceneDataConfig(
        n_objects=311,
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
