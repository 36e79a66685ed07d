"""Places of the rows, nodes and lines of a family tree, and the symbol, colour and hover text of each node and fold."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from core.findings.inside.family import NOT_MEASURED
from core.findings.numbers.reporting import TableRow, ratio_words
from core.notation.chain import DENSE
from core.notation.formatting import format_number
from dashboard.charts.elements.style import OF_FAMILIES

ROW, MORE = 24, 12  # px: height of a row, and of each further line of its name
LINE, LONGEST = 20, 24  # letters: of a line that ends at a space or a colon, and of any line
METHOD, FAMILY = "method:", "family:"  # starts of the targets of folds

Point = tuple[float, float]
KNOWN, DIVERGED = "Measured", "Diverged"  # kinds of marks; those except `KNOWN` are entries of the legend
ELSEWHERE, UNKNOWN = "No multiple on this text", "Not measured"
FOLDED, OPENED = "Folded method or family", "Open method"
SYMBOLS = {
    KNOWN: "circle",
    DIVERGED: "triangle-up",
    ELSEWHERE: "circle-open",
    UNKNOWN: "x",
    FOLDED: "square",
    OPENED: "square-open",
}
TIMES = " times dense"
LETTERS = 44  # per line of a hover text


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


def marks_of(nodes: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """Return the marks of a tree of rows of `core.findings.inside.family.family_nodes`.

    They have `target` (of a click), x, y, `kind` (a key of `SYMBOLS`), symbol, times_dense (NaN if unknown) and
    hover_text.
    """
    rows = [_node_mark(row, tree) for row in nodes[nodes["node"].isin(tree.places)].to_dict("records")]
    return pd.DataFrame([*rows, *map(_fold_mark, tree.folds)])


def _node_mark(row: TableRow, tree: Tree) -> TableRow:
    x, y = tree.places[row["node"]]
    kind = UNKNOWN if row["reason"] == NOT_MEASURED else ELSEWHERE if row["reason"] else KNOWN
    kind = DIVERGED if row["diverged"] else kind
    root = row["depth"] == 0 and kind == KNOWN
    return {
        "target": row["node"],
        "x": x,
        "y": y,
        "kind": kind,
        "symbol": OF_FAMILIES[DENSE].marker if root else SYMBOLS[kind],
        "times_dense": row["times_dense"],
        "hover_text": _hover_text(row),
    }


def _fold_mark(fold: Fold) -> TableRow:
    kind, known = OPENED if fold.opened else FOLDED, not math.isnan(fold.best)
    return {
        "target": fold.target,
        "x": fold.place[0],
        "y": fold.place[1],
        "kind": kind,
        "symbol": SYMBOLS[kind],
        "times_dense": fold.best,
        "hover_text": "Click to fold" if fold.opened else f"{fold.text}{TIMES * known}<br>Click to open",
    }


def _hover_text(row: TableRow) -> str:
    """Return the hover text of a node: its stage, its chain, its loss and its size."""
    loss = f"{ratio_words(row['times_dense'])}{TIMES}, perplexity {format_number(row['perplexity'])}"
    chain = textwrap.wrap(row["chain"].replace("+", " +"), LETTERS)
    lines = [*textwrap.wrap(row["label"], LETTERS), *chain, row["reason"] or loss]
    if pd.notna(row["packed_mb"]):
        lines.append(f"{format_number(row['packed_mb'])} MB packed")
    return "<br>".join([f"<b>{lines[0]}</b>", *lines[1:], *(["diverged"] if row["diverged"] else [])])
