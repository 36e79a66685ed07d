"""Places of the rows, nodes and lines of a family tree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

ROW, MORE = 24, 12  # px: height of a row, and of each further line of its name
LINE, LONGEST = 20, 24  # letters: of a line that ends at a space or a colon, and of any line
METHOD, FAMILY = "method:", "family:"  # starts of the targets of folds

Point = tuple[float, float]


class Row(NamedTuple):
    """A row: its name, its level in the tree, the lines of its name, and the height of its middle from the top."""

    text: str
    level: int
    lines: str  # separated by `<br>`
    height: float


class Fold(NamedTuple):
    """The mark of a method or a family, which opens or folds it."""

    target: str  # `METHOD` or `FAMILY`, and a name
    opened: bool
    place: Point
    text: str  # number of variants and their lowest loss
    best: float  # lowest multiple of dense, NaN if unknown


@dataclass
class Tree:
    """The places of a family tree; heights are pixels from the top."""

    rows: list[Row] = field(default_factory=list)
    places: dict[str, Point] = field(default_factory=dict)  # of the nodes, by id
    branches: dict[str, list[Point]] = field(default_factory=dict)  # line from each node's parent, by id or target
    folds: list[Fold] = field(default_factory=list)
    columns: dict[str, float] = field(default_factory=dict)  # x of each amount, by its label
    pixels: int = 0  # height of all rows

    @property
    def root(self) -> Point:
        """The place of the dense model."""
        return 0.0, self.rows[0].height

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

    def add_row(self, text: str, level: int) -> float:
        """Add a row below the others, and return its height."""
        lines = _wrapped(text)
        high = ROW + MORE * lines.count("<br>")
        self.pixels += high
        self.rows.append(Row(text, level, lines, self.pixels - high / 2))
        return self.rows[-1].height


def _wrapped(text: str) -> str:
    """Wrap a name after spaces and colons; a seed stays with its number."""
    lines = [""]
    for part in re.findall(r"[^ :]+[ :]?|[ :]", text.replace("seed ", "seed\N{NO-BREAK SPACE}")):
        if lines[-1] and len(lines[-1] + part.rstrip()) > LINE:
            lines.append("")
        lines[-1] += part
    cut = (line.rstrip() for line in lines)
    return "<br>".join(line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in cut)
