"""What all commands of the trainer share: how arguments are asked for, where results go, how a failure is told.

A command ends with 2 where it was asked for something that cannot be, and with 1 where the work itself failed; either
way with one sentence.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mdm_core.paths import located
from trainer.options import HIDDEN, options

Asked = TypeVar("Asked")

# What was asked for cannot be: a value, or, as the file system says, a place. Another argument helps.
PLACES = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
ASKED = (ValueError, ArithmeticError, *PLACES)
FAILED = (RuntimeError, OSError, MemoryError, ImportError)


def run_command(
    main: Callable[[], None], memory: str = "ask for fewer pictures at once", stopped: str = "stopped at once"
) -> None:
    """`main` for the shell: what a person can put right is said in one sentence.

    memory: what helps where the GPU's memory is full. stopped: what is said after Ctrl-C.
    """
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(stopped)
    except Exception as error:
        if isinstance(error, _of_others("torch", "OutOfMemoryError")):
            sys.exit(f"error: the GPU's memory is full: {memory} ({sentence(error)})")
        if isinstance(error, (*ASKED, *_of_others("safetensors", "SafetensorError"))):
            print(f"error: {sentence(error)}", file=sys.stderr)
            sys.exit(2)
        if isinstance(error, FAILED):
            sys.exit(f"error: {sentence(error)}")
        raise


def _of_others(module: str, name: str) -> tuple[type[BaseException], ...]:
    """An error of a library, which nobody can have met where the library was not imported."""
    return (getattr(sys.modules[module], name),) if module in sys.modules else ()


def sentence(error: BaseException) -> str:
    """One line about an error, for a person."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# ---- arguments: from the declarations of a settings class --------------------------------------------------------


def ask(kind: type[Asked], about: str | None, argv: Sequence[str] | None = None) -> Asked:
    """What a command line asks for, as an object of `kind`; `about` is the text that its help opens with.

    Help and slips of the pen are answered as argparse does; ValueError where values do not go together.
    """
    found = vars(parser_of(kind, about).parse_intermixed_args(argv))
    several = {name for name, option in options(kind).items() if option.several}
    return kind(**{k: tuple(v) if k in several and v is not None else v for k, v in found.items()})


def parser_of(kind: type, about: str | None) -> argparse.ArgumentParser:
    """The flags of a settings class: a field `log_every` with help is `--log-every`."""
    parser = argparse.ArgumentParser(
        prog=os.path.basename(sys.argv[0]),
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    for name, option in options(kind).items():
        default = defaults[name]
        if not option.about:
            continue
        told = option.about if option.about == HIDDEN else option.about.replace("%", "%%")
        if told != HIDDEN and "default" not in told and (shown := _shown(default)):
            told = f"{told} (default: {shown})"
        more: dict[str, Any] = {} if default is dataclasses.MISSING else {"default": default}
        if option.several:
            more["nargs"] = "*" if option.place else "+"
        elif option.place and more:
            more["nargs"] = "?"
        elif not option.place:
            more["required"] = not more
        flag = name if option.place else f"--{name.replace('_', '-')}"
        parser.add_argument(flag, help=told, **{**more, **option.flag})
    return parser


def _shown(default: Any) -> str:
    """A default as help shows it; nothing where there is nothing to say."""
    if default is dataclasses.MISSING or default is None or default is False or default == math.inf:
        return ""
    if isinstance(default, tuple | list):
        return " ".join(map(_shown, default))
    if isinstance(default, Path) and default.is_absolute():
        return "the shipped one"
    return str(default).replace("%", "%%")


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
    from PIL import Image

    Image.init()
    known = Image.registered_extensions()
    if file is not None and known.get(Path(file).suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{file} is no picture file: give a name that ends in .png, .webp or .jpg")
    return out_file(file)
