"""The chapter on tokens: what one cell holds, and where its code lies in the codebook."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mdm_core.explain import outlook as core
from ui.assemble import markup
from ui.inspector.lookups import patches, whole
from ui.server.studio import answered
from ui.stage.component import Static

MOST_LEVELS = 16  # of one dimension, that are shown


def digits(token: int, levels: tuple[int, ...]) -> list[int]:
    """The place of a token on the lattice, the first dimension varying fastest."""
    out = []
    for n in levels:
        token, place = divmod(token, n)
        out.append(place)
    return out


def turned(token: int, levels: tuple[int, ...], dimension: int) -> list[int]:
    """The tokens that differ from this one in one dimension at most, by their place in it."""
    radix = int(np.prod(levels[:dimension]))
    own = digits(token, levels)[dimension]
    return [token + (place - own) * radix for place in range(levels[dimension])]


def look(studio: Any, data: Any) -> dict[str, Any]:
    """One token by itself.

    {"token": id} -> {"token", "code": [place in each dimension], "turns": [[token, ...] for each dimension],
    "patches"}; code and turns are empty where the codes lie on no lattice.
    """
    data = data if isinstance(data, dict) else {}
    pipe = studio.pipe
    token = whole(data.get("token"), pipe.vocab_size - 1, "token")
    levels = tuple(getattr(pipe.codec, "levels", None) or ())
    if any(n > MOST_LEVELS for n in levels):
        levels = ()
    turns = [turned(token, levels, dimension) for dimension in range(len(levels))]
    ids = list(dict.fromkeys([token, *(one for turn in turns for one in turn)]))
    return {
        "token": token,
        "code": digits(token, levels),
        "turns": turns,
        "patches": patches(ids, core.patches_alone(pipe, ids)),
    }


def functions(studio: Any) -> list[Callable[..., Any]]:
    """What learn/one_token/token.js may call."""

    def look_at(data: Any) -> dict[str, Any]:
        """See `look`."""
        return answered(lambda: look(studio, data))

    return [look_at]


def put(studio: Any) -> None:
    """Places the chapter."""
    Static(markup("learn/one_token/token.html"), "token", elem_id="token", server_functions=functions(studio))
