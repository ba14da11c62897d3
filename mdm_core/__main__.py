"""Make a picture from the command line.

python -m mdm_core "three strawberries on a teal background" --seed 0 --out strawberries.png --trajectory run.json
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from mdm_core.declared import Choice, Setting
from mdm_core.paths import located
from mdm_core.settings import SEED, SETTINGS


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mdm_core", description="Type a prompt, get a picture.")
    parser.add_argument("prompt", help="what you would like to see")
    parser.add_argument(
        "--out", type=Path, default=Path("picture.png"), help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--trajectory", type=Path, help="also write every step as JSON")
    parser.add_argument("--scale", type=int, default=1, help="enlarge the picture this many times")
    parser.add_argument(
        "--model", help="model folder, or owner/name of one that was fetched (default: the shipped weights)"
    )
    parser.add_argument("--device", help="cpu or cuda (default: a GPU if there is one)")
    parser.add_argument("--seed", default=0, help=_help(SEED), **SEED.flag())
    sampling = parser.add_argument_group("sampling (defaults come with the weights)")
    for name, setting in SETTINGS.items():
        flag = f"--{name.replace('_', '-')}"
        sampling.add_argument(flag, default=argparse.SUPPRESS, help=_help(setting), **setting.flag())
    return parser.parse_args(argv)


def _help(setting: Setting) -> str:
    """What a setting is for and what it may be, for --help."""
    words = setting.help.rstrip(".") or setting.label
    span = "" if isinstance(setting, Choice) else f" ({setting.range})"  # choices stand in the flag itself
    return f"{words[:1].lower()}{words[1:]}{span}".replace("%", "%%")


def check_writable(path: Path) -> None:
    """ValueError unless a file can be written at `path`; what is there stays as it is."""
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ValueError(f"the folder {folder} does not exist: create it or write elsewhere")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    try:
        if path.exists():
            path.open("ab").close()
        else:
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}): write elsewhere") from None


def check_picture_name(path: Path) -> None:
    """ValueError unless pictures can be written in the format that the name of `path` asks for."""
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    try:  # some formats are only read here, or hold no colours: a small picture tells
        Image.new("RGB", (32, 32)).save(io.BytesIO(), kind)
    except Exception:
        raise ValueError(
            f"{path} is no picture file: give --out a name that ends in .png, .webp or .jpg"
        ) from None


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    # after the arguments, so that help and a slip are answered without PyTorch
    from mdm_core.diffusion.sampler import check_seed
    from mdm_core.ops import describe_backend
    from mdm_core.pipeline import Pipeline

    settings = {name: value for name, value in vars(args).items() if name in SETTINGS}
    try:
        if not 1 <= args.scale <= 64:
            raise ValueError(f"--scale must be from 1 to 64, got {args.scale}")
        args.out, args.trajectory = located(args.out), args.trajectory and located(args.trajectory)
        if args.trajectory and args.trajectory.resolve() == args.out.resolve():
            raise ValueError(f"--out and --trajectory are both {args.out}: give each a name of its own")
        for path in filter(None, (args.out, args.trajectory)):
            check_writable(path)
        check_picture_name(args.out)
        check_seed(args.seed)
        pipe = Pipeline.from_pretrained(args.model, args.device)
        config = pipe.settings(**settings)
        print(describe_backend(pipe.device), file=sys.stderr)
        began, records, edits = time.perf_counter(), [], 0
        with tqdm(total=config.steps + config.polish, unit="step", leave=False) as bar:
            for record in pipe.stream(args.prompt, seed=args.seed, **settings):
                records.append(record)
                edits += len(record.edited)
                bar.update(record.step > 0)
                bar.set_postfix_str(f"{int((record.tokens == pipe.vocab_size).sum())} masked, {edits} edited")
        told = {"seed": args.seed, **dataclasses.asdict(config)}
        run = pipe.trajectory(args.prompt, told, records)
        image = run.image
        image.resize((image.width * args.scale, image.height * args.scale)).save(args.out)
        if args.trajectory:
            run.save(args.trajectory)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(records) - 1} steps, {edits} edits, {time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
