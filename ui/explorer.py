"""The GCE explorer's look-ups: a token's neighbours in the codebook, and what plain and grouped cross-entropy ask.

Every figure comes from `mdm_core.inspect.pulls`, that is from the training operator's own gradient. Probabilities
are without guidance, as in training.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from mdm_core import inspect
from ui.handlers import answered
from ui.inspect import Lookups, pairs, patches, whole
from ui.limits import Refused

WEIGHTS = tuple(round(i * 0.05, 2) for i in range(21))  # stops of the slider for lambda
HANDFUL = 12  # tokens offered at a time
PROMPT = "a panda on a teal background"  # whose first look serves while there is no picture yet
STRIDE = 6203  # a prime: steps of it spread over the whole codebook
NO_LATTICE = "This model's tokens have no lattice, so they have no neighbours to show."


class Explorer:
    """Bound to the look-ups of one studio."""

    def __init__(self, lookups: Lookups) -> None:
        self.lookups = lookups
        self.studio = lookups.studio

    def handful(self, data: Any) -> dict[str, Any]:
        """Tokens to choose from: the picture's most frequent ones, or without a picture a spread of all.

        {"run": id or null, "step": k, "page": n} -> {"tokens": [id, ...], "patches": {...}}
        """
        data = data if isinstance(data, dict) else {}
        pipe, page = self.studio.pipe, whole(data.get("page", 0), 10_000, "page")
        if data.get("run") is None:
            first = page * HANDFUL * STRIDE + STRIDE
            ids = [(first + i * STRIDE) % pipe.vocab_size for i in range(min(HANDFUL, pipe.vocab_size))]
        else:
            run = self.studio.store.get(data["run"])
            tokens = run.record(data.get("step")).tokens
            ranked = [int(t) for t, _ in Counter(tokens[tokens < pipe.vocab_size].tolist()).most_common()]
            first = page * HANDFUL % max(len(ranked), 1)
            ids = (ranked + ranked)[first : first + min(HANDFUL, len(ranked))]
        return {"tokens": ids, "patches": patches(ids, inspect.patches_alone(pipe, ids))}

    def explore(self, data: Any) -> dict[str, Any]:
        """One token's group at one size, its probabilities at one place, and the pull on them by lambda.

        {"run": id or null, "step": k, "cell": c, "token": id or null, "size": codes} ->
        {"token", "size", "sizes", "trained", "members": [[id, p], ...], "p", "mass", "patches",
        "pulls": [[lambda, loss, exact, rest of the group, outside], ...]}
        """
        data = data if isinstance(data, dict) else {}
        pipe = self.studio.pipe
        sizes, trained = inspect.group_sizes(pipe.config), inspect.trained_size(pipe.config)
        if not sizes:
            raise Refused(NO_LATTICE)
        size = data.get("size", trained or 8)
        if isinstance(size, bool) or size not in sizes:
            raise Refused(f"Groups can have {', '.join(map(str, sizes))} codes here.")
        if data.get("run") is None:
            masked = np.full(pipe.grid, pipe.vocab_size)
            seen = self.lookups.kept(("", 0, False), PROMPT, masked, 0.0)
            cell, own = masked.size // 2 + pipe.grid[1] // 2, pipe.vocab_size
        else:
            run, step, cell = self.lookups.find(data)
            seen = self.lookups.outlook(run, step, guided=False)
            own = int(run.records[step].tokens[cell])
        logits = seen.logits(cell)
        token = data.get("token")
        if token is None:
            token = int(logits.argmax()) if own == pipe.vocab_size else own
        token = whole(token, pipe.vocab_size - 1, "token")
        groups = inspect.lattice_groups(pipe.config, int(size))
        told = seen.candidates(cell, token, 1, groups)
        ids = told.group.tolist()
        return {
            "token": token,
            "size": int(size),
            "sizes": sizes,
            "trained": trained,
            "members": pairs(told.group, told.group_probabilities),
            "p": told.p,
            "mass": told.group_mass,
            "patches": patches(ids, inspect.patches_alone(pipe, ids)),
            "pulls": [
                [p.weight, p.loss, p.exact, p.group, p.outside]
                for p in inspect.pulls(logits, token, groups, WEIGHTS)
            ],
        }


def functions(lookups: Lookups) -> list[Callable[..., Any]]:
    """What js/explorer.js may call."""
    explorer = Explorer(lookups)

    def handful(data: Any) -> dict[str, Any]:
        """See `Explorer.handful`."""
        return answered(lambda: explorer.handful(data))

    def explore(data: Any) -> dict[str, Any]:
        """See `Explorer.explore`."""
        return answered(lambda: explorer.explore(data))

    return [handful, explore]
