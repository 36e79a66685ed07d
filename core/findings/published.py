"""A paper's table and what is measured here: the models differ, so only the order of the methods compares."""

from itertools import combinations
from typing import NamedTuple

import pandas as pd


class Side(NamedTuple):
    """The numbers of methods on one model."""

    model: str
    rows: pd.DataFrame  # parts (of the chain), label, removed (the amount as text), value


class Agreement(NamedTuple):
    """The order of the common methods at one amount on both sides."""

    sentence: str  # which method is best
    pairs: int  # of methods
    alike: int  # pairs that have the same order on both sides


def agreement(paper: Side, here: Side, lower: bool) -> Agreement | None:
    """Compare the order of the methods at the amount at which both sides have most; None below two methods.

    `lower` is whether a lower value is better.
    """
    both = paper.rows.merge(here.rows, on=["parts", "removed"], suffixes=("", "_here"))
    both = both.groupby(["removed", "parts"], sort=False).agg({"label": "first", "value": "mean", "value_here": "mean"})
    sizes = both.groupby("removed", sort=False).size()
    if sizes.empty or sizes.max() < 2:
        return None
    amount = sizes.idxmax()
    methods = both.loc[[amount]].droplevel("removed").sort_values("value", ascending=lower, kind="stable")
    ours = methods["value_here"].sort_values(ascending=lower, kind="stable")
    best, best_here = methods["label"].iloc[0], methods["label"][ours.index[0]]
    start = f"At {amount}, {best} is the best of {len(methods)} methods in the paper ({paper.model})"
    other = " and here" if best == best_here else f", {best_here} here"
    order = [*combinations(methods["value_here"], 2)]
    alike = sum((first < second) == lower and first != second for first, second in order)
    return Agreement(f"{start}{other} ({here.model})", len(order), alike)
