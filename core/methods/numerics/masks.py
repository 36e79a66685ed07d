"""Pruning masks from scores: exact counts, with ties broken by position."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from core.methods.numerics.levels import level_counts


def smallest_mask(score: Tensor, count: int) -> Tensor:
    """Return a mask of exactly `count` smallest entries along the last dimension of `score` (..., n)."""
    pruned = torch.zeros_like(score, dtype=torch.bool)
    if count:
        threshold = score.kthvalue(count, dim=-1, keepdim=True).values  # (..., 1)
        below, tied = score < threshold, score == threshold
        from_ties = count - below.sum(-1, keepdim=True)  # tied entries to prune, the first ones
        pruned = below | (tied & (tied.cumsum(-1) <= from_ties))
    return pruned


def row_mask(score: Tensor, zeros: Tensor, count: int) -> Tensor:
    """Return a mask of `count` entries of a score (out, in): the smallest of each row, equally many per row.

    Entries with `zeros` (out, in) True are pruned too; their `score` must be lowest. A row with more of them than its
    share keeps all of them pruned, and the other rows lose less.
    """
    rows, inputs = score.shape
    counts = level_counts([inputs] * rows, zeros.sum(1).tolist(), count)
    order = score.argsort(dim=-1, stable=True)  # (out, in) ascending
    first = torch.arange(inputs, device=score.device) < torch.tensor(counts, device=score.device)[:, None]
    return torch.zeros_like(zeros).scatter_(-1, order, first)


def zeros_lowest(score: Tensor, zeros: Tensor | None) -> Tensor:
    """Return the score with -inf for weights bound to zero, below even the score 0 of a dead input."""
    return score if zeros is None else score.masked_fill(zeros, -torch.inf)


def pattern_mask(score: Tensor, kept: int, group: int) -> Tensor:
    """Build the N:M pruning mask of a weight matrix.

    Args:
        score: Weight importance, (out, in); `group` divides `in`.
        kept: Weights to keep per group (N).
        group: Consecutive inputs per group (M).

    Returns:
        Bool mask, (out, in); True is pruned.
    """
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
    """Return the number of weights each linear loses if the lowest scores of all linears are removed.

    No linear loses more than the share `cap`; the others then lose more. The total is exactly round(ratio * all
    weights). `zeros` counts the weights that each linear has lost already, which must score lowest. They count and stay
    removed, even above the cap.
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
