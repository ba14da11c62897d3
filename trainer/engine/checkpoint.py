"""Checkpoints on disk: whole or not at all.

    FOLDER/step-000001200/tensors-000.safetensors ...   the tensors
                          state.json                    everything that is no tensor
                          manifest.json                 SHA-256 and size of each file, step and score
    FOLDER/LATEST                                       the name of the newest one

A checkpoint is written to FOLDER/.tmp-STEP, every file synced to the disk, the manifest last; then the directory
is renamed, its parent synced, and LATEST replaced. A kill at any point leaves the previous checkpoint valid and at
most a `.tmp-` directory, which the next save removes. Reading trusts no name: a checkpoint counts only if every
file has the size and the SHA-256 that its manifest says; if the newest does not, the one before it is taken.

Of a run in shards every process writes the rows that it holds, as tensors-RANK-000.safetensors ..., and the header of
each file says which rows of which tensor they are: `Reader` gives any rows of the whole, whoever wrote them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT_VERSION = 3  # written by several processes; what one wrote alone stays readable for programs of before
WHOLE_VERSION = 2
FILE_BYTES = 2 << 30  # tensors are split over files of about this size
POINTS = (
    "started",
    "tensors written",
    "state written",
    "manifest written",
    "directory synced",
    "renamed",
    "parent synced",
    "pointer written",
    "pointer renamed",
    "old ones removed",
)


def at(point: str) -> None:
    """Passed at each of POINTS during a save. Does nothing; the crash tests put a kill here."""


class CheckpointError(RuntimeError):
    """A checkpoint could not be written; the message says why, and what is still there."""


class OutputError(CheckpointError, ValueError):
    """The folder asked for cannot be written to: found out before the work."""


class Rows(NamedTuple):
    """The rows that one process holds of a tensor."""

    tensor: Tensor  # [n, ...]
    first: int  # row of the whole that they begin with
    whole: int  # rows of the whole


Named = Iterable[tuple[str, Tensor | Rows]]


def save(
    folder: Path,
    step: int,
    tensors: Named,
    state: dict[str, Any],
    *,
    score: float | None = None,
    keep_last: int = 2,
    keep_best: int = 1,
) -> Path:
    """Write a checkpoint of one process and remove those that need not be kept.

    Args:
        tensors: (name, tensor) pairs, consumed one by one.
        state: JSON values.
        score: lower is better; the `keep_best` best are kept beside the `keep_last` newest.
    Raises:
        CheckpointError: the disk is full, read-only or not writable. Earlier checkpoints are untouched.
    """
    begin(folder, step)
    write(folder, step, tensors)
    text = json.dumps(state)
    return finish(folder, step, text, score=score, keep_last=keep_last, keep_best=keep_best)


def begin(folder: Path, step: int) -> None:
    """The first part of a save, in one process: a place for the files. What a kill has left there goes."""
    with _explained(folder, step):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".tmp-*"):
            shutil.rmtree(left)
        _aside(folder, step).mkdir()
        at("started")


def write(folder: Path, step: int, tensors: Named, rank: int = 0, world: int = 1) -> None:
    """The second part, in each process that writes: its tensors, and a note of their files for `finish`."""
    with _explained(folder, step, remove=rank == 0):
        aside = _aside(folder, step)
        files = _write_tensors(aside, tensors, "tensors" if world == 1 else f"tensors-{rank:03d}")
        at("tensors written")
        note = aside / f"part-{rank:03d}.json"
        note.with_suffix(".tmp").write_text(json.dumps({f.name: _entry(f) for f in files}))
        os.replace(note.with_suffix(".tmp"), note)


def finish(
    folder: Path,
    step: int,
    state: str,
    world: int = 1,
    given_up: Callable[[], bool] = lambda: False,
    *,
    score: float | None = None,
    keep_last: int = 2,
    keep_best: int = 1,
) -> Path:
    """The last part, in one process: wait for the parts of all, then make a checkpoint of them.

    state is JSON; given_up says whether a part will never come.
    """
    aside, final = _aside(folder, step), folder / f"step-{step:09d}"
    with _explained(folder, step):
        while len(notes := sorted(aside.glob("part-*.json"))) < world:
            if given_up():
                raise OSError("another process could not write its part")
            time.sleep(0.01)
        files: dict[str, Any] = {}
        for note in notes:
            files |= json.loads(note.read_text())
            note.unlink()
        files["state.json"] = _entry(_write_text(aside / "state.json", state))
        at("state written")
        version = WHOLE_VERSION if world == 1 else FORMAT_VERSION
        manifest = {"format_version": version, "step": step, "score": score, "files": files}
        _write_text(aside / "manifest.json", json.dumps(manifest))
        at("manifest written")
        _sync(aside)
        at("directory synced")
        if final.exists():  # a run that fell back to an older checkpoint comes by this step again
            shutil.rmtree(final)
        os.rename(aside, final)
        at("renamed")
        _sync(folder)
        at("parent synced")
        pointer = folder / ".LATEST.tmp"
        _write_text(pointer, final.name + "\n")
        at("pointer written")
        os.replace(pointer, folder / "LATEST")
        _sync(folder)
        at("pointer renamed")
    _prune(folder, final, keep_last, keep_best)
    at("old ones removed")
    return final


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose manifest holds, or None. (LATEST is for people and scripts: it proves nothing.)"""
    return next((path for path in sorted(Path(folder).glob("step-*"), reverse=True) if is_whole(path)), None)


