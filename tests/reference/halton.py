"""Write tests/golden/halton anew: a tiny random twin of Halton-MaskGIT, and what its own program makes of it.

    git clone https://github.com/valeoai/Halton-MaskGIT && git -C Halton-MaskGIT checkout f61b0a13
    /tmp/reference/bin/pip install einops tqdm
    /tmp/reference/bin/python tests/reference/halton.py Halton-MaskGIT    (with the libraries of amused.py)

Transformer, tokenizer (LlamaGen's, as they carry it) and sampler are theirs, under the MIT licence; the tokenizer's
halves are made narrower than its classes ask for by themselves. theirs.safetensors holds both state dicts under the
published names, "vit." and "vq." before them, for tests to make the published pickles of. golden.safetensors holds

    tokens, logits, guided  of every third cell of a half-masked grid, of the codes alone, and with w = 1.5
    picture, codes          a picture and its tokens
    made                    tokens step by step [T + 1, L] of a run, greedy in its choice of tokens
    pixels                  the picture that the run ends with

Their sampler rounds the cells of a step down where ours rounds up: the run is made with ours.

published.json holds names and shapes of the published sizes: how often each comes, with the numbers of layers as N.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clone", type=Path, help="their repository at that commit")
    args = parser.parse_args()
    # the libraries are asked for after the help, which is there without them
    from halton_twins import write_all

    write_all(args.clone)


if __name__ == "__main__":
    main()
