"""Your own pictures: a folder with captions, tar shards, tokens made beforehand, or a streamed dataset.

    python -m trainer.train folder data.path=my_pictures --out runs/mine
    python app.py --model runs/mine/model

my_pictures holds the pictures and a metadata.jsonl with lines like {"file_name": "cup.png", "text": "a red cup"}
(trainer/folder.py names the other layouts). With many pictures or a GPU, tokenise once and train on that:

    python -m trainer.tokenize my_pictures --out my_tokens --processes 4 --views 4
    python -m trainer.train folder data.path=my_tokens --out runs/mine

The same command goes on where a run was cut. data.flip=True mirrors half of the pictures, where no caption says
left or right; data.crop=0.8 cuts random squares. The prompt vocabulary is learnt from your captions.
"""

from mdm_core.config import ModelConfig
from trainer.own_data import OwnDataConfig
from trainer.recipe import Recipe

RECIPE = Recipe(
    model=ModelConfig(width=256, depth=6, heads=4, kv_heads=4, ffn=704, token_width=192, token_heads=3),
    data=OwnDataConfig(batch_size=64, workers=1),
    minutes=240,
    ema=0.999,
)
