"""Codebook neighbourhoods: which tokens count as "nearly right" for a target token.

Grouped cross-entropy (GCE) rewards probability on the target's group, so it needs, for each token, the set
of its neighbours. A `Groups` object holds one or more *levels*, and each level is one of two kinds:

    partition    every token belongs to exactly one group (a lattice cell of the quantiser, a k-means cluster)
    kNN          every token has its own list of k neighbours, itself included

Groups need neither be contiguous in token id nor equal in size. `Groups.patch(target)` is the one view the
losses use: for each target, the short list of tokens that any level treats specially.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# group members per token up to which every token's patch is kept as a table (see patch_table)
TABLE_LIMIT = 1024


@dataclass(frozen=True)
class Partition:
    """A level whose groups do not overlap: each token's group, and its inverse in CSR form."""

    width: int  # the most members any group has
    group_of: Tensor  # int32 [V]  token -> group
    order: Tensor  # int32 [V]  tokens sorted by group, then by id
    offsets: Tensor  # int32 [G + 1]  group g owns order[offsets[g] : offsets[g + 1]]

    def tensors(self) -> list[Tensor]:
        """The level as plain tensors."""
        return [self.group_of, self.order, self.offsets]

    def to(self, device: torch.device) -> Partition:
        return Partition(self.width, *(table.to(device) for table in self.tensors()))


@dataclass(frozen=True)
class Neighbours:
    """A kNN level: each token's own list, itself included."""

    width: int  # k
    neighbours: Tensor  # int32 [V, k]

    def tensors(self) -> list[Tensor]:
        """The level as plain tensors."""
        return [self.neighbours]

    def to(self, device: torch.device) -> Neighbours:
        return Neighbours(self.width, self.neighbours.to(device))


Level = Partition | Neighbours


@dataclass(frozen=True)
class Patch:
    """The tokens each target's groups treat specially. Level 0 is the target itself, then come the groups.

    A slot whose token already stands in an earlier slot has keep = False: it carries the same id and the same
    memberships, so writing to it twice is harmless, and sums leave it out.
    """

    ids: Tensor  # int64 [n, K]
    inside: Tensor  # bool  [n, K, 1 + levels]  is slot k a member of the target's group at that level
    keep: Tensor  # bool  [n, K]


def patch_levels(target: Tensor, levels: list[Level]) -> Patch:
    """Union of the target and of its groups at every level (see `Patch`). target: int64 [n], all in range."""
    y = target[:, None]  # [n, 1]
    ids, valid = [y], [torch.ones_like(y, dtype=torch.bool)]
    for level in levels:
        if isinstance(level, Partition):
            group = level.group_of[target].long()  # [n]
            start, stop = level.offsets[group].long(), level.offsets[group + 1].long()  # [n] each
            slot = start[:, None] + torch.arange(level.width, device=target.device)  # [n, k]
            real = slot < stop[:, None]  # [n, k]
            member = level.order[slot.clamp(max=level.order.numel() - 1)].long()  # [n, k]
            ids.append(torch.where(real, member, y))
        else:
            ids.append(level.neighbours[target].long())  # [n, k]
            real = torch.ones_like(ids[-1], dtype=torch.bool)
        valid.append(real)

    union = torch.cat(ids, 1)  # [n, K]
    inside = [union == y]
    for level in levels:
        if isinstance(level, Partition):
            inside.append(level.group_of[union] == level.group_of[target][:, None])
        else:
            inside.append((union[:, :, None] == level.neighbours[target].long()[:, None, :]).any(-1))

    keep, column = [], 0
    # slots of level j count once: only if no earlier level already holds them
    for j, part in enumerate(valid):
        end = column + part.shape[1]
        for earlier in inside[:j]:
            part = part & ~earlier[:, column:end]
        keep.append(part)
        column = end
    return Patch(union, torch.stack(inside, -1), torch.cat(keep, 1))


