"""Where the group term of GCE helps most: the cell and the right token whose neighbours gain by it.

Neighbours are lifted where their whole group has little chance, P < lambda / (1 + lambda), and there is something to
see where they have much of it and the right token itself has little: a plain step of training takes from them, or
leaves them, what a step with the group gives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mdm_core.explain.outlook import Outlook, after_step
from mdm_core.groups import Groups

TRIED = 16  # of the cases that look best, so many are computed exactly


def clearest_gain(seen: Outlook, targets: Tensor, groups: Groups, weight: float) -> tuple[int, int]:
    """(cell, token) of `targets` whose neighbours gain most by a step with the group at `weight`.

    targets: int64 [L, m], tokens that may be right at each cell. The gain is the neighbours' chance after that step
    above what they have after a plain one, or had before it, whichever is more; the same pass gives the same case.
    """
    m = targets.shape[1]
    guessed = torch.stack([_guess(seen, targets[:, j], groups, weight) for j in range(m)], 1)  # [L, m]
    best = guessed.flatten().argsort(descending=True, stable=True)[:TRIED].tolist()
    cases = [(i // m, int(targets[i // m, i % m])) for i in best]
    return max(cases, key=lambda case: _gain(seen, case[0], case[1], groups, weight))


def _guess(seen: Outlook, target: Tensor, groups: Groups, weight: float) -> Tensor:
    """About what `_gain` will be: float32 [L].

    All neighbours count as one token, and all other tokens as too unlikely to be moved.
    """
    near = [groups.members(token) for token in target.tolist()]
    width = max(map(len, near))
    padded = torch.stack([torch.cat([n, n[:1].expand(width - len(n))]) for n in near])  # [L, width]
    p = seen.mass(target[:, None])  # [L]
    whole = torch.maximum(seen.mass(padded), p).clamp(min=1e-30)  # [L]
    rest = whole - p

    def after(lam: float) -> Tensor:
        right = p * (1 - p + lam * (p / whole - p)).exp()
        beside = rest * (rest * (lam / whole - 1 - lam)).exp()
        return beside / (right + beside + (1 - whole).clamp(min=0))

    return after(weight) - torch.maximum(after(0.0), rest)


def _gain(seen: Outlook, cell: int, token: int, groups: Groups, weight: float) -> float:
    logits, near = seen.logits(cell), groups.members(token)
    near = near[near != token]
    plain, grouped = after_step(logits, token, groups, (0.0, weight))[:, near].sum(1).tolist()
    before = float(logits.double().softmax(0)[near].sum())
    return float(grouped - max(plain, before))
