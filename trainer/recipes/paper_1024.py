"""The paper's shape: 1024 px, 64x64 tokens of a vocabulary of 131,072, on many GPUs. Not trained by us.

    python -m trainer.train paper_1024 --plan --gpus 64
    python -m trainer.tokenize --help                       # pictures -> tokens, once
    accelerate launch --multi_gpu --num_machines 8 --num_processes 64 -m trainer.train paper_1024 \\
        --codec CODEC --out runs/paper data.path=TOKENS

Cost: `--plan` prints it: 7.4 billion parameters in the blocks, memory of a GPU, and the days at a measured rate.
Expected: nothing of this size has been trained with this program; the tests build it on the meta device and
train a shrunken copy. Steps and batch are choices of ours, the length of the paper's training is not published.

From the released model's configuration: blocks, widths, heads, 2x2 resampling, flip ratio 0.2, edit weight 0.2,
GCE weight 0.2 at V/8 groups, prompt dropout 0.1. Ours: the tokenizer is a lattice of 16 x 16 x 8 x 8 x 8 codes on
16 px patches, so that the groups are lattice cells of eight; over another codebook set groups=kmeans.
"""

from mdm_core.config import ModelConfig
from mdm_core.corruption import CorruptionConfig
from mdm_core.loss import ObjectiveConfig
from trainer.own_data import OwnDataConfig
from trainer.recipe import Recipe

LEVELS = (16, 16, 8, 8, 8)  # V = 131,072

RECIPE = Recipe(
    model=ModelConfig(
        vocab_size=131072,
        code_levels=LEVELS,
        grid=64,
        text_vocab_size=32768,
        text_length=128,
        width=4096,
        depth=34,
        heads=32,
        kv_heads=8,
        ffn=14336,
        token_width=1024,
        token_depth=2,
        token_heads=16,
        token_ffn=2048,
        resample=2,
        rope_base=100.0,
    ),
    data=OwnDataConfig(image_size=1024, batch_size=16, workers=8),
    corruption=CorruptionConfig(flip=0.2, flip_uniform=0.5, flip_group=0.5),
    objective=ObjectiveConfig(ce_weight=1.0, group_weight=0.2, edit_weight=0.2),
    groups="lattice",  # 16,384 cells of 8 codes: {V/8: 0.2}
    group_factor=2,
    prompt_dropout=0.1,
    self_flip_steps=0.25,
    steps=100_000,
    lr=3e-4,
    matrix_lr=0.01,
    weight_decay=0.01,
    ema=0.9999,
    parallel="fsdp",
    checkpointing=True,
    compile=True,
    log_every=50,
    validate_every=2000,
    save_every=2000,
    save_minutes=0,  # a checkpoint is 88 GiB
    sheet_every=2000,
    export_every=0,
)
