"""HQQ's solver: the range fixes the scale, and the zero point is any number."""

from __future__ import annotations

from torch import Tensor

from core.methods.find import LEAST
from core.models.parts.grids import Grid

BETA, GROWTH = 10.0, 1.01  # weight of the quadratic term, and its growth per round


def fitted(weight: Tensor, bits: int, group: int, norm: float, iterations: int) -> Grid:
    """Return the grid of a weight (out, in) whose zero points minimise the l_p norm of the errors, p = `norm` <= 1."""
    groups = weight.unflatten(1, (-1, group))  # (out, groups, group)
    low, high = groups.amin(-1), groups.amax(-1)  # (out, groups)
    scale = ((high - low) / (2**bits - 1)).half().float().clamp_min(LEAST)
    best = Grid(bits, group, scale, (-low / scale).half().float())
    beta, least = BETA, _error(best, weight)
    found = best
    for _ in range(iterations):
        codes = found.codes(weight)
        error = weight - found.weight(codes)
        size = error.abs()
        shrunk = error.sign() * (size - size.clamp_min(1e-12).pow(norm - 1) / beta).clamp_min_(0)
        fit = codes.float() - (weight - shrunk) / scale.repeat_interleave(group, 1)
        found = Grid(bits, group, scale, fit.unflatten(1, (-1, group)).mean(-1).half().float())
        beta *= GROWTH
        now = _error(found, weight)
        if now >= least:
            break
        best, least = found, now
    return best


def _error(grid: Grid, weight: Tensor) -> float:
    return float((grid.nearest(weight) - weight).abs_().mean())
