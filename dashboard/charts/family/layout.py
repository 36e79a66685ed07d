"""Layout of a family tree: a row per series, a column per amount of the first stage.

Each series has one line with its amounts in order. A later stage has a row of its own below the rows that it follows,
and its nodes hang from their parents. Methods that are not open, and other families, are one row each.
"""

import math
import re
import textwrap
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from core.amount import Amount
from core.findings.inside.family import NOT_MEASURED, PLACES, distinct
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
NO_AMOUNT = "–"  # name of the column of stages without an amount
DEFAULTS = "default parameters"
BRIEF = 24  # letters of settings that every name has
STEM = 0.6  # x of the marks of methods and families; the dense model is at 0
FIRST = 1.6  # x of the first amount
STEP = 0.4  # x from a node to the one below it, if amounts are 1 apart
MARGIN = 0.6  # x between the last stage of a column and the next column
SERIES = ["settings", "data", "seed", "dtype"]  # columns that identify a series among those of a method
STAGE = ["method", "amount", "settings", "data", "seed"]  # columns that identify a later stage


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


def lay_out(nodes: pd.DataFrame, family: str, opened: Collection[str]) -> Tree:
    """Place the nodes of one family, rows of `core.findings.inside.family.family_nodes`.

    The `opened` methods are shown in full, except those of other families.
    """
    tree, first = Tree(), nodes[nodes["depth"] == 1]
    for root in nodes[nodes["depth"] == 0].to_dict("records"):
        tree.places[root["node"]] = (0.0, tree.add_row(root["label"], 0))
    below = dict(iter(nodes.groupby("first_method", sort=False)))
    methods = list(dict.fromkeys(first.loc[first["family"] == family, "method"]))
    shown = [name for name in methods if name in opened]
    if shown:
        tree.columns = _columns(nodes, pd.concat([below[name] for name in shown]))
    for name in shown:
        _add_method(tree, below[name])
    for name in (name for name in methods if name not in opened):
        _add_fold(tree, METHOD + name, below[name]["name"].iloc[0], below[name])
    for name, part in nodes[~nodes["family"].isin((family, DENSE))].groupby("family", sort=False):
        _add_fold(tree, FAMILY + str(name), f"Family: {name!s}", part)
    return tree


def subtree(nodes: pd.DataFrame, tops: Iterable[str]) -> pd.DataFrame:
    """Return the nodes `tops` and those below them."""
    inside = set(tops)
    for node, parent in zip(nodes["node"], nodes["parent"], strict=True):  # parents come first
        if parent in inside:
            inside.add(node)
    return nodes[nodes["node"].isin(inside)]


def column_name(amount: Amount | None) -> str:
    """Return the name of an amount's column."""
    return amount.label if amount else NO_AMOUNT


def _columns(nodes: pd.DataFrame, shown: pd.DataFrame) -> dict[str, float]:
    """Return the x of each amount; a column has room for the longest chain in it."""
    first = shown[shown["depth"] == 1]
    order = sorted({amount for amount in first["amount"] if amount is not None})
    amounts: list[Amount | None] = [*([None] if first["amount"].isna().any() else []), *order]
    found, x = {}, FIRST
    for amount in amounts:
        name = column_name(amount)
        found[name] = x
        tops = first.loc[first["amount"].map(column_name) == name, "node"]
        x += max(1.0, STEP * (subtree(nodes, tops)["depth"].max() - 1) + MARGIN)
    return found


def _add_method(tree: Tree, nodes: pd.DataFrame) -> None:
    """Add the rows of an opened method: one for its name if it has several series, and those of each series."""
    first, method = nodes[nodes["depth"] == 1], nodes.iloc[0]
    # Nodes with the same series and amount need a row each.
    twin = first.groupby([*SERIES, first["amount"].map(column_name)], sort=False).cumcount()
    series = [part for _, part in first.groupby([*SERIES, twin], sort=False)]
    names = distinct([(*part[SERIES].iloc[0], part["node"].iloc[0][:8]) for part in series])
    if len(series) == 1:
        top = tree.add_row(", ".join(filter(None, (method["name"], names[0]))), 1)
    else:
        top = tree.add_row(method["name"], 1)
    stem: list[Point] = [tree.root, (0.0, top), (STEM, top)]
    tree.folds.append(Fold(METHOD + method["method"], True, (STEM, top), "", float("nan")))
    for part, name in zip(series, names, strict=True):
        height = top if len(series) == 1 else tree.add_row(name or DEFAULTS, 2)
        for node in part.to_dict("records"):
            x = tree.columns[column_name(node["amount"])]
            tree.places[node["node"]] = (x, height)
            tree.branches[node["node"]] = [*stem, (STEM, height), (x, height)]
        _add_stages(tree, nodes, part, 2 if len(series) == 1 else 3)


def _add_stages(tree: Tree, nodes: pd.DataFrame, parents: pd.DataFrame, level: int) -> None:
    """Add a row for each stage that follows nodes of one row."""
    later = nodes[nodes["parent"].isin(parents["node"])]
    if later.empty:
        return
    stage = later[STAGE].assign(amount=later["amount"].map(column_name))
    again = later.groupby(["parent", *(stage[name] for name in STAGE)], sort=False).cumcount()
    parts = [part for _, part in later.groupby([*(stage[name] for name in STAGE), again], sort=False)]
    rows = sorted(parts, key=lambda part: PLACES.get(part["method"].iloc[0], len(PLACES)))
    for part, name in zip(rows, distinct([_parts(part.iloc[0]) for part in rows]), strict=True):
        height = tree.add_row(f"+ {name}", level)
        for node in part.to_dict("records"):
            x, above = tree.places[node["parent"]]
            tree.places[node["node"]] = (x + STEP, height)
            tree.branches[node["node"]] = [(x, above), (x, height), (x + STEP, height)]
        _add_stages(tree, nodes, part, level + 1)


def _parts(node: pd.Series) -> tuple[str, ...]:
    """Return the parts of a later stage's name; long settings are in it only where stages differ in them."""
    amount, settings = f", {node['amount'].label}" if node["amount"] else "", node["settings"]
    brief = f", {settings}" if settings and len(settings) <= BRIEF else ""
    return node["name"] + amount + brief, "" if brief else settings, node["data"], node["seed"], node["node"][:8]


def _add_fold(tree: Tree, target: str, name: str, nodes: pd.DataFrame) -> None:
    """Add the row of a folded method or family."""
    height = tree.add_row(name, 1)
    measured, best = int(nodes["key"].notna().sum()), lowest(nodes)
    count = f"{measured} variant{'s' * (measured != 1)}"
    text = count if pd.isna(best) else f"{count}, best {ratio_words(best)}"
    tree.branches[target] = [tree.root, (0.0, height), (STEM, height)]
    tree.folds.append(Fold(target, False, (STEM, height), text, best))


def lowest(nodes: pd.DataFrame) -> float:
    """Return the lowest multiple of dense; a variant on the grid of the model's own file does not count."""
    return float(nodes.loc[~nodes["own_grid"].astype(bool), "times_dense"].min())
