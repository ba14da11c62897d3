"""The world at 256 pixels: 806 objects in 3D and drawn styles, 32x32 tokens of 16,384, on one to eight GPUs.

PLACEHOLDER
"""

from mdm_core.config import ImageTokenizerConfig, ModelConfig
from mdm_core.diffusion.corruption import CorruptionConfig
from trainer.recipes.recipe import Recipe
from trainer.scenes.source import SceneDataConfig
from trainer.scenes.spec import WORLD_256

# what `--world world_256` makes of the tokenizer's defaults
CODEC = ImageTokenizerConfig(WORLD_256.image, WORLD_256.patch)

RECIPE = Recipe(
    model=ModelConfig(
        vocab_size=CODEC.vocab_size,
        code_levels=CODEC.levels,
        grid=CODEC.grid,
        text_vocab_size=4096,
        text_length=48,
    ),
    data=SceneDataConfig(spec=WORLD_256.name, reword=0.25, batch_size=192, workers=12),
    corruption=CorruptionConfig(flip_uniform=0.5, flip_group=0.5),
    self_flip_steps=0.25,
    minutes=15,
    compile=True,
    ema=0.998,
    log_every=50,
    validate_every=500,
    sheet_every=1000,
)
