"""The world at 256 pixels: 806 objects in 3D and drawn styles, 32x32 tokens of 16,384, on one to eight GPUs.

    python -m trainer tokenizer --world world_256 --encoder-width 1024 --decoder-width 320 \\
        --decoder-depth 8 --minutes 3 --batch 128 --workers 10 --compile --out runs/world_codec
    python -m trainer train world_gpu minutes=3 --codec runs/world_codec --out runs/world_pilot
    accelerate launch --multi_gpu --num_processes 4 -m trainer train world_gpu \\
        minutes=25 --codec runs/world_codec --out runs/world

The tokenizer is frozen before the long run: its figures stand in runs/world_codec/tokenizer.json (`unseen.scenes`:
psnr_db and psnr_p05_db, over scenes whose seed training never draws), its pictures in unseen-scenes.png. Each command
goes on where it was cut.

The sprites (assets/atlas_256, 32 MB) take 0.7 GB of each GPU; `data.atlas=DIR` draws with others.

Guidance in one pass instead of two is a phase of its own, for a tenth of the time or less, from the weights that came:

    accelerate launch --multi_gpu --num_processes 4 -m trainer train world_gpu minutes=3 \\
        model.guided=True lr=4e-4 matrix_lr=0.004 decay=0.8 --init runs/world/model --out runs/world_one_pass

Cost: four H200 train on 11,400 scenes/s together (batch 384, 135 ms a step; batch 192: 106 ms, 7,250 scenes/s) after a
minute of compilation, and their tokenizer on 10,950 pictures/s. On one core of a busy server a worker draws the truth
and captions of 17,000 scenes/s.
Result: the tokenizer, four H200 for 6.5 minutes with a tenth of photographs (--images, --images-share 0.1): 34.3 dB on
unseen scenes, 28.6 on the worst twentieth. The model in assets/world_256 is on its way: 13.5 M scenes, all
at the full learning rate, loss 1.76; `--codec assets/world_256 --init assets/world_256` goes on from it. Two H200:
5,670 scenes/s (batch 384, 135 ms a step).
"""

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig
from trainer.recipes.recipe import Recipe
from trainer.scenes.source import SceneDataConfig
from trainer.scenes.spec import WORLD_256

# what `--world world_256` makes of the tokenizer's defaults
CODEC = ImageTokenizerConfig(WORLD_256.image, WORLD_256.patch)

RECIPE = Recipe(
    model=ModelConfig(
        vocab_size=CODEC.vocab_size, code_levels=CODEC.levels, grid=CODEC.grid, text_vocab_size=4096
    ),
    data=SceneDataConfig(spec=WORLD_256.name, reword=0.25, batch_size=384, workers=12),
    # three pictures in ten lose tokens in one region only, as when people repaint
    corruption=CorruptionConfig(flip_uniform=0.5, flip_group=0.5, region=0.3),
    self_flip_steps=0.25,
    minutes=25,
    compile=True,
    ema=0.998,
    log_every=50,
    # each takes six seconds
    validate_every=2000,
    sheet_every=2000,
)
