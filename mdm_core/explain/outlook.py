"""Looking into a run: what the model thought at one place and step, and what grouped cross-entropy would ask there.

A trajectory records one probability per cell and step. The rest of the distribution is computed again from the
recorded tokens: the forward pass of step k saw the tokens that step k-1 left, so `look(pipe, run, k)` sees exactly
what the sampler saw, under the same guidance; probabilities are at temperature 1, like the recorded ones.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy

TILE = 2**21  # numbers held at a time while the vocabulary is walked: 8 MiB
PIXELS = 2**21  # decoded at a time: 32 blocks of 7x7 cells of 36 pixels a side, or two pictures of 1,024
LARGE_BOOK = 2**23  # numbers of a codebook, up to which clusters are made of it as it is
# lattice steps merged per dimension -> groups of that many codes; each holds the smaller ones, so that the chance of a
# token's group only grows with its size
FACTORS = {2: (2,), 4: (2, 2), 8: (2, 2, 2), 16: (4, 2, 2), 64: (4, 4, 4)}
FEWEST = 4  # groups of a lattice


@dataclass(frozen=True)
class Candidates:
    """The distribution of one cell at one step, as far as people want to see it. k likeliest, m in the group."""

    token: int  # what the cell holds after the step; V while it is masked
    p: float  # p(token), or of the likeliest where masked: what the record calls confidence
    entropy: float  # nats
    ids: np.ndarray  # int64 [k], the likeliest tokens, likeliest first
    probabilities: np.ndarray  # float32 [k]
    centre: int  # the token whose group follows: the cell's own, or the likeliest where masked
    group: np.ndarray  # int64 [m], members of centre's group, likeliest first; [0] without groups
    group_probabilities: np.ndarray  # float32 [m]

    @property
    def group_mass(self) -> float:
        """Probability of the whole group."""
        return float(self.group_probabilities.sum())


@dataclass(frozen=True)
class Outlook:
    """One forward pass, kept so that any of its cells can be asked about."""

    hidden: Tensor  # float32 [L, D], guidance folded in
    weight: Tensor  # [V, D]

    @functools.cached_property
    def _summary(self) -> tuple[Tensor, Tensor]:
        """LSE [L] and likeliest token [L] of every cell, computed when first asked for.

        The vocabulary is walked in tiles, as in sampling and training: [L, V] never exists.
        """
        with torch.inference_mode():
            rows = self.hidden.to(self.weight.dtype)  # [L, D]
            lse = best_z = torch.full((len(rows),), -torch.inf, device=rows.device)  # [L]
            best = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
            step = max(1, TILE // len(rows))
            for first in range(0, len(self.weight), step):
                z = (rows @ self.weight[first : first + step].t()).float()  # [L, tile]
                lse = torch.logaddexp(lse, z.logsumexp(1))
                top, at = z.max(1)
                best, best_z = torch.where(top > best_z, at + first, best), torch.maximum(top, best_z)
            return lse, best

    @property
    def likeliest(self) -> Tensor:
        """The likeliest token of each cell: int64 [L]."""
        return self._summary[1].cpu()

    @torch.inference_mode()
    def mass(self, ids: Tensor) -> Tensor:
        """Probability of the tokens `ids` together at each cell: float32 [L], or [L] for ids [L, m]."""
        ids, row = ids.to(self.weight.device), self.hidden.to(self.weight.dtype)  # [L, D]
        if ids.ndim == 1:
            z = row @ self.weight[ids].t()  # [L, m]
        else:  # the heads of a few cells at a time: [cells, m, D]
            few = max(1, TILE // (ids.shape[1] * row.shape[1]))
            parts = zip(ids.split(few), row.split(few), strict=True)
            z = torch.cat([(self.weight[i] @ r[:, :, None])[..., 0] for i, r in parts])  # [L, m]
        return (z.float() - self._summary[0][:, None]).exp().sum(1).cpu()

    @torch.inference_mode()
    def logits(self, position: int) -> Tensor:
        """float32 [V] of one cell: operands in the head's own precision, sums in fp32, as the sampler has them."""
        _check_position(position, len(self.hidden))
        row = self.hidden[position].to(self.weight.dtype).float()
        if self.weight.dtype == torch.float32:
            return (self.weight @ row).cpu()
        few = max(1, TILE // len(row))  # a head of V = 131,072 and D = 4,096 would be 2 GiB in fp32
        return torch.cat([part.float() @ row for part in self.weight.split(few)]).cpu()

    def candidates(self, position: int, token: int, k: int = 8, groups: Groups | None = None) -> Candidates:
        """What this pass thinks of `position`, which holds `token` (V: masked) after the step.

        k: how many of the likeliest tokens. groups: the neighbourhoods to report the token's group from.
        """
        logits = self.logits(position)
        V = len(logits)
        if not 0 <= token <= V:
            raise ValueError(f"token must be 0..{V}, got {token}")
        if not 1 <= k <= V:
            raise ValueError(f"k must be 1..{V}, got {k}")
        p = logits.softmax(0)  # [V]
        top = p.topk(k)
        centre = int(top.indices[0]) if token == V else token
        group = groups.members(centre) if groups is not None else torch.zeros(0, dtype=torch.int64)
        group = group[p[group].argsort(descending=True, stable=True)]  # [m]
        return Candidates(
            token=token,
            p=float(p[centre]),
            entropy=float(-(p * p.clamp(min=1e-45).log()).sum()),
            ids=top.indices.numpy(),
            probabilities=top.values.numpy(),
            centre=centre,
            group=group.numpy(),
            group_probabilities=p[group].numpy(),
        )


@torch.inference_mode()
def outlook(pipe: Any, prompt: str, tokens: Any, guidance: float, negative: str | None = None) -> Outlook:
    """One forward pass of the pipeline over `tokens`, int [h, w] (V: masked)."""
    ids = torch.from_numpy(pipe._tokens(np.asarray(tokens).astype(np.int64)).reshape(1, -1))
    hidden = pipe.forward.hidden(ids, pipe.condition(prompt, negative), guidance)  # [1, L, D]
    return Outlook(hidden[0].float(), pipe.forward.head)


def seen_at(run: Trajectory, index: int) -> np.ndarray:
    """The tokens [h, w] that record `index` was decided on; for record 0, where nothing was decided, its own."""
    if not 0 <= index < len(run.records):
        raise ValueError(f"this run has records 0..{len(run.records) - 1}, got {index}")
    return run.records[max(index - 1, 0)].tokens.reshape(run.grid)


def look(pipe: Any, run: Trajectory, index: int) -> Outlook:
    """The forward pass behind record `index` of a run, computed again; for record 0 the one it would lead to."""
    guidance = run.settings.get("guidance", pipe.settings().guidance)
    return outlook(pipe, run.prompt, seen_at(run, index), float(guidance), run.settings.get("negative"))


def candidates(
    pipe: Any, run: Trajectory, index: int, position: int, k: int = 8, groups: Groups | None = None
) -> Candidates:
    """The distribution of one position at record `index` of a run (see `Candidates`).

    >>> run = pipe.generate("a panda")
    >>> told = candidates(pipe, run, 5, 100)
    >>> told.p, run.records[5].confidence[100]  # the same number
    """
    seen = look(pipe, run, index)
    _check_position(position, len(seen.hidden))
    return seen.candidates(position, int(run.records[index].tokens[position]), k, groups)


def _check_position(position: int, length: int) -> None:
    if not 0 <= position < length:
        raise ValueError(f"position must be 0..{length - 1}, got {position}")


# ---- groups -----------------------------------------------------------------------------------------------


def group_sizes(pipe: Any) -> list[int]:
    """Sizes that groups of this model's codes can have, rising; empty where its codec has no codebook.

    On a lattice those that it has even cells of; of any other codebook up to half of its codes.
    """
    levels = getattr(pipe.codec, "levels", None)
    if levels is not None:
        return [
            size
            for size, merged in FACTORS.items()
            if len(merged) <= len(levels)
            and FEWEST * size <= math.prod(levels)
            and all(n % m == 0 for n, m in zip(levels, merged, strict=False))
        ]
    if not callable(getattr(pipe.codec, "codebook", None)):
        return []
    return [size for size in FACTORS if 2 * size <= pipe.vocab_size]


def code_groups(pipe: Any, size: int) -> Groups:
    """Groups of `size` codes that are neighbours in the codebook; kept once made.

    Cells of the lattice where the codes lie on one, else clusters of balanced k-means: of at most `size` codes, and
    as even as the vocabulary allows.
    """
    if size not in group_sizes(pipe):
        raise ValueError(f"groups here can have {group_sizes(pipe)} codes, not {size}")
    levels = getattr(pipe.codec, "levels", None)
    if levels is not None:
        return _lattice(tuple(levels), size)
    kept = _clusters.setdefault(pipe.codec, {})
    if size not in kept:
        book = principal(pipe.codec.codebook().float().cpu())
        kept[size] = Groups.kmeans(book, -(-pipe.vocab_size // size))
    return kept[size]


def principal(book: Tensor) -> Tensor:
    """A codebook [V, d] in fewer dimensions where it is large: those of the most variance, [V, at most 32].

    131,072 codes of 32 numbers take clusters half a minute of one core, of 256 several times that, and somebody waits.
    """
    if book.numel() <= LARGE_BOOK or book.shape[1] <= 32:
        return book
    book = book - book.mean(0)
    # ascending, so that the last axes are the widest
    return book @ torch.linalg.eigh(book.t() @ book).eigenvectors[:, -32:]


_clusters: WeakKeyDictionary[Any, dict[int, Groups]] = WeakKeyDictionary()  # of codecs


@functools.lru_cache(maxsize=16)
def _lattice(levels: tuple[int, ...], size: int) -> Groups:
    factor = FACTORS[size] + (1,) * (len(levels) - len(FACTORS[size]))
    return Groups.lattice(levels, factor)


def trained_size(pipe: Any) -> int | None:
    """Codes per group that the weights were trained with, as their card tells; None where it tells nothing."""
    recipe, levels = pipe.facts.card.get("recipe"), getattr(pipe.codec, "levels", None)
    factor = recipe.get("group_factor") if isinstance(recipe, Mapping) else None
    if not isinstance(factor, int) or isinstance(factor, bool) or levels is None:
        return None
    size = math.prod([factor] * min(3, len(levels)))
    return size if size in group_sizes(pipe) else None


def usual_size(pipe: Any) -> int | None:
    """Codes per group to begin with: as trained, else the middle one of those possible; None without groups."""
    sizes = group_sizes(pipe)
    return trained_size(pipe) or (sizes[len(sizes) // 2] if sizes else None)


@dataclass(frozen=True)
class Pull:
    """What one objective does to the logits of one cell: minus its gradient, so plus means 'make likelier'."""

    weight: float  # lambda of the group term; 0 is plain cross-entropy
    loss: float
    exact: float  # on the target token
    group: float  # summed over the rest of its group
    outside: float  # summed over all other tokens


def push(logits: Tensor, target: int, groups: Groups, weight: float) -> tuple[float, Tensor]:
    """(loss, minus its gradient with respect to the logits, float64 [V]) of CE + weight * GCE of one cell.

    logits: [V]. Value and gradient are the training operator's own. It takes hidden states and a head: a hidden state
    of one number, 1, makes the head the logits, and the head's gradient theirs. Its reference backend, the definition,
    needs no warming up. ValueError where `target` is no token.
    """
    V = len(logits)
    if not 0 <= target < V:
        raise ValueError(f"target must be 0..{V - 1}, got {target}")
    one, label = torch.ones(1, 1, dtype=torch.float64), torch.tensor([target])
    head = logits.detach().double()[:, None].clone().requires_grad_()  # [V, 1]
    loss = linear_grouped_cross_entropy(
        one, head, label, groups, group_weight=float(weight), reduction="sum", backend="reference"
    )
    return float(loss.detach()), -torch.autograd.grad(loss, head)[0][:, 0]  # [V]


def pulls(logits: Tensor, target: int, groups: Groups, weights: Sequence[float]) -> list[Pull]:
    """CE + lambda GCE of one cell for several lambdas: values, and gradients summed over group and rest; see `push`."""
    out = []
    for weight in weights:
        loss, pushed = push(logits, target, groups, weight)
        exact, group = float(pushed[target]), float(pushed[groups.members(target)].sum())
        out.append(Pull(float(weight), loss, exact, group - exact, float(pushed.sum()) - group))
    return out


def after_step(
    logits: Tensor, target: int, groups: Groups, weights: Sequence[float], rate: float = 1.0
) -> Tensor:
    """The distribution of one cell after a step of gradient descent on its logits: float64 [len(weights), V].

    Each row is softmax(logits - rate * gradient of CE + weight * GCE), so that two weights can be compared from the
    same start. In training the step goes through the weights of the model, which moves other cells too; here the cell
    stands alone.
    """
    if not rate > 0 or not math.isfinite(rate):
        raise ValueError(f"rate must be above 0, got {rate}")
    return torch.stack(
        [(logits.double() + rate * push(logits, target, groups, w)[1]).softmax(0) for w in weights]
    )


# ---- patches ----------------------------------------------------------------------------------------------


def patches_in_place(pipe: Any, tokens: Any, position: int, ids: Sequence[int]) -> np.ndarray:
    """How the cell would look with each of `ids` in it, among its neighbours: uint8 [n, p, p, 3].

    tokens: int [h, w]; masked neighbours borrow the candidate itself. The neighbours are as many as the codec's
    `context` says, or all there are.
    """
    h, w = pipe.grid
    grid = np.asarray(tokens).reshape(h, w)
    _check_position(position, h * w)
    y, x = divmod(int(position), w)
    context = getattr(pipe.codec, "context", max(h, w))
    top, left = max(y - context, 0), max(x - context, 0)
    near = grid[top : y + context + 1, left : x + context + 1]  # [a, b]
    each = np.asarray(ids, np.int64)
    block = np.where(near == pipe.vocab_size, each[:, None, None], near)  # [n, a, b]
    block[:, y - top, x - left] = each
    return _decode(pipe, block, y - top, x - left)


def patches_alone(pipe: Any, ids: Sequence[int]) -> np.ndarray:
    """How each token looks surrounded by itself: uint8 [n, p, p, 3]."""
    each = np.asarray(ids, np.int64)
    h, w = (3, 3) if hasattr(pipe.codec, "context") else pipe.grid
    block = np.broadcast_to(each[:, None, None], (len(each), h, w)).copy()
    return _decode(pipe, block, h // 2, w // 2)


@torch.inference_mode()
def _decode(pipe: Any, block: np.ndarray, row: int, column: int) -> np.ndarray:
    """Decode blocks of tokens [n, a, b], a few at a time, and cut out one cell of each."""
    p, out, decode = pipe.patch, [], getattr(pipe.codec, "preview", pipe.codec.decode)
    few = max(1, PIXELS // (block.shape[1] * block.shape[2] * p * p))
    for part in torch.from_numpy(block).split(few):
        pixels = decode(part.to(pipe.device)).cpu()  # [n, a*p, b*p, 3]
        out.append(pixels[:, row * p : (row + 1) * p, column * p : (column + 1) * p])
    return torch.cat(out).contiguous().numpy() if len(block) else np.zeros((0, p, p, 3), np.uint8)
