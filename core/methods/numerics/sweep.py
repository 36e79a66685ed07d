"""The column sweep of SparseGPT and GPTQ, on a transposed weight so that a column is contiguous memory.

The sweep halves ranges: it sweeps the left half, updates the right half with one matrix product, and sweeps
that. All error propagation but the innermost is thus a large product. On entering a range, its columns include the
updates of all columns before it, as the choice of a mask requires.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from core.methods.numerics.levels import level_counts
from core.methods.numerics.masks import pattern_mask, smallest_mask, zeros_lowest
from core.models.parts.grids import Grid

BLOCK = 128  # columns that the reference updates lazily, so that its grids lack the updates within them

Find = Callable[[Tensor], Grid]  # from the weights (out, in) of one group, or of all


class DynamicGroups:
    """Grids of groups of columns as the sweep reaches them.

    With `lagging`, as in the reference, the columns are those at the start of their block of `BLOCK`.
    """

    def __init__(self, find: Find, group: int, lagging: bool = False):
        self.find, self.lagging = find, lagging and group < BLOCK
        self.group = BLOCK if self.lagging else group
        self.size = group
        self.grids: dict[int, Grid] = {}  # by group

    def enter(self, start: int, columns: Tensor) -> None:
        """Read the columns (group, out) from `start` on, which include the updates of all columns before them."""
        for at in range(0, len(columns), self.size):
            self.grids[(start + at) // self.size] = self.find(columns[at : at + self.size].T)

    def rounded(self, place: int, column: Tensor) -> Tensor:
        """Return the rounded column (out,)."""
        grid = self.grids[place // self.size]
        return grid.nearest_of(column, grid.scale[:, 0], None if grid.zero is None else grid.zero[:, 0])

    def result_grid(self) -> Grid:
        """Return the grids of all groups as one."""
        grids = [self.grids[place] for place in sorted(self.grids)]
        zeros = [grid.zero for grid in grids if grid.zero is not None]
        scale = torch.cat([grid.scale for grid in grids], 1)
        return Grid(grids[0].bits, self.size, scale, torch.cat(zeros, 1) if zeros else None)


class StaticGroups:
    """Grids of groups in the weight before the sweep, in whatever order the columns are rounded."""

    def __init__(self, grid: Grid, order: Tensor):
        """Look up the grid of each column; `order` (in,) lists the columns of the weight as the sweep reaches them."""
        self.group, self.grid = len(order), grid
        groups = order // grid.group
        self.scale = grid.scale.T[groups]  # (in, out)
        self.zero = None if grid.zero is None else grid.zero.T[groups]  # (in, out)

    def enter(self, start: int, columns: Tensor) -> None:
        pass

    def rounded(self, place: int, column: Tensor) -> Tensor:
        return self.grid.nearest_of(column, self.scale[place], None if self.zero is None else self.zero[place])

    def result_grid(self) -> Grid:
        return self.grid


def sweep(
    weight: Tensor,
    upper: Tensor,
    ratio: float,
    pattern: tuple[int, int] | None = None,
    mask_block: int = 128,
    block_size: int = 32,
    mask: Tensor | None = None,
    zeros: Tensor | None = None,
    rounding: DynamicGroups | StaticGroups | None = None,
) -> tuple[Tensor, Tensor]:
    """Prune or round a weight column by column; algorithm 1 of arXiv:2301.00774.

    Each block of `mask_block` columns prunes the smallest w^2 / U_jj^2 over all its rows. The counts carry rounding, so
    that the matrix loses exactly round(ratio * numel). With `pattern`, each group of M columns is masked as the sweep
    reaches it. Kept weights stay as they are, or become those of `rounding`. The later columns compensate for both
    errors (GPTQ, arXiv:2210.17323).

    Args:
        weight: (out, in).
        upper: U, (in, in).
        ratio: Share of the weights to prune.
        pattern: N and M; replaces `ratio`.
        mask_block: Columns whose mask is chosen together.
        block_size: Columns of the innermost loop; affects floating-point rounding and speed only.
        mask: Fixed mask, (out, in), True is pruned; replaces `ratio` and `pattern`.
        zeros: Weights pruned in any case, (out, in). They count; a block with more of them than its share prunes all of
            them, and the other blocks lose less.
        rounding: Rule that rounds the kept weights.

    Returns:
        The pruned and updated weight and its mask, each (out, in).
    """
    rows, columns = weight.shape
    unit = pattern[1] if pattern else mask_block
    swept = weight.T.contiguous()  # (in, out)
    errors = torch.empty_like(swept)  # (in, out) (w - q) / U_jj
    pruned = torch.empty_like(swept, dtype=torch.bool) if mask is None else mask.T.contiguous()
    diagonal = upper.diagonal()
    scale = diagonal.tolist()
    group = rounding.group if rounding else columns
    # A leaf is inside one mask block and one rounded group. With a pattern, whose masks are chosen on the way, it has
    # whole N:M groups.
    leaf = max(min(block_size, group), unit) if pattern else min(block_size, unit, group)
    # A range splits at whole groups, mask blocks or leaves; with a pattern, only at whole N:M groups.
    steps = sorted({unit, group, min(leaf, unit)}, reverse=True)

    masked = mask is None or bool(mask.any())
    bound = None if zeros is None else zeros.T.contiguous()  # (in, out)
    counts = _counts(rows, columns, unit, ratio, bound)

    def choose(start: int) -> None:
        stop = min(start + unit, columns)
        own = None if bound is None else bound[start:stop]
        score = zeros_lowest((swept[start:stop] / diagonal[start:stop, None]).square_(), own)  # (unit, out)
        if pattern:
            chosen = pattern_mask(score.T.contiguous(), *pattern).T
            pruned[start:stop] = chosen if own is None else chosen | own
        else:
            pruned[start:stop] = smallest_mask(score.flatten(), counts[start // unit]).view_as(score)

    # No function that calls itself: it would keep these matrices until the next garbage collection.
    ranges: list[tuple[int, int, int | None]] = [(0, columns, None)]  # with the middle, if the left half is swept
    while ranges:
        start, stop, middle = ranges.pop()
        if middle is not None:
            swept[middle:stop].addmm_(upper[start:middle, middle:stop].T, errors[start:middle], alpha=-1)
            continue
        if mask is None and not pattern and start % unit == 0 and stop == min(start + unit, columns):
            choose(start)
        if rounding and start % group == 0 and stop == min(start + group, columns):
            rounding.enter(start, swept[start:stop])
        if stop - start > leaf:
            step = next(size for size in steps if size < stop - start)
            middle = start + max(1, (stop - start) // step // 2) * step
            ranges += [(middle, stop, None), (start, stop, middle), (start, middle, None)]
            continue
        for j in range(start, stop):
            if mask is None and pattern and j % unit == 0:
                choose(j)
            if rounding:
                stays = rounding.rounded(j, swept[j])
                if masked:
                    stays.masked_fill_(pruned[j], 0)
                torch.sub(swept[j], stays, out=errors[j]).div_(scale[j])
                swept[j] = stays
            else:
                torch.mul(swept[j], pruned[j], out=errors[j]).div_(scale[j])  # kept weights leave no error
            if j + 1 < stop:
                swept[j + 1 : stop].addr_(upper[j, j + 1 : stop], errors[j], alpha=-1)
    return swept.masked_fill_(pruned, 0).T, pruned.T


def _counts(rows: int, columns: int, unit: int, ratio: float, bound: Tensor | None) -> list[int]:
    """Return the number of weights to prune in each `unit` columns; `bound` (in, out) marks those pruned before."""
    edges = [*range(0, columns, unit), columns]
    if bound is None:
        return [round(ratio * rows * stop) - round(ratio * rows * start) for start, stop in pairwise(edges)]
    sizes = [rows * (stop - start) for start, stop in pairwise(edges)]
    return level_counts(sizes, [int(part.sum()) for part in bound.split(unit)], round(ratio * rows * columns))