class Groups:
    """One or more levels of codebook groups over a vocabulary of `vocab_size` tokens.

    Build one with `from_ids`, `lattice`, `kmeans` or `knn`; add two (`a + b`) to use several levels at once.
    """

    def __init__(self, levels: list[Level], vocab_size: int):
        self.levels = list(levels)
        self.vocab_size = vocab_size
        self._moved: dict[torch.device, Groups] = {}
        self._table: tuple[Tensor, Tensor] | None = None
        if self.device.type == "cuda" and self.has_table:
            self.patch_table()  # now rather than inside a compiled step

    # ---------------------------------------------------------------- constructors

    @classmethod
    def from_ids(cls, ids: Tensor) -> Groups:
        """A partition from its labels. ids: integers [V]; tokens with equal labels share a group."""
        ids = torch.as_tensor(ids)
        if ids.dim() != 1 or ids.numel() == 0 or ids.is_floating_point():
            raise ValueError(
                f"Group ids must be one integer per token, shape [V], not {list(ids.shape)} {ids.dtype}."
            )
        _, group_of = torch.unique(ids.cpu(), return_inverse=True)
        size = torch.bincount(group_of)  # [G]
        offsets = torch.cat([size.new_zeros(1), size.cumsum(0)])  # [G + 1]
        order = torch.argsort(group_of, stable=True)  # [V]
        level = Partition(int(size.max()), group_of.int(), order.int(), offsets.int())
        return cls([level], ids.numel()).to(ids.device)

    @classmethod
    def from_neighbours(cls, neighbours: Tensor) -> Groups:
        """A kNN level from its lists. neighbours: integers [V, k], the tokens of one row all different."""
        table = torch.as_tensor(neighbours)
        if table.dim() != 2 or table.numel() == 0 or table.is_floating_point():
            raise ValueError(
                f"Neighbour lists must be integers of shape [V, k], not {list(table.shape)} {table.dtype}."
            )
        if table.min() < 0 or table.max() >= table.shape[0]:
            raise ValueError(f"Neighbour lists must hold token ids from 0 to {table.shape[0] - 1}.")
        ordered = table.sort(1).values
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            raise ValueError("A token's neighbour list must not name the same token twice.")
        return cls([Neighbours(table.shape[1], table.int().contiguous())], table.shape[0])

    @classmethod
    def lattice(cls, levels: tuple[int, ...], factor: int | tuple[int, ...] = 2) -> Groups:
        """The exact cells of a finite scalar quantiser's lattice.

        A token id is the mixed-radix number `id = sum_i idx_i * prod(levels[:i])` (the first dimension varies
        fastest). Codes whose `idx_i // factor_i` agree in every dimension share a cell.

        levels: number of steps per dimension. factor: steps merged per dimension; a single integer merges
        the first three dimensions, so the default 2 gives cells of 8 codes, the paper's K = V/8.
        """
        levels = tuple(int(n) for n in levels)
        if isinstance(factor, int):
            factor = tuple(factor if i < 3 else 1 for i in range(len(levels)))
        if not levels or min(levels) < 1:
            raise ValueError(f"Lattice levels must be positive integers, not {levels}.")
        if len(factor) != len(levels) or min(factor) < 1:
            raise ValueError(
                f"Lattice factors {tuple(factor)} must be positive and as many as the levels {levels}."
            )
        token = torch.arange(math.prod(levels))  # [V]
        cell, radix = torch.zeros_like(token), 1
        for n, f in zip(levels, factor, strict=True):
            cell += (token % n // f) * radix  # index along this dimension, merged f by f
            token, radix = token // n, radix * -(-n // f)
        return cls.from_ids(cell)

    @classmethod
    def kmeans(cls, codebook: Tensor, n_groups: int, seed: int = 0) -> Groups:
        """Balanced k-means over a codebook [V, d]: group sizes differ by at most one; deterministic per seed.

        The groups come from recursive bisection, and each cut is a balanced 2-means: with the two centres
        fixed, the best balanced assignment sorts the points along the line through the centres and cuts by
        rank. All nodes of one depth are split together, so V = 131,072 takes seconds.
        """
        points = torch.as_tensor(codebook).detach().cpu().float()
        if points.dim() != 2 or not 1 <= n_groups <= points.shape[0]:
            raise ValueError(
                f"k-means needs [V, d] and 1 <= n_groups <= V, not {list(points.shape)} and {n_groups}."
            )
        return cls.from_ids(_balanced_bisection(points, n_groups, seed)).to(torch.as_tensor(codebook).device)

    @classmethod
    def knn(cls, codebook: Tensor, k: int = 8, chunk_bytes: int = 64 << 20) -> Groups:
        """The k nearest codes of each code (Euclidean), itself first; equal distances go to the lowest id."""
        points = torch.as_tensor(codebook).detach().float()
        if points.dim() != 2 or not 1 <= k <= points.shape[0]:
            raise ValueError(f"kNN needs a codebook [V, d] and 1 <= k <= V, not {list(points.shape)}, {k}.")
        size = points.shape[0]
        token = torch.arange(size, device=points.device)
        rows = max(1, chunk_bytes // (16 * size))
        nearest = []
        for first in range(0, size, rows):
            block = points[first : first + rows]  # [r, d]
            distance = torch.cdist(block, points, compute_mode="donot_use_mm_for_euclid_dist")  # [r, V]
            # A non-negative float sorts like its bits; the id in the low half settles ties.
            key = (distance.view(torch.int32).long() << 32) | token  # [r, V]
            key.scatter_(1, token[first : first + rows, None], -1)  # the code itself always comes first
            found = key.topk(k, largest=False, sorted=True).values & 0xFFFFFFFF  # [r, k]
            found[:, 0] = token[first : first + rows]
            nearest.append(found)
        return cls.from_neighbours(torch.cat(nearest))

    def __add__(self, other: Groups) -> Groups:
        """Both objects' levels, in order."""
        if self.vocab_size != other.vocab_size:
            raise ValueError(
                f"Groups over {self.vocab_size} and {other.vocab_size} tokens cannot be combined."
            )
        return Groups(self.levels + other.to(self.device).levels, self.vocab_size)

    # ---------------------------------------------------------------- views

    @property
    def device(self) -> torch.device:
        return self.levels[0].tensors()[0].device

    @property
    def group_of(self) -> Tensor:
        """int32 [V]: token -> group, of the first level."""
        first = self.levels[0]
        if not isinstance(first, Partition):
            raise ValueError("Neighbour lists overlap, so a token has no single group.")
        return first.group_of

    @property
    def n_groups(self) -> int:
        """Number of groups of the first level; a kNN level has one per token."""
        first = self.levels[0]
        return first.offsets.numel() - 1 if isinstance(first, Partition) else self.vocab_size

    def members(self, token: int, level: int = 0) -> Tensor:
        """int64 [k]: the tokens in `token`'s group, itself included."""
        if not 0 <= token < self.vocab_size:
            raise ValueError(f"Token {token} is outside the vocabulary of {self.vocab_size}.")
        one = self.levels[level]
        if isinstance(one, Neighbours):
            return one.neighbours[token].long()
        group = int(one.group_of[token])
        return one.order[int(one.offsets[group]) : int(one.offsets[group + 1])].long()

    def patch(self, target: Tensor) -> Patch:
        """Each target's own token and group members, over all levels. target: int64 [n] -> ids [n, K]."""
        return patch_levels(target, self.levels)

    @property
    def has_table(self) -> bool:
        """Whether the groups are small enough for `patch_table`."""
        return sum(level.width for level in self.levels) <= TABLE_LIMIT

    def patch_table(self) -> tuple[Tensor, Tensor]:
        """Every token's patch as two int32 tables [V, K]: ids (-1 where keep is False) and membership bits.

        Bit j of the second says whether the slot belongs to level j, level 0 being the token itself. Built
        once.
        """
        if self._table is None:
            ids, bits = [], []
            for target in torch.arange(self.vocab_size, device=self.device).split(8192):
                patch = self.patch(target)
                power = 2 ** torch.arange(patch.inside.shape[2], device=self.device)  # [J]
                ids.append(patch.ids.masked_fill(~patch.keep, -1).int())
                bits.append((patch.inside * power).sum(2).int())
            self._table = torch.cat(ids), torch.cat(bits)
        return self._table

    def to(self, device: torch.device | str) -> Groups:
        """The same groups on another device; copies are kept, so calling this each step is free."""
        device = torch.device(device)
        if device == self.device:
            return self
        if device not in self._moved:
            self._moved[device] = Groups([level.to(device) for level in self.levels], self.vocab_size)
        return self._moved[device]

    def state_dict(self) -> dict[str, Tensor]:
        """Plain int32 tensors for safetensors: `level<j>.group_of` [V] or `level<j>.neighbours` [V, k]."""
        return {
            f"level{j}.{'group_of' if isinstance(level, Partition) else 'neighbours'}": level.tensors()[0]
            for j, level in enumerate(self.levels)
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor]) -> Groups:
        """The inverse of `state_dict`; keys of other objects in the same file are ignored."""
        levels: list[Groups] = []
        while True:
            prefix = f"level{len(levels)}."
            if prefix + "group_of" in state:
                levels.append(cls.from_ids(state[prefix + "group_of"]))
            elif prefix + "neighbours" in state:
                levels.append(cls.from_neighbours(state[prefix + "neighbours"]))
            elif levels:
                return sum(levels[1:], start=levels[0])
            else:
                raise ValueError(
                    "These weights hold no groups: level0.group_of or level0.neighbours is missing."
                )

    def __repr__(self) -> str:
        kinds = [
            f"{len(level.offsets) - 1} groups of <= {level.width}"
            if isinstance(level, Partition)
            else f"kNN {level.width}"
            for level in self.levels
        ]
        return f"Groups(V={self.vocab_size}, {'; '.join(kinds)})"


def _balanced_bisection(points: Tensor, n_groups: int, seed: int, rounds: int = 8) -> Tensor:
    """Group labels [V] for points [V, d] by recursive balanced 2-means (see `Groups.kmeans`)."""
    count, dim = points.shape
    size = torch.full((n_groups,), count // n_groups)
    size[: count % n_groups] += 1
    # [G + 1]  group g will own ranks start[g] : start[g + 1]
    start = torch.cat([size.new_zeros(1), size.cumsum(0)])
    # [d]  starts every power iteration
    direction = torch.randn(dim, generator=torch.Generator().manual_seed(seed))

    order = torch.arange(count)  # tokens, sorted so that each node of the tree is one range
    cuts = torch.tensor([0, n_groups])  # node i will hold groups cuts[i] : cuts[i + 1]
    while len(cuts) <= n_groups:
        middle = (cuts[:-1] + cuts[1:]) // 2  # [nodes]; equals cuts[:-1] where one group is left
        nodes = len(middle)
        node = torch.repeat_interleave(torch.arange(nodes), start[cuts[1:]] - start[cuts[:-1]])  # [V]
        left = torch.arange(count) < start[middle][node]  # [V]  the ranks that go to the left child
        inner = middle > cuts[:-1]  # [nodes]  nodes still to be split

        def mean(value: Tensor, weight: Tensor, node: Tensor = node, nodes: int = nodes) -> Tensor:
            total = value.new_zeros(nodes, value.shape[1]).index_add_(0, node, value * weight[:, None])
            mass = weight.new_zeros(nodes).index_add_(0, node, weight)
            return total / mass.clamp(min=1)[:, None]  # [nodes, d]

        x = points[order]  # [V, d]
        x = x - mean(x, torch.ones(count))[node]
        axis = direction.expand(nodes, dim)  # [nodes, d]
        for _ in range(4):  # power iteration: start along each node's widest axis
            axis = mean(x, (x * axis[node]).sum(1))
            axis = axis / axis.norm(dim=1, keepdim=True).clamp(min=1e-12)
        rank = torch.arange(count)
        for _ in range(rounds):
            along = torch.where(inner[node], (x * axis[node]).sum(1), torch.zeros(count))  # [V]
            by_value = torch.argsort(along, stable=True)
            rank = by_value[torch.argsort(node[by_value], stable=True)]  # sorted by node, then along the axis
            side = torch.empty(count, dtype=torch.bool)
            side[rank] = left
            # [nodes, d]  from the left to the right centre
            centre = mean(x, (~side).float()) - mean(x, side.float())
            if torch.equal(centre, axis):
                break
            axis = centre
        order = order[rank]
        cuts = torch.unique(torch.cat([cuts, middle]))

    label = torch.empty(count, dtype=torch.long)
    label[order] = torch.repeat_interleave(torch.arange(n_groups), size)
    return label
