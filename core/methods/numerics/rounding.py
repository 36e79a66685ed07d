"""How GPTQ's sweep rounds its columns: on grids computed as it reaches a group, or before it begins."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

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
        for at in range(0, len(columns), self.size):
            self.grids[(start + at) // self.size] = self.find(columns[at : at + self.size].T)

    def rounded(self, place: int, column: Tensor) -> Tensor:
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
