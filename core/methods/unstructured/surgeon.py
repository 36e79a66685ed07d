"""Exact Optimal Brain Surgeon of a linear: the cheapest removals over all its rows.

Reference: Frantar & Alistarh, Optimal Brain Compression, 2022 (arXiv:2208.11580), section 4. There every row runs until
it is empty. A row's removals are taken in order, so one behind an expensive removal counts as equally expensive. Here
rows run to a bound, and only those with all removals up to it taken run further. The final choice is the same.
"""

import math

import torch
from torch import Tensor

Groups = tuple[int, int]  # N, M
FIRST, FURTHER = 1.25, 1.5  # multiples: the first bound of an even share, each later bound of the last


def remove(
    weight: Tensor, inverse: Tensor, gone: Tensor, steps: int, block: int = 1, pattern: Groups | None = None
) -> tuple[Tensor, Tensor]:
    """Choose the next removals of each row, in order.

    Args:
        weight: (out, in).
        inverse: H^-1, (in, in).
        gone: (out, in) True for a weight that is removed before.
        steps: Removals per row.
        block: Consecutive inputs per removal; places count such blocks.
        pattern: N and M; M consecutive inputs keep at least N.

    Returns:
        The removed places, and by how much each raises the outputs' squared error; both (out, steps). Where no removal
        is possible, the place is one past the last and the rise infinite.
    """
    rows, inputs = weight.shape
    each, span = torch.arange(rows, device=weight.device), torch.arange(block, device=weight.device)
    weight, gone = settle(weight, inverse, gone), gone.clone()
    held = _factor(inverse, gone, steps * block)  # (out, |S| + steps * block, in) V
    filled = held.shape[1] - steps * block
    cover = _cover(inverse, held[:, :filled], gone, block)  # (out, places, block, block)
    order = torch.full((rows, steps), inputs // block, device=weight.device)
    rises = weight.new_full((rows, steps), torch.inf)
    for step in range(steps):
        score = _divided(_root(cover), weight.view(rows, -1, block, 1)).square().sum((2, 3))  # (out, places)
        rise, place = score.masked_fill_(_closed(gone, block, pattern), torch.inf).min(1)  # (out,)
        where = place[:, None] * block + span  # (out, block)
        before = held[:, :filled]
        taken = before[each[:, None], :, where]  # (out, block, |S|)
        columns = torch.baddbmm(inverse[where], taken, before, alpha=-1)  # (out, block, in) of each row's inverse
        root = _root(cover[each, place])  # (out, block, block)
        may = rise < torch.inf
        added = held[:, filled : filled + block]
        torch.mul(_divided(root, columns), may[:, None, None], out=added)
        weight.sub_((added * _divided(root, weight.gather(1, where)[..., None])).sum(1))
        parts = added.unflatten(2, (-1, block))  # (out, block, places, block)
        cover.sub_((parts[..., None] * parts[..., None, :]).sum(1))
        gone.scatter_(1, where, may[:, None].expand(-1, block))
        order[:, step], rises[:, step] = torch.where(may, place, inputs // block), rise
        filled += block
    return order, rises


def settle(weight: Tensor, inverse: Tensor, gone: Tensor) -> Tensor:
    """Return the best weight (out, in) with zeros where `gone` (out, in): W - W_S (H^-1[S, S])^-1 H^-1[S, :]."""
    index, there, lower = _bound(inverse, gone)
    share = torch.cholesky_solve((weight.gather(1, index) * there)[..., None], lower)[..., 0]  # (out, |S|)
    return (weight - torch.zeros_like(weight).scatter_(1, index, share * there) @ inverse).masked_fill_(gone, 0)


def _bound(inverse: Tensor, gone: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return S of each row and which of its entries count, (out, |S|) of the longest row, and L (out, |S|, |S|)."""
    index = gone.byte().argsort(dim=1, descending=True, stable=True)[:, : int(gone.sum(1).max())]
    there = gone.gather(1, index)
    part = inverse[index[:, :, None], index[:, None]] * (there[:, :, None] & there[:, None])
    part.diagonal(dim1=1, dim2=2).add_(~there)
    return index, there, torch.linalg.cholesky(part)


def _factor(inverse: Tensor, gone: Tensor, room: int) -> Tensor:
    """Return V (out, |S| + room, in); its last `room` rows are still empty."""
    index, there, lower = _bound(inverse, gone)
    held = inverse.new_zeros(len(gone), index.shape[1] + room, len(inverse))
    if index.shape[1]:
        held[:, : index.shape[1]] = torch.linalg.solve_triangular(lower, inverse[index] * there[..., None], upper=False)
    return held


def _cover(inverse: Tensor, held: Tensor, gone: Tensor, block: int) -> Tensor:
    """Return the diagonal blocks of each row's inverse (out, places, block, block); removed weights get ones."""
    parts = held.unflatten(2, (-1, block))  # (out, |S|, places, block)
    places = torch.arange(len(inverse), device=inverse.device).view(-1, block)
    cover = inverse[places[:, :, None], places[:, None]] - torch.einsum("rkgi,rkgj->rgij", parts, parts)
    cover.diagonal(dim1=2, dim2=3).add_(gone.unflatten(1, (-1, block)))
    return cover


def _closed(gone: Tensor, block: int, pattern: Groups | None) -> Tensor:
    """Return a mask (out, places) of the blocks that must not be removed."""
    closed: Tensor = gone.unflatten(1, (-1, block)).all(2)
    if pattern:
        kept, group = pattern
        full = gone.unflatten(1, (-1, group)).sum(2) >= group - kept
        closed |= full.repeat_interleave(group, 1)
    return closed


def _root(blocks: Tensor) -> Tensor:
    """Return the lower factor of each block (..., block, block)."""
    root: Tensor = blocks.sqrt() if blocks.shape[-1] == 1 else torch.linalg.cholesky_ex(blocks).L
    return root


def _divided(root: Tensor, right: Tensor) -> Tensor:
    """Return the inverse of each root (..., block, block) times `right` (..., block, n)."""
    found: Tensor = right / root if root.shape[-1] == 1 else torch.linalg.solve_triangular(root, right, upper=False)
    return found


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
