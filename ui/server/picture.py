"""The picture of a run's tokens, over an uploaded picture where there is one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from mdm_core.images.regions import composite


@dataclass(frozen=True)
class Ground:
    """An uploaded picture under an edit: the model's square of it, and its own tokens int32 [L]."""

    image: Image.Image
    tokens: np.ndarray

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.image.height


def picture(pipe: Any, tokens: Any, under: Ground | None) -> Image.Image:
    """The picture of `tokens` [L]; over an upload, the model draws only what was changed.

    Cells whose token differs from the upload's own are drawn from the tokens, with a seam feathered inwards.
    All other pixels are the upload's, unchanged: a repaint touches nothing outside its region.
    """
    shape = tuple(pipe.grid)
    tokens = np.array(tokens, np.int64).reshape(shape)  # a copy: torch wants arrays it may write to
    if under is None:
        return pipe.decode(tokens)
    changed = tokens != under.tokens.reshape(shape)
    if not changed.any():
        return under.image.copy()
    decoded, masked = pipe.decode(tokens), tokens == pipe.vocab_size
    painted = composite(under.image, decoded, changed & ~masked)
    # a masked cell is drawn whole: a feathered stone would show a rim of the photograph
    return composite(painted, decoded, masked, feather=0) if masked.any() else painted
