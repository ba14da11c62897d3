"""Your own pictures: a folder with captions, tar shards, tokens made beforehand, or a streamed dataset.

    python -m trainer train folder data.path=my_pictures --out runs/mine
    python app.py --model runs/mine/model

my_pictures holds the pictures and a metadata.jsonl with lines like {"file_name": "cup.png", "text": "a red cup"}
(trainer/data/folder.py names the other layouts). With many pictures or a GPU, tokenise once and train on that:

    python -m trainer tokens my_pictures --out my_tokens --processes 4 --views 4
    python -m trainer train folder data.path=my_tokens --out runs/mine

The same command goes on where a run was cut, also with other devices, data.batch_size or accumulate: no picture comes
twice or is left out by that. What was passed over, and why, is listed in skipped.txt of the run. data.flip=True
mirrors half of the pictures, where no caption says left or right; data.crop=0.8 cuts random squares. The prompt
vocabulary is learnt from your captions.

For a first look, a small model for a minute or two (minutes=240 is the recipe's own length):

    python -m trainer train folder data.path=my_pictures --out runs/look minutes=2 data.batch_size=8 \\
        model.width=128 model.heads=2 model.kv_heads=2 model.depth=3 model.ffn=256

Cost: the model is that of emoji_cpu. On two cores of a server that had other work: 3 s from the command to the first
step on 10,000 pictures, 219 pictures/s decoded by one process (640x480 JPEG), 2,000 pictures tokenised in 16 s,
8 pictures/s trained in the first half minute.
Result: after the first look on 30 pictures of red, blue and green circles and squares, 32 steps in 1.5 minutes,
blobs have the colour that is asked for and no shape yet. The end-to-end test trains a smaller model on 40 coloured
discs for 80 steps of 8 pictures, 31 s; asked for a disc of each colour, it draws it. Nothing larger has been run.
"""

from mdm_core.families.chisel.config import ModelConfig
from trainer.data.own import OwnDataConfig
from trainer.recipes.recipe import Recipe

RECIPE = Recipe(
    model=ModelConfig(width=256, depth=6, heads=4, kv_heads=4, ffn=704, token_width=192, token_heads=3),
    data=OwnDataConfig(batch_size=64, workers=1),
    minutes=240,
    ema=0.999,
    log_every=10,
    validate_every=100,
    sheet_every=200,
)
