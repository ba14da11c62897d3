"""Write tests/golden/meissonic anew: tiny twins of Monetico and Meissonic, and what their program makes of them.

    git clone https://github.com/viiika/Meissonic && git -C Meissonic checkout aeba85e8
    /tmp/reference/bin/python tests/reference/meissonic.py Meissonic    (with the libraries of amused.py)

"plain" is built like Monetico, "halved" like Meissonic, where the body sees half of the cells a side. Prompts and
pictures are those of aMUSEd's twins, so golden safetensors hold

    tokens, logits, guided  of every third cell of a half-masked grid with five steps to come, and with guidance of 9
    made, pixels            tokens step by step [T + 1, L] of a run with a negative prompt, greedy in its choice of
                            tokens, and the picture that it ends with

published.json is that of the models on the hub, by the configurations that are known of them.
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
    from meissonic_twins import write_all

    write_all(args.clone)


if __name__ == "__main__":
    main()
