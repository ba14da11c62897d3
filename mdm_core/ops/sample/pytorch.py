"""One sampling step's decision data in PyTorch operations, over tiles of the vocabulary.

Legend
    n    rows of a chunk, 64         C    columns of a tile, a multiple of 128
    D    width                       m    blocks of a tile, C / 64

Rows go through in chunks of exactly 64, the last one padded, and tiles have a fixed width: the library's
matrix product then has one shape for a given head, so that a row's result does not depend on the batch it
rides in. The two levels of the draw, and why, are told in noise.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mdm_core.ops.gemm import roomy
from mdm_core.ops.noise import BLOCK, TOKEN_NOISE, gumbel

ROWS = 64
LOG_BLOCK = math.log(BLOCK)
COLUMNS = 6144  # at most; fp32 [64, 6144] is 1.5 MiB, and three such buffers are alive at most


class _Scan:
    """What one pass over the vocabulary remembers of each row; `absorb` takes the tiles in order."""

    def __init__(
        self, current: Tensor, temperature: float, seed: Tensor, row_ids: Tensor, step: int, blocks: int
    ):
        """blocks: of the whole vocabulary, with those of padding."""
        n, device = len(current), current.device
        self.current, self.temperature, self.step = current, temperature, step
        self.seed, self.row_ids = seed, row_ids
        low = torch.full((n,), -torch.inf, device=device)
        self.top = low.clone()  # [n]      running maximum logit
        self.mass = torch.zeros(n, device=device)  # [n]      sum of exp(z - top)
        self.moment = torch.zeros(n, device=device)  # [n]      sum of exp(z - top) (z - top)
        self.best_block = low.new_zeros(n, dtype=torch.long)  # [n]  the block that holds the maximum
        self.best_inner = low.new_full((n, BLOCK), -torch.inf)  # [n, 64]  its logits
        self.runner_up = low.clone()  # [n]      largest maximum of any other block
        self.drawn_score = low.clone()  # [n]      winning block's log-sum-exp + noise
        self.drawn_block = torch.zeros_like(self.best_block)  # [n]
        self.drawn_inner = torch.full_like(self.best_inner, -torch.inf)  # [n, 64]  its logits
        self.current_logit = low.clone()  # [n]
        if temperature > 0:
            self.noise = gumbel(seed, row_ids, step, self.best_block.new_zeros(()), blocks)  # [n, V / 64]

    def absorb(
        self, z: Tensor, first_block: int, work: tuple[Tensor, Tensor], allowed: Tensor | None = None
    ) -> None:
        """z [n, C]: logits of the tile's tokens, padded with -inf; work, twice [n, C], is scratch.

        allowed [n, C]: the logits to draw from, if not z itself (top-k, top-p). The rest always tells of z.
        """
        n, blocks = len(z), z.shape[1] // BLOCK
        blocked = z.view(n, blocks, BLOCK)  # [n, m, 64]
        rows = torch.arange(n, device=z.device)
        peak = blocked.amax(2)  # [n, m]
        safe = peak.clamp(min=torch.finfo(peak.dtype).min)  # a block of nothing but -inf would give NaN

        shifted, spare = (part.view(n, blocks, BLOCK) for part in work)  # [n, m, 64] each
        torch.sub(blocked, safe[..., None], out=shifted)
        mass, moment = self._block_sums(shifted, spare)  # [n, m] each
        tile_top, block = peak.max(1)  # [n], [n]
        self._merge_moments(tile_top, safe, mass, moment)
        self._merge_best(blocked, peak, tile_top, block, first_block, rows)

        if self.temperature > 0:
            noise = self.noise[:, first_block : first_block + blocks]  # [n, m]
            if allowed is not None:
                blocked = allowed.view(n, blocks, BLOCK)
                safe = blocked.amax(2).clamp(min=torch.finfo(peak.dtype).min)
            if allowed is None and self.temperature == 1:
                score = mass.log() + safe + noise  # [n, m]  log-sum-exp of each block, and its noise
            else:
                score = self._scores(blocked, safe, noise)
            value, block = score.max(1)  # [n], [n]
            wins = value > self.drawn_score  # [n]
            self.drawn_score = torch.where(wins, value, self.drawn_score)
            self.drawn_block = torch.where(wins, block + first_block, self.drawn_block)
            self.drawn_inner = torch.where(wins[:, None], blocked[rows, block], self.drawn_inner)

        column = self.current - first_block * BLOCK  # [n]
        here = (column >= 0) & (column < z.shape[1])
        logit = z[rows, column.clamp(0, z.shape[1] - 1)]
        self.current_logit = torch.where(here, logit, self.current_logit)

    def _scores(self, blocked: Tensor, safe: Tensor, noise: Tensor) -> Tensor:
        """Each block's log-sum-exp at the temperature plus its noise, [n, m]; -inf where it cannot be the largest.

        A log-sum-exp lies between the block's largest logit and log 64 above it, so that most blocks lose before
        they are summed.
        """
        scaled = safe / self.temperature  # [n, m]
        least = scaled + noise
        bar = torch.maximum(self.drawn_score, least.amax(1))[:, None]  # [n, 1]
        # far more than rounding takes
        room = LOG_BLOCK + 0.01 + 1e-5 * (scaled.abs() + noise.abs())  # [n, m]
        row, block = (least + room >= bar).nonzero(as_tuple=True)  # [c] each
        inside = blocked[row, block].sub_(safe[row, block][:, None])  # [c, 64]
        mass = inside.div_(self.temperature).exp_().sum(1)  # [c]
        score = torch.full_like(least, -torch.inf)
        score[row, block] = mass.log() + scaled[row, block] + noise[row, block]
        return score

    @staticmethod
    def _block_sums(shifted: Tensor, spare: Tensor) -> tuple[Tensor, Tensor]:
        """Per block, the sums of e^x and of x e^x, x [n, m, 64] <= 0; x and spare, of its shape, are overwritten."""
        # e^-80 counts for nothing, and 0 * -inf would be NaN
        lowered = torch.clamp(shifted, min=-80.0, out=spare)
        mass = shifted.exp_()
        return mass.sum(2), lowered.mul_(mass).sum(2)

    def _merge_moments(self, tile_top: Tensor, peak: Tensor, mass: Tensor, moment: Tensor) -> None:
        top = torch.maximum(self.top, tile_top)  # [n]
        safe = top.clamp(min=torch.finfo(top.dtype).min)
        down = peak - safe[:, None]  # [n, m]  shift of each block's reference
        scale = down.exp()
        gain = (scale * (moment + down.clamp(min=-1e30) * mass)).sum(1)  # [n]
        old_down = self.top - safe  # [n]
        old_scale = old_down.exp()
        self.moment = gain + old_scale * (self.moment + old_down.clamp(min=-1e30) * self.mass)
        self.mass = (scale * mass).sum(1) + old_scale * self.mass
        self.top = top

    def _merge_best(
        self,
        blocked: Tensor,  # [n, m, 64]
        peak: Tensor,  # [n, m]
        tile_top: Tensor,  # [n]
        block: Tensor,  # int64 [n]
        first_block: int,
        rows: Tensor,  # int64 [n]
    ) -> None:
        others = peak.scatter(1, block[:, None], -torch.inf).amax(1)  # [n]
        previous_top = self.best_inner.amax(1)  # [n]
        wins = tile_top > previous_top  # [n]
        loser = torch.where(wins, previous_top, tile_top)
        self.runner_up = torch.maximum(torch.maximum(self.runner_up, others), loser)
        self.best_block = torch.where(wins, block + first_block, self.best_block)
        self.best_inner = torch.where(wins[:, None], blocked[rows, block], self.best_inner)

    def finish(self) -> tuple[Tensor, ...]:
        """The seven fields of SampleStep, each [n]."""
        pair, place = self.best_inner.topk(2, dim=1)  # [n, 2]
        place = self.best_inner.max(1).indices  # [n]  the lowest id among equals
        best = self.best_block * BLOCK + place
        second = torch.maximum(pair[:, 1], self.runner_up)  # [n]
        if self.temperature > 0:
            first = TOKEN_NOISE + self.drawn_block * BLOCK  # [n]
            noise = gumbel(self.seed, self.row_ids, self.step, first, BLOCK)  # [n, 64]
            inside = (self.drawn_inner / self.temperature + noise).max(1).indices  # [n]
            token = self.drawn_block * BLOCK + inside
            chosen = self.drawn_inner.gather(1, inside[:, None])[:, 0]  # [n]
        else:
            token, chosen = best, pair[:, 0]
        entropy = self.mass.log() - self.moment / self.mass  # [n]
        # Not exp(logit - LSE): the LSE of large logits is rounded coarsely, their differences are not.
        p = [(z - self.top).exp() / self.mass for z in (chosen, pair[:, 0], second, self.current_logit)]
        return token, p[0], best, p[1], p[2], p[3], entropy


def edges(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None
) -> tuple[Tensor, Tensor]:
    """Where each row's top-k / top-p set ends, without sorting whole rows; logits [n, V].

    Returns the smallest logit of the set [n, 1], and the last id [n, 1] that is in the set of those that equal it
    (V if all of them are): the lowest ids stay. Top-p becomes a top-k with a count of its own per row: how many
    ranked tokens reach top_p.
    """
    size = logits.shape[1]
    edge, count = _edge(logits, temperature, top_k, top_p)  # [n, 1] each
    tied = logits == edge  # [n, V]
    room = count - (logits > edge).sum(1, keepdim=True)  # [n, 1]  how many of the tied are in the set
    last = torch.full_like(room, size)  # [n, 1]
    if bool((tied.sum(1, keepdim=True) > room).any()):
        ends = tied.cumsum(1, dtype=torch.int32) == room  # [n, V]
        last = ends.logical_and_(tied).byte().argmax(1, keepdim=True)
    return edge, last


def _edge(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float | None
) -> tuple[Tensor, Tensor]:
    """The smallest logit of each row's set and how many are in it [n, 1]; what is ranked for it is not kept."""
    size = logits.shape[1]
    limit = size if top_k is None else min(top_k, size)
    depth = limit if top_p is None else min(limit, 256)
    while True:
        ranked = logits.topk(depth, dim=1).values  # [n, depth], descending
        if top_p is None:
            count = torch.full_like(logits[:, :1], depth, dtype=torch.long)  # [n, 1]
            break
        pool = logits.topk(limit, dim=1).values if top_k is not None else logits
        total = (pool / temperature).logsumexp(1, keepdim=True)  # [n, 1]
        p = (ranked / temperature - total).exp()  # [n, depth]
        reach = p.cumsum(1)  # [n, depth]
        count = (reach - p < top_p).sum(1, keepdim=True).clamp(min=1)  # [n, 1]
        if depth == limit or bool((reach[:, -1] >= top_p).all()):
            break
        depth = min(4 * depth, limit)
    return ranked.gather(1, count - 1), count


