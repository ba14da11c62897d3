"""Write tests/golden/amused anew: tiny random twins of aMUSEd in the real layout, and what diffusers makes of them.

    python -m venv --system-site-packages /tmp/reference && /tmp/reference/bin/pip install diffusers transformers
    /tmp/reference/bin/python tests/reference/amused.py

Our tests need neither library. "plain" is built like amused-256: weights in fp32, the prompt's end found as its largest
id, a vocabulary of two files. "halved" is built like amused-512, where the body sees half of the cells a side: weights
in fp16, the end by its own id, another token for padding, a vocabulary of one file. golden.safetensors of a twin holds

    ids, states, pooled     of four prompts
    tokens, logits, guided  of every third cell of a half-masked grid, and those with guidance of scale 10
    picture, codes          a picture and its tokens
    made, painted           tokens step by step [T + 1, L] of a run and of an inpainting, greedy in its choice of tokens
    pixels                  the picture that the run ends with

published.json holds the configurations of amused-256 and amused-512 as their files give them, and the names and shapes
of the weights that the libraries make of them: how often each comes, with the numbers of layers as N.

Weights are random in norms and biases too: at the values that they start from, mistakes would not show. Order noise is
ours, so that runs can be compared token by token.
"""

from __future__ import annotations

import argparse


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    # the libraries are asked for after the help, which is there without them
    from amused_twins import write_all

    write_all()


if __name__ == "__main__":
    main()
