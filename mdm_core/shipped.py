"""Where the files that ship with Chisel lie: `assets/` beside the packages in a clone, inside mdm_core in a wheel."""

from pathlib import Path

HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder of that name: "model", "atlas", "verifier", "emojieval", "benchmarks" or "teaching".

    pyproject.toml maps these folders of `assets/` into the wheel; the others are for readers of the clone.
    """
    inside = HERE / "assets"
    return (inside if inside.is_dir() else HERE.parent / "assets") / name
