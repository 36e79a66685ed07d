"""Places of the rows, nodes and lines of a family tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

METHOD, FAMILY = "method:", "family:"  # starts of the targets of folds

Point = tuple[float, float]


class Name(NamedTuple):
    """The name of a row, with its level in the tree."""

    text: str
    level: int


class Fold(NamedTuple):
    """The mark of a method or a family, which opens or folds it."""

    target: str  # `METHOD` or `FAMILY`, and a name
    opened: bool
    place: Point
    text: str  # number of variants and their lowest loss
    best: float  # lowest multiple of dense, NaN if unknown


@dataclass
class Tree:
    """The places of a family tree; a height is the number of a row from the top, or as of `at_heights`."""

    names: list[Name] = field(default_factory=list)  # of the rows
    places: dict[str, Point] = field(default_factory=dict)  # of the nodes, by id
    branches: dict[str, list[Point]] = field(default_factory=dict)  # line from each node's parent, by id or target
    folds: list[Fold] = field(default_factory=list)
    columns: dict[str, float] = field(default_factory=dict)  # x of each amount, by its label

    @property
    def lines(self) -> list[tuple[Point, Point]]:
        """The lines between nodes; of several with the same start and direction, the longest."""
        longest: dict[tuple[Point, bool], Point] = {}
        for corners in self.branches.values():
            for start, end in pairwise(corners):
                key = start, start[0] == end[0]
                longest[key] = max(longest.get(key, start), end)
        return [(start, end) for (start, _), end in longest.items()]

    @property
    def last_opened(self) -> float:
        """The height of the last row with nodes."""
        return max(y for _, y in self.places.values())

    def at_heights(self, heights: Sequence[float]) -> Tree:
        """Return the tree with a height for each row instead of its number."""

        def moved(place: Point) -> Point:
            return place[0], heights[int(place[1])]

        return Tree(
            self.names,
            {node: moved(place) for node, place in self.places.items()},
            {name: [moved(corner) for corner in corners] for name, corners in self.branches.items()},
            [fold._replace(place=moved(fold.place)) for fold in self.folds],
            self.columns,
        )

    def add_row(self, text: str, level: int) -> int:
        """Add a row below the others, and return its height."""
        self.names.append(Name(text, level))
        return len(self.names) - 1
