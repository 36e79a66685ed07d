"""The points that one law is fitted to."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.models.catalogue import card_of

COLUMNS = ["model", "series", "parts", "ratio", "value", "dense", "parameters", "tokens"]
MILLION = 1e6


class Group(NamedTuple):
    """A series, a family or a paper's table.

    `rows` have `COLUMNS` and include the dense models. `value` is L and `dense` is L0, in nats for a `loss` and in
    [0, 1] for an accuracy. `ratio` is r in [0, 1). `parameters` are the dense model's in millions, NaN if unknown.
    `tokens` are the training tokens in millions. `parts` are the stages (`core.notation.formatting.label_parts`).
    """

    of: str  # the model, or the paper's table
    metric: str  # display text
    name: str
    loss: bool  # whether L is a cross-entropy
    rows: pd.DataFrame
    left_out: int = 0  # diverged points
    least: int = 0  # distinct ratios that a law needs, including the dense model's 0

    @property
    def enough(self) -> bool:
        """Whether its points have as many ratios as a law needs."""
        return self.rows["ratio"].nunique() >= self.least

    @property
    def measured(self) -> int:
        """Number of compressed points, including diverged ones."""
        return int((self.rows["ratio"] > 0).sum()) + self.left_out

    @property
    def mixed(self) -> bool:
        """Whether its compressed models differ in their number of training tokens."""
        return self.rows.loc[self.rows["ratio"] > 0, "tokens"].nunique() > 1

    @property
    def largest(self) -> float:
        """The largest measured ratio, beyond which a law is not used."""
        return float(self.rows["ratio"].max())


def size_of(model: str) -> float:
    """Return a model's parameters in millions; NaN if it is not in the catalogue."""
    card = card_of(model.lower())
    return card.parameters / MILLION if card else math.nan


def points(rows: pd.DataFrame, loss: bool) -> pd.DataFrame:
    """Return `COLUMNS` of rows; `loss` takes the logarithms of perplexities."""
    if loss:
        rows = rows.assign(value=np.log(rows["value"].astype(float)), dense=np.log(rows["dense"].astype(float)))
    return rows[COLUMNS].reset_index(drop=True)


def broken(values: pd.Series, meaningful: float | pd.Series, loss: bool) -> pd.Series:
    """Return whether each value is not finite, a diverged perplexity (`loss`) or an accuracy without a logarithm."""
    lost: pd.Series = ~np.isfinite(values) | ((values > meaningful) if loss else (values <= 0))
    return lost


def across(groups: Iterable[Group]) -> list[Group]:
    """Join the groups of several models that have the same metric and name."""
    alike: dict[tuple[str, str], list[Group]] = {}
    for one in groups:
        if one.enough:
            alike.setdefault((one.metric, one.name), []).append(one)
    return [
        Group("all models", metric, name, some[0].loss, pd.concat([one.rows for one in some], ignore_index=True))
        for (metric, name), some in alike.items()
        if len(some) > 1
    ]
