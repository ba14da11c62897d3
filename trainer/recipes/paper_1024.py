"""The paper's shape: 1024 px, 64x64 tokens of a vocabulary of 131,072, on many GPUs. Not trained by us.

    python -m trainer plan paper_1024 --gpus 64
    python -m trainer tokenizer --images PICTURES --images-share 1 --image-size 1024 --patch 16 \\
        --levels 16 16 8 8 8 --minutes 600 --out CODEC
    python -m trainer tokens PICTURES --codec CODEC --out TOKENS --processes 64
    accelerate launch --multi_gpu --num_machines 8 --num_processes 64 --machine_rank N --main_process_ip HOST \\
        --main_process_port 29500 -m trainer train paper_1024 --codec CODEC --out runs/paper data.path=TOKENS

The last one on each machine, with its N from 0 to 7; CODEC, TOKENS and --out where all machines see them.

Cost, on paper: 7.4 billion parameters in the blocks; 16 GiB of each of 64 GPUs (29 more while it starts); at best 583
pictures/s, 2.4 million image tokens/s, 2.0 days for 100,000 steps of 1,024 pictures. The plan prints the account, for
any number of GPUs: it follows from the rates of single kernels measured on one H100, more a bound than a forecast; the
forecast that it gives beside it scales the bound by what whole steps of a 300 M model on record reached of theirs.
Never measured: all 34 blocks, and what the network takes (61 GB to each GPU a step). These commands measure:

    python -m trainer bench train --device cuda                        share of a GPU's peak, at 300 M parameters
    python -m trainer bench scaling --recipe paper_1024 --depth 4      1, 2, 4, 8 GPUs, blocks of this shape

Expected: nothing of this size has been trained with this program; the tests build it on the meta device, train a
shrunken copy, and go through the commands above in small. Steps and batch are choices of ours, the length of the
paper's training is not published.

From the released model's configuration: blocks, widths, heads, 2x2 resampling, flip ratio 0.2, edit weight 0.2,
GCE weight 0.2 at V/8 groups, prompt dropout 0.1. Ours: the tokenizer is a lattice of 16 x 16 x 8 x 8 x 8 codes on
16 px patches, so that the groups are lattice cells of eight; over another codebook set groups=kmeans.
"""

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.diffusion.loss import ObjectiveConfig
from mdm_core.families.chisel.config import ModelConfig
from trainer.data.own import OwnDataConfig
from trainer.recipes.recipe import Recipe

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
