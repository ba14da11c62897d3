"""The GCE explorer's look-ups: a token's neighbours in the codebook, and what plain and grouped cross-entropy ask.

Every figure comes from `mdm_core.explain.outlook.pulls`, that is from the training operator's own gradient.
Probabilities are without guidance, as in training.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdm_core.explain import outlook as core
from mdm_core.explain.gain import clearest_gain
from ui import opened
from ui.assemble import markup
from ui.inspector import lookups
from ui.inspector.lookups import Lookups, pairs, patches, whole
from ui.learn.one_token.one_token import MOST_LEVELS, digits, turned
from ui.server.form import Refused
from ui.server.studio import answered
from ui.stage.component import Static

WEIGHTS = tuple(round(i * 0.05, 2) for i in range(21))  # stops of the slider for lambda
HANDFUL = 12  # tokens offered at a time
MEMBERS_TOLD, OTHERS_TOLD = 8, 3  # tokens whose chances are told before and after a step
USUAL_WEIGHT = 0.2  # of the group: where the slider stands at first
EXAMPLES_KEPT = 64
STRIDE = 6203  # a prime: steps of it spread over the whole codebook
NO_LATTICE = "This model's tokens have no lattice, so they have no neighbours to show."


class Explorer:
    """Bound to the look-ups of one studio."""

    def __init__(self, lookups: Lookups) -> None:
        self.lookups = lookups
        self.studio = lookups.studio
        self._examples: dict[str, tuple[int, int]] = {}

    def handful(self, data: Any) -> dict[str, Any]:
        """Tokens to choose from: the picture's most frequent ones, or without a picture a spread of all.

        {"run": id or null, "step": k, "page": n} -> {"tokens": [id, ...], "patches": {...}}
        The first page is led by the token of the first example.
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
        if page == 0 and core.usual_size(pipe):
            _, telling = self.telling(data.get("run"))
            ids = [telling, *(i for i in ids if i != telling)][:HANDFUL]
        return {"tokens": ids, "patches": patches(ids, core.patches_alone(pipe, ids))}

    def explore(self, data: Any) -> dict[str, Any]:
        """One token's group at one size, its probabilities at one place, and the pull on them by lambda.

        {"run": id or null, "step": k, "cell": c or null, "token": id or null, "size": codes} ->
        {"token", "size", "sizes", "trained", "cell", "columns", "step", "prompt", "members": [[id, p], ...], "p",
        "mass", "patches", "pulls": [[lambda, loss, exact, rest of the group, outside], ...],
        "after": {"ids": [id, ...], "inside": how many of them lead as the group's, "p": [p, ...],
        "by": [[p, ...] after a step for each lambda]}}

        Without a cell it is the first look at an all-masked grid, at the cell "at" or at that where the token's
        neighbours hold most probability; without a token as well, the first example. Which cell that is does not depend
        on the size: another size is another group of the same token at the same cell.
        """
        data = data if isinstance(data, dict) else {}
        pipe = self.studio.pipe
        sizes, trained = core.group_sizes(pipe), core.trained_size(pipe)
        if not sizes:
            raise Refused(NO_LATTICE)
        size = data.get("size") or core.usual_size(pipe)
        if isinstance(size, bool) or size not in sizes:
            raise Refused(f"Groups can have {', '.join(map(str, sizes))} codes here.")
        groups = core.code_groups(pipe, int(size))
        token = data.get("token")
        if token is not None:
            token = whole(token, pipe.vocab_size - 1, "token")
        if data.get("cell") is not None:
            run, step, cell = self.lookups.find(data)
            prompt, seen = run.prompt, self.lookups.outlook(run, step, guided=False)
            if token is None:
                held = int(run.records[step].tokens[cell])
                token = int(seen.logits(cell).argmax()) if held == pipe.vocab_size else held
        else:
            prompt, seen = self.first_look(data.get("run"))
            step = 0
            example = self.telling(data.get("run"))
            if data.get("at") is not None:
                cell = whole(data["at"], pipe.grid[0] * pipe.grid[1] - 1, "cell")
                token = int(seen.likeliest[cell]) if token is None else token
            elif token is None or token == example[1]:
                cell, token = example
            else:
                near = core.code_groups(pipe, self.usual()).members(token)
                cell = int(seen.mass(near[near != token]).argmax())
        told = seen.candidates(cell, token, 1, groups)
        logits = seen.logits(cell)
        after = self.after(logits, token, told.group, groups)
        ids = list(dict.fromkeys([*told.group.tolist(), *after["ids"]]))
        return {
            "token": token,
            "size": int(size),
            "sizes": sizes,
            "trained": trained,
            "cell": cell,
            "columns": pipe.grid[1],
            "step": step,
            "prompt": prompt,
            "members": pairs(told.group, told.group_probabilities),
            "p": told.p,
            "mass": told.group_mass,
            "patches": patches(ids, core.patches_alone(pipe, ids)),
            "pulls": [
                [p.weight, p.loss, p.exact, p.group, p.outside]
                for p in core.pulls(logits, token, groups, WEIGHTS)
            ],
            "after": after,
        }

    def after(self, logits: Tensor, token: int, members: np.ndarray, groups: Any) -> dict[str, Any]:
        """A few tokens of the group and the likeliest others, before and after a step of training for each lambda."""
        inside = list(dict.fromkeys([token, *members.tolist()]))[:MEMBERS_TOLD]
        near = set(members.tolist()) | {token}
        likely = logits.topk(min(len(near) + OTHERS_TOLD, len(logits))).indices.tolist()
        ids = [*inside, *[i for i in likely if i not in near][:OTHERS_TOLD]]
        before, then = logits.double().softmax(0), core.after_step(logits, token, groups, WEIGHTS)
        return {
            "ids": ids,
            "inside": len(inside),
            "p": [round(float(p), 7) for p in before[ids]],
            "by": [[round(float(p), 7) for p in row] for row in then[:, ids]],
        }

    def lattice(self, data: Any) -> dict[str, Any]:
        """A plane of the codebook's lattice through a token, along two of its dimensions.

        {"token": id, "size": codes, "along": [a, b]} -> {"levels": [n, ...], "place": [k, ...], "along": [a, b],
        "rows": [[id, ...] along a, for each level of b], "inside": [ids of the group], "patches"}; levels is empty
        where the codes lie on no lattice.
        """
        data = data if isinstance(data, dict) else {}
        pipe = self.studio.pipe
        token = whole(data.get("token"), pipe.vocab_size - 1, "token")
        levels = tuple(getattr(pipe.codec, "levels", None) or ())
        sizes, size = core.group_sizes(pipe), data.get("size")
        if len(levels) < 2 or max(levels) > MOST_LEVELS:
            return {"levels": []}
        if isinstance(size, bool) or size not in sizes:
            raise Refused(f"Groups can have {', '.join(map(str, sizes))} codes here.")
        along = data.get("along", [0, 1])
        if not isinstance(along, list) or len(along) != 2:
            raise Refused("A plane lies along two dimensions of the codebook.")
        first, second = (whole(one, len(levels) - 1, "dimension") for one in along)
        if first == second:
            raise Refused("A plane lies along two different dimensions of the codebook.")
        rows = [turned(one, levels, first) for one in turned(token, levels, second)]
        ids = [one for row in rows for one in row]
        near = set(core.code_groups(pipe, int(size)).members(token).tolist())
        return {
            "levels": list(levels),
            "place": digits(token, levels),
            "along": [first, second],
            "rows": rows,
            "inside": [one for one in ids if one in near],
            "patches": patches(ids, core.patches_alone(pipe, ids)),
        }

    def example(self) -> str:
        """A prompt whose first look serves while there is no picture yet."""
        facts = getattr(self.studio.pipe, "facts", None)
        told = opened.examples(facts) if facts is not None else ()
        return min(told, key=len, default="a picture")

    def usual(self) -> int:
        """Codes of a group by which examples are chosen."""
        size = core.usual_size(self.studio.pipe)
        if size is None:
            raise Refused(NO_LATTICE)
        return size

    def telling(self, run_id: Any) -> tuple[int, int]:
        """(cell, right token) of the first example: where neighbours gain most by the group term.

        The right token is one that stands there in the picture. Without a picture it is a neighbour of what the model
        would choose, whose own chance is then what the group gives back.
        """
        pipe = self.studio.pipe
        run = None if run_id is None else self.studio.store.get(run_id)
        prompt, seen = self.first_look(run_id)
        key = f"{run_id} {prompt}"
        if key not in self._examples:
            groups, best = core.code_groups(pipe, self.usual()), seen.likeliest  # [L]
            if (
                run is not None
                and run.records
                and (run.grid, run.vocab) == (tuple(pipe.grid), pipe.vocab_size)
            ):
                drawn = torch.from_numpy(np.array(run.records[-1].tokens, dtype=np.int64).reshape(-1))
                targets = torch.where(drawn < pipe.vocab_size, drawn, best)[:, None]  # [L, 1]
            else:
                near = [groups.members(int(token)) for token in best]
                fewest = min(map(len, near))
                targets = torch.stack([ids[:fewest] for ids in near])  # [L, m]
            self._examples[key] = clearest_gain(seen, targets, groups, USUAL_WEIGHT)
            while len(self._examples) > EXAMPLES_KEPT:
                self._examples.pop(next(iter(self._examples)), None)
        return self._examples[key]

    def first_look(self, run_id: Any) -> tuple[str, core.Outlook]:
        """(prompt, unguided pass) over an all-masked grid, for the prompt of a run or for one that suits the model."""
        prompt = self.example() if run_id is None else self.studio.store.get(run_id).prompt
        masked = np.full(self.studio.pipe.grid, self.studio.pipe.vocab_size)
        return prompt, self.lookups.kept((f"first look: {prompt}", 0, False), prompt, masked, 0.0)


def put(studio: Any) -> None:
    """Places the explorer, a chapter of Learn."""
    Static(
        markup("learn/explorer.html"),
        "explorer",
        elem_id="explorer",
        server_functions=functions(lookups.of(studio)),
    )


def functions(seen: Lookups) -> list[Callable[..., Any]]:
    """What learn/explorer.js may call."""
    explorer = Explorer(seen)

    def handful(data: Any) -> dict[str, Any]:
        """See `Explorer.handful`."""
        return answered(lambda: explorer.handful(data))

    def explore(data: Any) -> dict[str, Any]:
        """See `Explorer.explore`."""
        return answered(lambda: explorer.explore(data))

    def lattice(data: Any) -> dict[str, Any]:
        """See `Explorer.lattice`."""
        return answered(lambda: explorer.lattice(data))

    return [handful, explore, lattice]
