"""Exact Optimal Brain Surgeon of a linear: the cheapest removals over all its rows.

Reference: Frantar & Alistarh, Optimal Brain Compression, 2022 (arXiv:2208.11580), section 4. There every row runs until
it is empty. A row's removals are taken in order, so one behind an expensive removal counts as equally expensive. Here
rows run to a bound, and only those with all removals up to it taken run further. The final choice is the same.
"""

import math

import torch
from torch import Tensor

from core.methods.unstructured.removals import Groups, remove, settle

FIRST, FURTHER = 1.25, 1.5  # multiples: the first bound of an even share, each later bound of the last


def prune(
    weight: Tensor,
    inverse: Tensor,
    zeros: Tensor,
    ratio: float,
    pattern: Groups | None = None,
    block: int = 1,
    *,
    work: int,
    first: float = FIRST,
) -> tuple[Tensor, Tensor]:
    """Prune a linear by Optimal Brain Surgeon.

    Args:
        weight: (out, in).
        inverse: H^-1, (in, in).
        zeros: (out, in) True for a weight that is removed before.
        ratio: Exactly round(ratio * numel) weights are removed, `zeros` included.
        pattern: N and M; all but N of each M consecutive inputs are removed, instead of `ratio`.
        block: Consecutive inputs per removal; as many blocks are removed as fit into `ratio`.
        work: Approximate bytes of rows that run together; affects the time only.
        first: First bound as a multiple of an even share; affects the time only.

    Returns:
        The pruned and updated weight and its mask, each (out, in).
    """
    rows, inputs = weight.shape
    numbers = work // weight.element_size()
    bound = inputs // pattern[1] * (pattern[1] - pattern[0]) if pattern else inputs // block
    wanted = round(ratio * weight.numel()) - int(zeros.sum())
    sizes = (~zeros).unflatten(1, (-1, block)).sum(2)  # (out, places) weights to remove with a block
    order = torch.full((rows, bound), inputs // block, dtype=torch.int32, device=weight.device)
    rises = weight.new_full((rows, bound), torch.inf)
    taken = torch.zeros(rows, dtype=torch.int64, device=weight.device)  # removals of each row
    going = torch.arange(rows, device=weight.device)  # rows that run further
    done, depth = 0, bound if pattern else min(math.ceil(first * wanted / rows / block), bound)
    while len(going) and done < depth:
        for some in going.split(max(1, numbers // (depth * block * inputs))):
            removed = _removed(zeros[some], order[some], taken[some], block)
            places, rise = remove(weight[some], inverse, removed, depth - done, block, pattern)
            order[some, done:depth], rises[some, done:depth] = places.to(order.dtype), rise
        known = order[:, :depth], rises[:, :depth]
        taken = known[1].isfinite().sum(1) if pattern else _cheapest(*known, sizes, wanted)
        going = (taken == depth).nonzero()[:, 0]
        done, depth = depth, min(math.ceil(FURTHER * depth), bound)
    removed = _removed(zeros, order, taken, block)
    some = max(1, numbers // max(1, int(removed.sum(1).max())) ** 2)
    pairs = zip(weight.split(some), removed.split(some), strict=True)
    return torch.cat([settle(part, inverse, bare) for part, bare in pairs]), removed


def _cheapest(order: Tensor, rises: Tensor, sizes: Tensor, wanted: int) -> Tensor:
    """Choose the cheapest removals with at most `wanted` weights in total; return their number in each row, (out,)."""
    ranked = rises.cummax(1).values.flatten().argsort(stable=True)
    counted = sizes.gather(1, order.long().clamp_max(sizes.shape[1] - 1)).flatten()[ranked].cumsum(0)
    fits = torch.zeros_like(counted, dtype=torch.bool).scatter_(0, ranked, counted <= wanted)
    return (fits.view_as(rises) & rises.isfinite()).sum(1)


def _removed(zeros: Tensor, order: Tensor, taken: Tensor, block: int) -> Tensor:
    """Return the mask (out, in) of removed weights after `taken` (out,) removals of each row."""
    places = zeros.shape[1] // block
    first = torch.arange(order.shape[1], device=order.device) < taken[:, None]
    removed = zeros.new_zeros(len(zeros), places + 1).scatter_(1, order.long().masked_fill(~first, places), True)
    return zeros | removed[:, :places].repeat_interleave(block, 1)
