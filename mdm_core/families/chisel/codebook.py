"""A learned codebook that is chosen from by products, every code of it learning at every step.

Index backpropagation (IBQ, Shi et al. 2024, arXiv 2412.02692): the features of a patch are multiplied with all codes,
the code of the largest product is taken, and the gradient goes through the softmax over all products as if that had
been taken instead. A nearest-neighbour codebook moves only the codes that were chosen, and loses the others.

Codes have length 1, so the largest product is the nearest code, and groups and neighbours by distance mean what the
quantiser means; how long the features are says how sure the choice is. The [N, V] products are made tile by tile, in
the backward pass anew: at V = 131,072 they would take eight gigabytes of a small batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mdm_core.ops import sample_step

TILE_BYTES = {"cpu": 32 << 20, "cuda": 512 << 20}  # of products in flight
COMMIT, SPREAD = 0.25, 0.05  # weights of what `learn` asks for besides the pictures
GAIN = 12.0  # length that features begin with, about: a softmax over products that prefers near codes


class IndexCodebook(nn.Module):
    """V codes on the sphere of d dimensions."""

    def __init__(self, codes: int, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(codes, dim))
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, std=dim**-0.5)

    @property
    def dim(self) -> int:
        return self.weight.shape[1]

    def codebook(self) -> Tensor:
        """All codes, float32 [V, d], each of length 1: the space in which groups are defined."""
        return F.normalize(self.weight.float(), dim=1)

    @torch.no_grad()
    def ids(self, z: Tensor) -> Tensor:
        """Features [..., d] -> the ids of the nearest codes, int64 [...]; of equals the lowest."""
        rows = z.float().flatten(0, -2)
        none = torch.full((len(rows),), len(self.weight), device=z.device)
        drawn = torch.zeros(len(rows), dtype=torch.bool, device=z.device)
        best = sample_step(rows, self.codebook(), none, temperature=0.0, seed=0, step=0, draw=drawn).best
        return best.view(z.shape[:-1])

    def codes(self, ids: Tensor) -> Tensor:
        """ids [...] -> codes float32 [..., d]."""
        return self.codebook()[ids.long()]

    def learn(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Features [..., d] -> the codes chosen [..., d] with gradients to all, and what is to be small besides.

        The second, [], asks that features and their codes meet, and that choices are sure (entropy of a choice) while
        all codes are chosen (entropy of their mean), as a share of log V.
        """
        V, d = self.weight.shape
        rows = GAIN * z.float().reshape(-1, d)  # [N, d]
        book = self.codebook()
        chosen, doubt, use = choose(rows, book)
        unit = F.normalize(rows, dim=1)
        commit = COMMIT * F.mse_loss(unit, chosen.detach()) + F.mse_loss(chosen, unit.detach())
        spread = (doubt - use) / torch.log(torch.tensor(float(V)))
        return chosen.view(z.shape), d * commit + SPREAD * spread


def choose(rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """rows [N, d], codes [V, d] -> (codes of the largest products [N, d], mean entropy of the choices in nats [],
    entropy of the mean choice []), the first with the gradient of softmax(rows @ codes.T) @ codes."""
    chosen: tuple[Tensor, Tensor, Tensor] = _Chosen.apply(rows, codes)  # type: ignore[no-untyped-call]  # torch has none
    return chosen


class _Chosen(torch.autograd.Function):
    """See `choose`; products are made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        lots = rows.split(_rows(codes))
        ids, doubt = [], rows.new_zeros(())
        mean = rows.new_zeros(len(codes))  # [V]
        with torch.autocast(rows.device.type, enabled=False):
            for lot in lots:
                logits = lot @ codes.T  # [n, V]
                ids.append(logits.argmax(1))
                logp = logits.log_softmax(1)
                p = logp.exp()
                doubt -= (p * logp).sum()
                mean += p.sum(0)
        n = max(1, len(rows))
        mean /= n
        index = torch.cat(ids)
        ctx.save_for_backward(rows, codes, index, mean)
        return codes[index], doubt / n, -torch.special.xlogy(mean, mean).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        rows, codes, index, mean = ctx.saved_tensors
        toward, of_doubt, of_use = grads  # [N, d], [], []
        n = max(1, len(rows))
        # what a code's share of the mean is worth; a code that nobody can choose has none
        use = of_use / n * mean.clamp_min(1e-30).log()  # [V]
        to_rows, to_codes, first = torch.empty_like(rows), torch.zeros_like(codes), 0
        for lot, grad in zip(rows.split(_rows(codes)), toward.split(_rows(codes)), strict=True):
            logp = (lot @ codes.T).log_softmax(1)  # [n, V]
            p = logp.exp()
            worth = (grad @ codes.T).sub_(use).sub_(logp.mul_(of_doubt / n))  # [n, V]: gradient for p
            worth -= (p * worth).sum(1, keepdim=True)
            worth *= p  # for the products
            to_rows[first : first + len(lot)] = worth @ codes
            to_codes += worth.T @ lot
            first += len(lot)
        to_codes.index_add_(0, index, toward.to(to_codes.dtype))
        return to_rows, to_codes


def _rows(codes: Tensor) -> int:
    """Rows of a tile of products."""
    return max(1, TILE_BYTES.get(codes.device.type, TILE_BYTES["cpu"]) // (4 * len(codes)))
