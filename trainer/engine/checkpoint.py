"""Checkpoints on disk: whole or not at all.

    FOLDER/step-000001200/tensors-000.safetensors ...   the tensors
                          state.json                    everything that is no tensor
                          manifest.json                 SHA-256 and size of each file, step and score
    FOLDER/LATEST                                       the name of the newest one

A checkpoint is written to FOLDER/.tmp-STEP, every file synced to the disk, the manifest last; then the directory
is renamed, its parent synced, and LATEST replaced. A kill at any point leaves the previous checkpoint valid and at
most a `.tmp-` directory, which the next save removes. Reading trusts no name: a checkpoint counts only if every
file has the size and the SHA-256 that its manifest says; if the newest does not, the one before it is taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT_VERSION = 2
FILE_BYTES = 2 << 30  # tensors are split over files of about this size, so that a save needs little memory
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


def save(
    folder: Path,
    step: int,
    tensors: Iterable[tuple[str, Tensor]],
    state: dict[str, Any],
    *,
    score: float | None = None,
    keep_last: int = 2,
    keep_best: int = 1,
) -> Path:
    """Write a checkpoint and remove those that need not be kept.

    Args:
        tensors: (name, tensor) pairs, consumed one by one.
        state: JSON values.
        score: lower is better; the `keep_best` best are kept beside the `keep_last` newest.
    Raises:
        CheckpointError: the disk is full, read-only or not writable. Earlier checkpoints are untouched.
    """
    folder = Path(folder)
    temporary, final = folder / f".tmp-{step}", folder / f"step-{step:09d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".tmp-*"):
            shutil.rmtree(left)
        temporary.mkdir()
        at("started")
        files = _write_tensors(temporary, tensors)
        at("tensors written")
        files.append(_write_json(temporary / "state.json", state))
        at("state written")
        manifest = {
            "format_version": FORMAT_VERSION,
            "step": step,
            "score": score,
            "files": {f.name: {"sha256": _digest(f), "bytes": f.stat().st_size} for f in files},
        }
        _write_json(temporary / "manifest.json", manifest)
        at("manifest written")
        _sync(temporary)
        at("directory synced")
        if final.exists():  # a run that fell back to an older checkpoint comes by this step again
            shutil.rmtree(final)
        os.rename(temporary, final)
        at("renamed")
        _sync(folder)
        at("parent synced")
        pointer = folder / ".LATEST.tmp"
        with open(pointer, "w") as file:
            file.write(final.name + "\n")
            file.flush()
            os.fsync(file.fileno())
        at("pointer written")
        os.replace(pointer, folder / "LATEST")
        _sync(folder)
        at("pointer renamed")
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(_explain(folder, step, error)) from error
    _prune(folder, final, keep_last, keep_best)
    at("old ones removed")
    return final


def newest(folder: Path) -> Path | None:
    """The newest checkpoint whose manifest holds, or None. (LATEST is for people and scripts: it proves nothing.)"""
    return next((path for path in sorted(Path(folder).glob("step-*"), reverse=True) if is_whole(path)), None)


def is_whole(path: Path) -> bool:
    """Whether every file of a checkpoint is there with the size and SHA-256 of its manifest."""
    manifest = _manifest(path)
    if manifest is None or manifest.get("format_version") != FORMAT_VERSION:
        return False
    try:
        return all(
            (path / name).stat().st_size == entry["bytes"] and _digest(path / name) == entry["sha256"]
            for name, entry in manifest["files"].items()
        )
    except (OSError, KeyError, TypeError, AttributeError):
        return False


class Reader:
    """The tensors of one checkpoint by name, read when asked for, and its `state`."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.state: dict[str, Any] = json.loads((self.path / "state.json").read_text())
        self._files = [
            safe_open(str(f), framework="pt") for f in sorted(self.path.glob("tensors-*.safetensors"))
        ]
        self._file_of = {name: file for file in self._files for name in file.keys()}  # noqa: SIM118

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def __iter__(self):
        return iter(self._file_of)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._file_of:
            raise ValueError(
                f"the checkpoint {self.path} holds no {name!r}: it belongs to another recipe; "
                "use another --out folder"
            )
        return self._file_of[name].get_tensor(name)


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


def _write_tensors(folder: Path, tensors: Iterable[tuple[str, Tensor]]) -> list[Path]:
    files: list[Path] = []
    waiting: dict[str, Tensor] = {}
    size = 0

    def flush() -> None:
        path = folder / f"tensors-{len(files):03d}.safetensors"
        save_file(waiting, str(path))
        _sync(path)
        files.append(path)
        waiting.clear()

    for name, tensor in tensors:
        tensor = tensor.detach().cpu().contiguous()
        if waiting and size + tensor.nbytes > FILE_BYTES:
            flush()
            size = 0
        waiting[name] = tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
        size += tensor.nbytes
    flush()
    return files


def _write_json(path: Path, value: Any) -> Path:
    with open(path, "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    return path


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
    keep |= set(sorted((p for p in found if scores[p] is not None), key=lambda p: scores[p])[:keep_best])
    for path in folder.glob("step-*"):
        if path not in keep:
            shutil.rmtree(path, ignore_errors=True)


def _explain(folder: Path, step: int, error: Exception) -> str:
    number = getattr(error, "errno", None)
    known = {
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
