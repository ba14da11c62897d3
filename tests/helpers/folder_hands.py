"""Spoils model folders in the way that strangers' folders are spoilt."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file


def change(path: Path, **values) -> None:
    """Keys of a JSON file set, or taken out with ..."""
    data = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not ...}))


def weights(path: Path, edit) -> None:
    """The tensors of a file, as `edit` leaves them."""
    state = load_file(path)
    edit(state)
    save_file(state, path, metadata={"format": "pt"})
