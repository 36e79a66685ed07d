"""Which entries of a score matrix are pruned: exact counts, ties broken by position."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def smallest_mask(score: Tensor, count: int) -> Tensor:
    """Return a mask that is True on exactly `count` smallest entries along the last dimension of `score` (..., n)."""
    pruned = torch.zeros_like(score, dtype=torch.bool)
    if count:
        threshold = score.kthvalue(count, dim=-1, keepdim=True).values  # (..., 1)
        below, tied = score < threshold, score == threshold
        missing = count - below.sum(-1, keepdim=True)  # of the tied entries, the first so many are pruned
        pruned = below | (tied & (tied.cumsum(-1) <= missing))
    return pruned


def pattern_mask(score: Tensor, kept: int, group: int) -> Tensor:
    """Return a mask that prunes all but the `kept` largest of each `group` consecutive inputs; `score` is (out, in)."""
    order = score.view(score.shape[0], -1, group).argsort(dim=-1, stable=True)  # (out, groups, group) ascending
    pruned = torch.zeros_like(order, dtype=torch.bool)
    pruned.scatter_(-1, order[..., : group - kept], True)
    return pruned.view_as(score)


def global_counts(weights: Mapping[str, Tensor], ratio: float, cap: float) -> dict[str, int]:
    """Return how many weights each linear loses when the smallest |w| of all linears go, none losing more than `cap`.

    The total is exactly round(ratio * all weights). What a capped linear may not lose is taken from the others.
    """
    total = sum(weight.numel() for weight in weights.values())
    limits = {name: int(cap * weight.numel()) for name, weight in weights.items()}
    wanted = min(round(ratio * total), sum(limits.values()))
    counts: dict[str, int] = {}
    open_names = list(weights)
    while open_names:
        left = wanted - sum(counts.values())
        magnitudes = torch.cat([weights[name].abs().flatten().float() for name in open_names])
        pruned = smallest_mask(magnitudes, left)
        split = pruned.split([weights[name].numel() for name in open_names])
        losing = {name: int(part.sum()) for name, part in zip(open_names, split, strict=True)}
        capped = [name for name in open_names if losing[name] > limits[name]]
        counts |= {name: limits[name] for name in capped} if capped else losing
        open_names = [name for name in open_names if name not in counts]
    return counts