def is_whole(path: Path, share: int = 0, shares: int = 1) -> bool:
    """Whether every file of a checkpoint is there with the size and SHA-256 of its manifest.

    Several processes can share the work: each looks at every `shares`-th file, and all must be content.
    """
    manifest = _manifest(path)
    if manifest is None or manifest.get("format_version") not in (WHOLE_VERSION, FORMAT_VERSION):
        return False
    try:
        return all(
            (path / name).stat().st_size == entry["bytes"] and _digest(path / name) == entry["sha256"]
            for name, entry in list(manifest["files"].items())[share::shares]
        )
    except (OSError, KeyError, TypeError, AttributeError):
        return False


class Reader:
    """The tensors of one checkpoint by name, whole or some rows of them, read when asked for, and its `state`."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.state: dict[str, Any] = json.loads((self.path / "state.json").read_text())
        # name -> (first row, file, name in the file), by their first rows; and rows of those that are spread
        self._pieces: dict[str, list[tuple[int, Any, str]]] = {}
        self._rows: dict[str, int] = {}
        for name in sorted(self.path.glob("tensors-*.safetensors")):
            file = safe_open(str(name), framework="pt")
            spread = json.loads((file.metadata() or {}).get("rows", "{}"))
            for key in file.keys():  # noqa: SIM118
                first, whole = spread.get(key, (0, None))
                self._pieces.setdefault(key, []).append((first, file, key))
                if whole is not None:
                    self._rows[key] = whole
        for pieces in self._pieces.values():
            pieces.sort(key=lambda piece: piece[0])

    def __contains__(self, name: str) -> bool:
        return name in self._pieces

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def rename(self, name: str, now: str) -> None:
        """A tensor by the name that it has now."""
        self._pieces[now] = self._pieces.pop(name)

    def shape(self, name: str) -> list[int]:
        """Of the whole tensor."""
        _, file, key = self._find(name)[0]
        shape = list(file.get_slice(key).get_shape())
        return [self._rows[name], *shape[1:]] if name in self._rows else shape

    def __getitem__(self, name: str) -> Tensor:
        """The whole tensor."""
        if name in self._rows:
            return self.rows(name, 0, self._rows[name])
        _, file, key = self._find(name)[0]
        return file.get_tensor(key)

    def rows(self, name: str, first: int, last: int) -> Tensor:
        """Rows first, first + 1, ..., last - 1 of a tensor."""
        found = []
        for start, file, key in self._find(name):
            piece = file.get_slice(key)
            a, b = max(first, start) - start, min(last - start, piece.get_shape()[0])
            if a < b:
                found.append(piece[a:b])
        if sum(map(len, found)) < last - first:
            raise ValueError(f"the checkpoint {self.path} lacks rows of {name!r}: use another --out folder")
        if found:
            return found[0] if len(found) == 1 else torch.cat(found)
        _, file, key = self._find(name)[0]
        return file.get_slice(key)[0:1][:0]

    def _find(self, name: str) -> list[tuple[int, Any, str]]:
        if name not in self._pieces:
            raise ValueError(
                f"the checkpoint {self.path} holds no {name!r}: it belongs to another recipe; "
                "use another --out folder"
            )
        return self._pieces[name]


def check_writable(folder: Path) -> None:
    """OutputError now rather than after the first hour if nothing can be written to `folder`."""
    probe = Path(folder) / ".tmp-probe"
    try:
        probe.mkdir(parents=True, exist_ok=True)
        (probe / "file").write_text("written to see whether this works")
        shutil.rmtree(probe)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written to ({error.strerror}); choose another --out folder"
        ) from error


# ---- parts ------------------------------------------------------------------------------------------------


def _aside(folder: Path, step: int) -> Path:
    return folder / f".tmp-{step}"


@contextmanager
def _explained(folder: Path, step: int, remove: bool = True) -> Iterator[None]:
    """A failure of the system as CheckpointError, with what is left of the save removed."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if remove:
            shutil.rmtree(_aside(folder, step), ignore_errors=True)
        raise CheckpointError(_explain(folder, step, error)) from error


