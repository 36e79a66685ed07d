"""The search for clipped ranges as it is defined: every range of every group, as in GPTQ's reference code."""

import torch

from core.methods.find import CLIP_OF, CLIP_POWER, CLIP_STEPS, grid_between


def clipped_by_all(weight, bits, group, symmetric, rule="signed"):
    """Return scales and zero points, (out, groups), of the ranges of a weight (out, in) with the least error."""
    groups = weight.unflatten(1, (-1, group))  # (out, groups, group)
    low, high = groups.amin(-1).clamp_max(0), groups.amax(-1).clamp_min(0)  # (out, groups)
    least = torch.full_like(low, float("inf"))
    scale, zero = torch.empty_like(low), torch.empty_like(low)
    for step in range(CLIP_STEPS):
        share = 1 - step / CLIP_OF
        grid = grid_between(share * low, share * high, bits, group, symmetric, rule)
        error = (grid.nearest(weight) - weight).abs().pow(CLIP_POWER)  # (out, in)
        error = error.unflatten(1, (-1, group)).sum(-1)  # (out, groups)
        better = error < least
        least, scale = torch.where(better, error, least), torch.where(better, grid.scale, scale)
        zero = zero if grid.zero is None else torch.where(better, grid.zero, zero)
    return scale, None if symmetric else zero
