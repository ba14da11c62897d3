"""Write tests/golden/nl_diffusion anew: a tiny random twin of NL-Diffusion-Image, and what other programs make of it.

    /tmp/reference/bin/python tests/reference/nl_diffusion.py INDEX    (with the libraries of amused.py)

INDEX is the model.safetensors.index.json of the real folder: its names, how often each comes and with the numbers of
layers as N, become published.json. Nothing else of the real folder is used: its own program may not be copied, so none
of it is run here. What computes the golden values are parts under free licences that it was built from:

    Ministral3Model of transformers          the body, given a mask that hides nothing
    Downsample2D, Upsample2D of diffusers    64x64 cells into 32x32 slots and back
    the vision tokenizer of Apertus 1.5      the encoder half of the same tokenizer, in transformers
    VQModel of diffusers                     its decoder half: other names, the same blocks in the same order
    PreTrainedTokenizerFast of transformers  the ids of prompts

How they are put together (the prompt's text, the slots, the unconditional branch) is written down here once more, by
what is known of it. golden.safetensors holds

    ids.N                   of each of four prompts
    tokens, logits, guided  of every third cell of a half-masked grid, and with guidance of 5
    picture, codes          a picture and its tokens
    made                    tokens step by step [T + 1, L] of a run, the surest first, greedy in its choice of tokens
    pixels                  the picture that the run ends with
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="the real folder's model.safetensors.index.json")
    args = parser.parse_args()
    # the libraries are asked for after the help, which is there without them
    from nl_diffusion_twins import write_all

    write_all(args.index)


if __name__ == "__main__":
    main()
