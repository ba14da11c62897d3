"""What several commands are asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mdm_core.paths import SHIPPED
from trainer.options import DEVICE, Settings, any_text, path, word

WORLDS = (
    "emoji_128",
    "world_256",
)  # of scenes, as trainer/scenes/spec.py has them; weights ship for the first


@dataclass(frozen=True, kw_only=True)
class OnDevice(Settings):
    device: str | None = any_text(None, DEVICE)


@dataclass(frozen=True, kw_only=True)
class OfModel(Settings):
    model: Path = path(SHIPPED, "model folder")


@dataclass(frozen=True, kw_only=True)
class WithSprites(Settings):
    atlas: Path | None = path(None, "folder of the sprites (default: those shipped for the --world)")

    @property
    def sprites(self) -> str | None:
        """As recipes and `SceneDataConfig` name that folder."""
        return str(self.atlas) if self.atlas else None


@dataclass(frozen=True, kw_only=True)
class OfWorld(WithSprites):
    world: str = word(WORLDS[0], WORLDS, "of which scenes")


@dataclass(frozen=True, kw_only=True)
class OfModelsWorld(Settings):
    """Of the world that the model's card names, unless another is asked for."""

    world: str | None = word(None, WORLDS, "of which scenes (default: as the model's card says)")


@dataclass(frozen=True, kw_only=True)
class Judged(OnDevice):
    verifier: Path | None = path(None, "folder of the judge (default: the shipped one)")
