"""Bring a published model into the hub's cache: the only part of Chisel that goes online.

python -m mdm_core.fetch amused/amused-256

Size and licence are said first; a licence that restricts use asks for a yes. One commit is
brought, and all that is needed of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mdm_core.families import MODEL_TYPES, TRANSFORMER, family_of
from mdm_core.hub import names
from mdm_core.hub.card import LICENCES

FREE = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "unlicense"}
TEXTS = {".json", ".txt", ".md"}
# a large model lies in several files at the root, which this one lists
SHARDS, ROOT = "model.safetensors.index.json", "config.json"


class Offer(NamedTuple):
    """What the hub has under a name."""

    name: str
    commit: str
    files: tuple[str, ...]  # those that are needed
    size: int  # of them, bytes
    licence: str  # as the hub writes it; empty where the model's card does not say


def offer(name: str, revision: str | None = None) -> Offer:
    """Ask the hub; ValueError, one sentence, where it does not answer or has no such model."""
    from huggingface_hub import HfApi

    if name.lower() in names.PICKLED:
        raise ValueError(f"{name} cannot be fetched: {names.PICKLED[name.lower()]}")
    try:
        told = HfApi(endpoint=_endpoint()).model_info(
            name, revision=revision, files_metadata=True, timeout=30
        )
    except Exception as error:  # noqa: BLE001  the client's own kinds and those of what it stands on
        raise ValueError(f"{name} cannot be found on the hub: {_short(error)}") from error
    sizes = {f.rfilename: f.size or 0 for f in told.siblings or ()}
    files = needed(sizes)
    whole = TRANSFORMER in files or (SHARDS in files and ROOT in files and _opens(name, told.config))
    if not whole or not any(f.endswith(".safetensors") for f in files):
        raise ValueError(
            f"{name} is no model that opens here: it needs {TRANSFORMER} and .safetensors files, and its files "
            f"are {', '.join(sorted(sizes)[:5]) or 'none'}"
        )
    card: Any = told.card_data
    licence = (card.get("license_name") or card.get("license") or "") if card is not None else ""
    licence = next((str(one) for one in licence), "") if isinstance(licence, list) else str(licence)
    return Offer(name, str(told.sha), files, sum(sizes[f] for f in files), licence)


def _opens(name: str, config: Any) -> bool:
    """Whether what lies in shards at the root is a model that opens here, by what the hub tells of its config.json."""
    kind = config.get("model_type") if isinstance(config, dict) else None
    return name in names.KNOWN if kind is None else kind in MODEL_TYPES


def needed(files: Iterable[str]) -> tuple[str, ...]:
    """Of a repository's files those that are opened: texts, and weights in 16 bits where there are such.

    Weights lie in a folder for each part; or, where the root has a list of shards, there alone.
    """
    files = sorted(files)
    depth = 1 if SHARDS in files and TRANSFORMER not in files else 2
    out = []
    for file in files:
        path = Path(file)
        if path.suffix in TEXTS and len(path.parts) <= 2:
            out.append(file)
        if path.suffix == ".safetensors" and len(path.parts) == depth:
            half = file.removesuffix(".safetensors") + ".fp16.safetensors"
            if half not in files:
                out.append(file)
    return tuple(out)


def bring(found: Offer) -> Path:
    """Load the files of an offer into the cache; the folder that they lie in."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            found.name,
            revision=found.commit,
            allow_patterns=list(found.files),
            cache_dir=names.home(),
            endpoint=_endpoint(),
        )
    except Exception as error:  # noqa: BLE001  as above
        raise ValueError(f"{found.name} could not be brought: {_short(error)}") from error
    # a revision that was already there becomes the one that was fetched last
    Path(folder).touch()
    return Path(folder)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mdm_core.fetch",
        description=(__doc__ or "").partition("\n\n")[0],
    )
    parser.add_argument("name", help="owner/name on the hub, as amused/amused-256")
    parser.add_argument("--revision", help="a full commit (default: the newest; it is said)")
    parser.add_argument("--yes", action="store_true", help="agree to the licence, for scripts")
    args = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the client is imported
    try:
        if not names.is_name(args.name):
            raise ValueError(f"{args.name!r} is no name of a model: it should read owner/name")
        if args.revision is not None and not names.is_commit(args.revision):
            raise ValueError(f"--revision must be a full commit of 40 hex digits, got {args.revision!r}")
        found = offer(args.name, args.revision)
        print(described(found), flush=True)
        if found.licence not in FREE and not (args.yes or agreed(found)):
            raise ValueError(f"{found.name} was not fetched: its licence needs a yes, or --yes")
        folder = bring(found)
        family_of(folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: stopped; what has come already is kept, and the same command goes on", file=sys.stderr)
        return 130
    print(f"{folder}\nOpen it with: python app.py --model {found.name}")
    return 0


def described(found: Offer) -> str:
    """Size, licence and commit of what would be brought."""
    licence = LICENCES.get(found.licence, found.licence) or "the model's card names none"
    known, needs = names.KNOWN.get(found.name, ("", ""))[1], names.NEEDS.get(found.name)
    if known and found.licence not in LICENCES:
        licence = f"{licence} ({known})"
    told = f"{found.name}: {_bytes(found.size)} in {len(found.files)} files; licence: {licence}; "
    return told + (f"needs {needs}; " if needs else "") + f"commit {found.commit}"


def agreed(found: Offer) -> bool:
    """Whether the person at the keyboard says yes; without one it is a no."""
    print(f"Its terms: https://huggingface.co/{found.name}", flush=True)
    try:
        return input("Do you agree to them? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _endpoint() -> str | None:
    """A mirror of the hub, where the environment names one as it does for the hub's own programs."""
    return os.environ.get("HF_ENDPOINT") or None


def _short(error: Exception) -> str:
    """What an error says, in one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def _bytes(count: int) -> str:
    """As people write sizes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
