"""Exact Optimal Brain Surgeon of a linear: of the removals of all its rows, those that cost least.

Reference: Frantar & Alistarh, Optimal Brain Compression, 2022 (arXiv:2208.11580), section 4. There every row is run
until it is empty. A row's removals are taken in order, so those behind a dear one count as dear as that; here rows run
to a bound, and only those of which all is taken up to it run further. What is taken in the end is the same.
"""

import math

import torch
from torch import Tensor

from core.methods.unstructured.removals import Groups, remove, settle

FIRST, FURTHER = 1.25, 1.5  # the first bound is so many times an even share, each later one so many times the last


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
    """Return the pruned and updated weight (out, in), and where it is pruned.

    `inverse` is H^-1 (in, in). Exactly round(ratio * numel) weights are gone, among them those of `zeros` (out, in)
    that were before; of blocks of `block` consecutive inputs as many as fit into that. With a pattern all but N of each
    M consecutive inputs are. Rows are run together in about `work` bytes; that and `first` change the time only.
    """
    rows, inputs = weight.shape
    numbers = work // weight.element_size()
    bound = inputs // pattern[1] * (pattern[1] - pattern[0]) if pattern else inputs // block
    wanted = round(ratio * weight.numel()) - int(zeros.sum())
    sizes = (~zeros).unflatten(1, (-1, block)).sum(2)  # (out, places) weights that go with a block
    order = torch.full((rows, bound), inputs // block, dtype=torch.int32, device=weight.device)
    rises = weight.new_full((rows, bound), torch.inf)
    taken = torch.zeros(rows, dtype=torch.int64, device=weight.device)  # removals of each row
    going = torch.arange(rows, device=weight.device)  # rows that run further
    done, depth = 0, bound if pattern else min(math.ceil(first * wanted / rows / block), bound)
    while len(going) and done < depth:
        for some in going.split(max(1, numbers // (depth * block * inputs))):
            gone = _gone(zeros[some], order[some], taken[some], block)
            places, rise = remove(weight[some], inverse, gone, depth - done, block, pattern)
            order[some, done:depth], rises[some, done:depth] = places.to(order.dtype), rise
        known = order[:, :depth], rises[:, :depth]
        taken = known[1].isfinite().sum(1) if pattern else _cheapest(*known, sizes, wanted)
        going = (taken == depth).nonzero()[:, 0]
        done, depth = depth, min(math.ceil(FURTHER * depth), bound)
    gone = _gone(zeros, order, taken, block)
    some = max(1, numbers // max(1, int(gone.sum(1).max())) ** 2)
    pairs = zip(weight.split(some), gone.split(some), strict=True)
    return torch.cat([settle(part, inverse, bare) for part, bare in pairs]), gone


def _cheapest(order: Tensor, rises: Tensor, sizes: Tensor, wanted: int) -> Tensor:
    """Return how many removals of each row are among the cheapest with `wanted` weights, (out,)."""
    ranked = rises.cummax(1).values.flatten().argsort(stable=True)
    counted = sizes.gather(1, order.long().clamp_max(sizes.shape[1] - 1)).flatten()[ranked].cumsum(0)
    fits = torch.zeros_like(counted, dtype=torch.bool).scatter_(0, ranked, counted <= wanted)
    return (fits.view_as(rises) & rises.isfinite()).sum(1)


def _gone(zeros: Tensor, order: Tensor, taken: Tensor, block: int) -> Tensor:
    """Return which weights (out, in) are gone after so many removals of each row (out,)."""
    places = zeros.shape[1] // block
    first = torch.arange(order.shape[1], device=order.device) < taken[:, None]
    gone = zeros.new_zeros(len(zeros), places + 1).scatter_(1, order.long().masked_fill(~first, places), True)
    return zeros | gone[:, :places].repeat_interleave(block, 1)
