"""Marks of a family tree: the symbol, the colour's value and the hover text of each node and fold."""

from __future__ import annotations

import math
import textwrap

import pandas as pd

from core.findings.inside.family import NOT_MEASURED
from core.findings.numbers.reporting import TableRow, ratio_words
from core.notation.chain import DENSE
from core.notation.formatting import format_number
from dashboard.charts.elements.style import OF_FAMILIES
from dashboard.charts.family.places import Fold, Tree

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


def marks_of(nodes: pd.DataFrame, tree: Tree) -> pd.DataFrame:
    """Return the marks of a tree.

    Args:
        nodes: Rows of `core.findings.inside.family.family_nodes`.
        tree: Their places.

    Returns:
        Rows with `target` (of a click), x, y, `kind` (a key of `SYMBOLS`), symbol, times_dense (NaN if unknown) and
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
