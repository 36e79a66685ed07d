"""The points that one law is fitted to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.models.catalogue import card_of

COLUMNS = ["model", "series", "parts", "ratio", "value", "dense", "parameters", "tokens"]
MILLION = 1e6


@dataclass(frozen=True)
class Group:
    """A series, a family or a paper's table.

    `rows` have `COLUMNS`, the dense models' own among them: `value` is L and `dense` L0 (cross-entropies in nats where
    it is of a `loss`, else accuracies in [0, 1]), `ratio` r in [0, 1), `parameters` millions of the dense model's (NaN
    where they are not known), `tokens` millions that it was trained on afterwards, `series` what a point is of and
    `parts` what it is made of (`core.formatting.label_parts`).
    """

    of: str  # the model, or the paper's table
    metric: str  # in words
    name: str
    loss: bool
    rows: pd.DataFrame
    left_out: int = 0  # points that have diverged
    least: int = 0  # ratios that a law needs, that of the dense model among them

    @property
    def enough(self) -> bool:
        """Whether its points have as many ratios as a law needs."""
        return self.rows["ratio"].nunique() >= self.least

    @property
    def measured(self) -> int:
        """How many compressed points it has, diverged ones included."""
        return int((self.rows["ratio"] > 0).sum()) + self.left_out

    @property
    def mixed(self) -> bool:
        """Whether its compressed models differ in how much they were trained afterwards."""
        return self.rows.loc[self.rows["ratio"] > 0, "tokens"].nunique() > 1

    @property
    def largest(self) -> float:
        """The largest ratio that was measured, beyond which a law says nothing."""
        return float(self.rows["ratio"].max())


def size_of(model: str) -> float:
    """Return the millions of parameters of a model in the catalogue; NaN of another one."""
    card = card_of(model.lower())
    return card.parameters / MILLION if card else math.nan


def points(rows: pd.DataFrame, loss: bool) -> pd.DataFrame:
    """Return `COLUMNS` of rows, of perplexities the logarithms."""
    if loss:
        rows = rows.assign(value=np.log(rows["value"].astype(float)), dense=np.log(rows["dense"].astype(float)))
    return rows[COLUMNS].reset_index(drop=True)


def broken(values: pd.Series, meaningful: float | pd.Series, loss: bool) -> pd.Series:
    """Return which perplexities say only that a model is broken, or which accuracies have no logarithm."""
    return ~np.isfinite(values) | ((values > meaningful) if loss else (values <= 0))


def across(groups: Iterable[Group]) -> list[Group]:
    """Return of each metric and name that several models have a group of all of them."""
    alike: dict[tuple[str, str], list[Group]] = {}
    for one in groups:
        if one.enough:
            alike.setdefault((one.metric, one.name), []).append(one)
    return [
        Group("all models", metric, name, some[0].loss, pd.concat([one.rows for one in some], ignore_index=True))
        for (metric, name), some in alike.items()
        if len(some) > 1
    ]
