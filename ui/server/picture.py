"""The picture of a run's tokens, over an uploaded picture where there is one."""

import time
from collections.abc import Callable
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


QUICK_S = 0.1  # a picture that is decoded in this time is no question
SHARE = 1 / 3  # of the time of a run that its pictures may take besides


class Pace:
    """Which steps of a run get their picture at once: all of them where that is quick, else as many as leave most of
    the time to the model. The others are decoded when somebody looks at them."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self._cost = self._spent = 0.0

    @property
    def allows(self) -> bool:
        """True when there is time for another picture; the first is never refused."""
        if self._cost <= QUICK_S:
            return True
        return self._spent + self._cost <= SHARE * (self._clock() - self._began + self._cost)

    def spend(self, decode: Callable[[], str]) -> str:
        """decode(), and what it took is noted. A step before which nothing was set is no measure."""
        began = self._clock()
        made = decode()
        if made:
            self._cost = self._clock() - began
            self._spent += self._cost
        return made


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
