"""Which entries of a score matrix are pruned: exact counts, ties broken by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from core.methods.levels import level_counts


def smallest_mask(score: Tensor, count: int) -> Tensor:
    """Return a mask that is True on exactly `count` smallest entries along the last dimension of `score` (..., n)."""
    pruned = torch.zeros_like(score, dtype=torch.bool)
    if count:
        threshold = score.kthvalue(count, dim=-1, keepdim=True).values  # (..., 1)
        below, tied = score < threshold, score == threshold
        missing = count - below.sum(-1, keepdim=True)  # of the tied entries, the first so many are pruned
        pruned = below | (tied & (tied.cumsum(-1) <= missing))
    return pruned


def row_mask(score: Tensor, zeros: Tensor, count: int) -> Tensor:
    """Return a mask that is True on `count` entries of a score (out, in), in each row the smallest and as many.

    Where `zeros` (out, in) is True and `score` is lowest, it is, too; a row that has more of these than its share keeps
    them, and the others lose less.
    """
    rows, inputs = score.shape
    counts = level_counts([inputs] * rows, zeros.sum(1).tolist(), count)
    order = score.argsort(dim=-1, stable=True)  # (out, in) ascending
    first = torch.arange(inputs, device=score.device) < torch.tensor(counts, device=score.device)[:, None]
    return torch.zeros_like(zeros).scatter_(-1, order, first)


def zeros_lowest(score: Tensor, zeros: Tensor | None) -> Tensor:
    """Return a score whose entries are below all others where a weight is zero for good; that of a dead input is 0."""
    return score if zeros is None else score.masked_fill(zeros, -torch.inf)


def pattern_mask(score: Tensor, kept: int, group: int) -> Tensor:
    """Return a mask that prunes all but the `kept` largest of each `group` consecutive inputs; `score` is (out, in)."""
    order = score.view(score.shape[0], -1, group).argsort(dim=-1, stable=True)  # (out, groups, group) ascending
    pruned = torch.zeros_like(order, dtype=torch.bool)
    pruned.scatter_(-1, order[..., : group - kept], True)
    return pruned.view_as(score)


def global_counts(
    sizes: Mapping[str, int],
    score: Callable[[str], Tensor],
    ratio: float,
    cap: float,
    zeros: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Return how many weights each linear loses when the lowest-scored of all go, none losing more than `cap`.

    The total is exactly round(ratio * all weights). What a capped linear may not lose is taken from the others.
    `zeros` says how many each has lost before, which must score lowest: they count, and stay, even above the cap.
    """
    before = zeros or dict.fromkeys(sizes, 0)
    limits = {name: max(int(cap * size), before[name]) for name, size in sizes.items()}
    wanted = min(max(round(ratio * sum(sizes.values())), sum(before.values())), sum(limits.values()))
    counts: dict[str, int] = {}
    open_names = list(sizes)
    while open_names:
        left = wanted - sum(counts.values())
        pruned = smallest_mask(torch.cat([score(name).flatten() for name in open_names]), left)
        split = pruned.split([sizes[name] for name in open_names])
        losing = {name: int(part.sum()) for name, part in zip(open_names, split, strict=True)}
        capped = [name for name in open_names if losing[name] > limits[name]]
        counts |= {name: limits[name] for name in capped} if capped else losing
        open_names = [name for name in open_names if name not in counts]
    return counts