def _write_tensors(folder: Path, tensors: Named, prefix: str) -> list[Path]:
    files: list[Path] = []
    waiting: dict[str, Tensor] = {}
    spread: dict[str, tuple[int, int]] = {}  # name -> (first row, rows of the whole)
    size = 0

    def flush() -> None:
        path = folder / f"{prefix}-{len(files):03d}.safetensors"
        save_file(waiting, str(path), {"rows": json.dumps(spread)} if spread else None)
        _sync(path)
        files.append(path)
        waiting.clear()
        spread.clear()

    for name, tensor in tensors:
        rows, tensor = (tensor, tensor.tensor) if isinstance(tensor, Rows) else (None, tensor)
        tensor = tensor.detach().cpu().contiguous()
        if waiting and size + tensor.nbytes > FILE_BYTES:
            flush()
            size = 0
        waiting[name] = tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
        if rows is not None:
            spread[name] = (rows.first, rows.whole)
        size += tensor.nbytes
    flush()
    return files


def _write_text(path: Path, text: str) -> Path:
    with open(path, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return path


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": _digest(path), "bytes": path.stat().st_size}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """fsync a file or, where the system knows that, a directory."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows syncs what may be written
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _manifest(path: Path) -> dict | None:
    try:
        manifest = json.loads((path / "manifest.json").read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else None


def _prune(folder: Path, latest: Path, keep_last: int, keep_best: int) -> None:
    """Remove what is neither among the newest nor among the best; a failure to remove harms nothing.

    Whatever is newer than the one just written was torn, or the run would have gone on from there.
    """
    found = [path for path in sorted(folder.glob("step-*"), reverse=True) if path <= latest]
    keep = set(found[: max(1, keep_last)])
    scores = {path: (_manifest(path) or {}).get("score") for path in found}
    measured = [(score, i, path) for i, (path, score) in enumerate(scores.items()) if score is not None]
    keep |= {path for _, _, path in sorted(measured)[:keep_best]}
    for path in folder.glob("step-*"):
        if path not in keep:
            shutil.rmtree(path, ignore_errors=True)


def _explain(folder: Path, step: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    known: dict[int | None, str] = {
        errno.ENOSPC: "the disk is full",
        errno.EROFS: "the disk is read-only",
        errno.EACCES: "no permission",
        errno.EFBIG: "the file would grow beyond what is allowed",
        errno.EDQUOT: "the quota is used up",
    }
    why = known.get(number, str(error))
    try:
        before = newest(folder)
    except OSError:
        before = None
    kept = f"the checkpoint {before.name} is intact" if before else "there is no earlier checkpoint"
    return f"the checkpoint of step {step} could not be written to {folder}: {why}; {kept}"
