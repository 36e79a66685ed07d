"""Layout of a family tree: a row per series, a column per amount of the first stage.

Each series has one line with its amounts in order. A later stage has a row of its own below the rows that it follows,
and its nodes hang from their parents. Methods that are not open, and other families, are one row each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from core.amount import Amount
from core.findings.inside.prefixes import PLACES, distinct
from core.findings.numbers.reporting import ratio_words
from core.notation.chain import DENSE
from dashboard.charts.family.places import FAMILY, METHOD, Fold, Point, Tree

NO_AMOUNT = "–"  # name of the column of stages without an amount
DEFAULTS = "default parameters"
BRIEF = 24  # letters of settings that every name has
STEM = 0.6  # x of the marks of methods and families; the dense model is at 0
FIRST = 1.6  # x of the first amount
STEP = 0.4  # x from a node to the one below it, if amounts are 1 apart
MARGIN = 0.6  # x between the last stage of a column and the next column
SERIES = ["settings", "data", "seed", "dtype"]  # columns that identify a series among those of a method
STAGE = ["method", "amount", "settings", "data", "seed"]  # columns that identify a later stage


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