def sample_rows(
    hidden: Tensor,
    weight: Tensor,
    current: Tensor,
    temperature: float,
    seed: Tensor,
    step: int,
    row_ids: Tensor,
    top_k: int | None,
    top_p: float | None,
    draw: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """The seven fields of SampleStep, each [N]; where `draw` is False the best token stands for the drawn one."""
    if draw is not None:
        return _apart(hidden, weight, current, temperature, seed, step, row_ids, top_k, top_p, draw)
    count, size = hidden.shape[0], weight.shape[0]
    tiles = -(-size // COLUMNS)
    columns = -(-size // (tiles * 2 * BLOCK)) * 2 * BLOCK  # nearly equal tiles of whole pairs of blocks
    # Top-k and top-p rank a whole row, so there the logits of 64 rows stay together; else one tile is enough.
    ranked = temperature > 0 and (top_k is not None or top_p is not None)
    store = torch.empty(ROWS, tiles * columns if ranked else columns, device=hidden.device)  # [64, V or C]
    work = store.new_empty(ROWS, columns), store.new_empty(ROWS, columns)  # [64, C] each
    results = []
    for first in range(0, count, ROWS):
        short = max(0, first + ROWS - count)  # rows of padding
        part = functional.pad(hidden[first : first + ROWS], (0, 0, 0, short)).to(weight.dtype)
        part = roomy(part)  # [64, D]
        ids = [functional.pad(x[first : first + ROWS], (0, short)) for x in (current, seed, row_ids)]
        scan = _Scan(ids[0], temperature, ids[1], ids[2], step, tiles * columns // BLOCK)
        for v0 in range(0, size, columns):
            tile = store[:, v0 : v0 + columns] if ranked else store  # [64, C]
            _product(tile, part, weight[v0 : v0 + columns])
            if not ranked:
                scan.absorb(tile, v0 // BLOCK, work)
        if ranked:
            few = max(1, (1 << 20) // (4 * size))  # rows at a time: ranking takes several copies
            limits = [edges(rows, temperature, top_k, top_p) for rows in store[:, :size].split(few)]
            edge, last = (torch.cat(part) for part in zip(*limits, strict=True))  # [64, 1] each
            split_ties = bool((last < size).any())
            for v0 in range(0, size, columns):
                tile = store[:, v0 : v0 + columns]  # [64, C]
                outside = tile < edge  # [64, C]
                if split_ties:
                    token = torch.arange(v0, v0 + columns, device=tile.device)  # [C]
                    outside |= (tile == edge) & (token > last)
                scan.absorb(tile, v0 // BLOCK, work, tile.masked_fill(outside, -torch.inf))
        results.append([field[: ROWS - short] for field in scan.finish()])
    if not results:
        empty = hidden.new_empty(0, dtype=torch.float32)
        return tuple(empty.long() if j in (0, 2) else empty for j in range(7))
    return tuple(torch.cat(field) for field in zip(*results, strict=True))


def _apart(
    hidden: Tensor,
    weight: Tensor,
    current: Tensor,
    temperature: float,
    seed: Tensor,
    step: int,
    row_ids: Tensor,
    top_k: int | None,
    top_p: float | None,
    draw: Tensor,
) -> tuple[Tensor, ...]:
    """`sample_rows`, of rows that need a drawn token and of rows that need none, each by themselves."""
    kinds = [(draw.nonzero()[:, 0], temperature, top_k, top_p), ((~draw).nonzero()[:, 0], 0.0, None, None)]
    parts = []
    for rows, heat, k, p in kinds:
        now, seeds, own = (x[rows] for x in (current, seed, row_ids))
        parts.append(sample_rows(hidden[rows], weight, now, heat, seeds, step, own, k, p))
    back = torch.cat([rows for rows, *_ in kinds]).argsort()  # [N]
    return tuple(torch.cat(field)[back] for field in zip(*parts, strict=True))


def _product(tile: Tensor, part: Tensor, weight: Tensor) -> None:
    """tile [64, C] = part [64, D] @ weight [c, D] transposed, and -inf in columns beyond c."""
    known = tile[:, : len(weight)]
    tile[:, len(weight) :] = -torch.inf
    if weight.dtype == tile.dtype:
        torch.mm(part, weight.t(), out=known)
    else:
        known.copy_(part @ weight.t())
