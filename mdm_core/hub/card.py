"""What the card of a published model says: README.md, with a few lines of YAML before its text."""

from __future__ import annotations

import re
from pathlib import Path

LICENCES = {"openrail++": "OpenRAIL++", "apache-2.0": "Apache-2.0", "mit": "MIT"}


def licence(folder: Path) -> str:
    """The licence that the card of a model folder names; empty where there is no card, or none in it."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:20_000]
    except OSError:
        return ""
    head = re.match(r"---\s*\n(.*?)\n---", text, re.S)
    said: dict[str, str] = (
        dict(re.findall(r"^(license(?:_name)?):[ \t]*[\"']?([^\"'\s#]+)", head[1], re.M)) if head else {}
    )
    name = said.get("license", "")
    # "other" has its own name beside it
    name = said.get("license_name", name) if name == "other" else name
    return LICENCES.get(name.lower(), name)
