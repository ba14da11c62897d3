"""What all commands of the trainer share: how a value is read, where results may be written, how a failure is told.

A command ends with 2 where it was asked for something that cannot be, and with 1 where the work itself failed; either
way with one sentence.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError

from mdm_core.paths import located
from mdm_core.settings import MAX_SEED

# The file system says that what was asked for is not there, or not allowed: another argument helps.
ASKED = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


def run_command(
    main: Callable[[], None], memory: str = "ask for fewer pictures at once", stopped: str = "stopped at once"
) -> None:
    """`main` for the shell: what a person can put right is said in one sentence.

    memory: what helps where the GPU's memory is full. stopped: what is said after Ctrl-C.
    """
    try:
        main()
    except torch.OutOfMemoryError as error:
        sys.exit(f"error: the GPU's memory is full: {memory} ({sentence(error)})")
    except (ValueError, ArithmeticError, SafetensorError, *ASKED) as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(2)
    except (RuntimeError, OSError, MemoryError, ImportError) as error:
        sys.exit(f"error: {sentence(error)}")
    except KeyboardInterrupt:
        sys.exit(stopped)


def sentence(error: BaseException) -> str:
    """One line about an error, for a person."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# ---- values of arguments: `type=` of argparse ---------------------------------------------------------------


def to_path(text: str) -> Path:
    """A path; `~` is the user's own folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("a path must not be empty")
    return located(text)


def whole(low: int = 0, high: int = 1 << 40) -> Callable[[str], int]:
    """A whole number from low to high."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low:,} to {high:,}, got {text[:40]!r}"
            )
        return value

    return read


def number(low: float = 0.0, high: float = math.inf, above: bool = False) -> Callable[[str], float]:
    """A number from low (with `above`: beyond it) to high, and no NaN; infinity only where high is given as such."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low < value if above else low <= value) or not value <= high or math.isinf(value):
            to = "" if high == math.inf else f" and {high:g} or less"
            raise argparse.ArgumentTypeError(
                f"must be a number {'above' if above else 'of at least'} {low:g}{to}, got {text[:40]!r}"
            )
        return value

    return read


any_seed = whole(0, MAX_SEED)


# ---- results: whether they can be written is found out before the work ------------------------------------------


def out_folder(folder: str | os.PathLike) -> Path:
    """The folder for results, made if need be; ValueError when nothing can be written there."""
    folder = located(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise ValueError(f"{folder} cannot be written to ({why}): choose another folder") from error
    return folder


def out_file(file: str | os.PathLike | None, suffixes: Iterable[str] = ()) -> Path | None:
    """The file for results, None for none; ValueError when it cannot be written or its suffix is not one of these."""
    if file is None:
        return None
    file = located(file)
    suffixes = tuple(suffixes)
    if file.is_dir():
        raise ValueError(f"{file} is a folder: give the name of a file in it")
    if suffixes and file.suffix.lower() not in suffixes:
        raise ValueError(f"{file} cannot be written: give a name that ends in {', '.join(suffixes)}")
    out_folder(file.parent)
    if file.exists() and not os.access(file, os.W_OK):
        raise ValueError(f"{file} must not be overwritten (no permission): choose another name")
    return file


def out_picture(file: str | os.PathLike | None) -> Path | None:
    """`out_file` for a picture: its suffix must be one that pictures are saved with."""
    Image.init()
    known = Image.registered_extensions()
    if file is not None and known.get(Path(file).suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{file} is no picture file: give a name that ends in .png, .webp or .jpg")
    return out_file(file)
