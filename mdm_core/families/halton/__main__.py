"""Make a model folder of Halton-MaskGIT's published files, which are pickles; nothing of them is run.

    python -m mdm_core.families.halton ImageNet_256_tiny.pth vq_ds16_c2i.pt models/halton-tiny

The first is a transformer of llvictorll/Halton-MaskGIT on the hub, the second the tokenizer of
FoundationVision/LlamaGen; both are MIT. They are read by a reader that makes tensors and plain values
and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mdm_core.families.halton.convert import HEADS, convert


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mdm_core.families.halton",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="the transformer, .pth")
    parser.add_argument("tokenizer", type=Path, help="LlamaGen's vq_ds16_c2i.pt")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument(
        "--heads",
        type=int,
        help=f"of attention, where it is none of the sizes {sorted(HEADS)} (width, depth)",
    )
    args = parser.parse_args(argv)
    try:
        told = convert(args.model, args.tokenizer, args.folder, args.heads)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.folder}: {told}\nOpen it with: python app.py --model {args.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
