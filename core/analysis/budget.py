"""What fits a budget: the Pareto front, what keeps every limit, and by what the others miss them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from core.analysis.reporting import listed
from core.formatting import format_number
from core.specs import Frozen

DIVERGED = 1e4  # a perplexity above this says only that the model is broken
DIVERGED_TIMES_DENSE = 500
ROUNDED = 1e-9  # a share that is due to how numbers are kept
PERPLEXITY, ACCURACY = "perplexity", "mean_accuracy"  # the qualities of rows; the lower, and the higher, the better

Most = Annotated[float | None, Field(gt=0, allow_inf_nan=False)]
Least = Annotated[float | None, Field(gt=0, le=1, allow_inf_nan=False)]


class Budget(Frozen):
    """The most that a variant may take up and lose; None is no limit.

    Megabytes are 10^6 bytes, parameters millions that are left, times ms a token to read or write, as the columns
    of `core.analysis.frame.tidy`; accuracies are shares in [0, 1].
    """

    packed_mb: Most = None
    bits_per_weight: Most = None
    parameters: Most = None
    prefill_ms: Most = None
    decode_ms: Most = None
    memory_mb: Most = None
    times_dense: Most = None  # perplexity over the dense model's
    mean_accuracy: Least = None  # the least


@dataclass(frozen=True)
class Limit:
    """How people write a limit: of what, `MB packed`, what it is in, and why a row may not have it."""

    what: str
    missing: str
    unit: str | None = None  # of what is over it, where `what` does not begin with that
    times: float = 1.0  # a value of the row, as people write it
    least: bool = False

    def excess(self, values: pd.Series, limit: float) -> pd.Series:
        """Return by what share of the limit values miss it; where they keep it, at most 0."""
        return (1 if self.least else -1) * (limit - values) / limit

    def format(self, limit: float) -> str:
        """Write a limit: `180 MB packed`."""
        return f"{format_limit(self.times * limit)} {self.what}"

    def miss(self, value: float, limit: float) -> str:
        """Write what a value misses its limit by: `16.1 MB packed over (10 %)`."""
        if pd.isna(value):
            return self.missing
        if math.isinf(value):
            return "diverged"
        by, side = abs(value - limit), "under" if self.least else "over"
        return f"{format_number(self.times * by)} {self.unit or self.what} {side} ({_share(by / limit)})"


LIMITS = {  # by the column, which is the budget's field, too
    "packed_mb": Limit("MB packed", "packed size not known"),
    "bits_per_weight": Limit("bits a weight", "bits a weight not known"),
    "parameters": Limit("M parameters", "parameters not known"),
    "prefill_ms": Limit("ms to read a token", "latency not measured"),
    "decode_ms": Limit("ms to write a token", "latency not measured"),
    "memory_mb": Limit("MB of memory", "peak memory not measured"),
    "times_dense": Limit("x dense", "times dense not known"),
    "mean_accuracy": Limit(
        "% mean accuracy", "mean accuracy not measured", "points of mean accuracy", times=100.0, least=True
    ),
}


def format_limit(limit: float) -> str:
    """Write a limit with the digits that it was given."""
    return f"{limit:,.6g}" if limit < 1e6 else format_number(limit)


def limits(budget: Budget) -> dict[str, float]:
    """Return the limits that a budget has, by the column of rows that each is of."""
    return {name: limit for name in LIMITS if (limit := getattr(budget, name)) is not None}


def budget_words(budget: Budget) -> str:
    """Write a budget: `at most 180 MB packed and 2 x dense, at least 40 % mean accuracy`; empty without limits."""
    asked = limits(budget)
    most = [LIMITS[name].format(limit) for name, limit in asked.items() if not LIMITS[name].least]
    least = [LIMITS[name].format(limit) for name, limit in asked.items() if LIMITS[name].least]
    groups = (("at most", most), ("at least", least))
    return ", ".join(f"{word} {listed(group)}" for word, group in groups if group)


def meaningful(dense: Any) -> Any:
    """Return the highest perplexity that says more than that a model is broken, of the dense model's, be they several.

    NaN is of one that is not known.
    """
    return np.fmin(DIVERGED, DIVERGED_TIMES_DENSE * dense)


def pareto(rows: pd.DataFrame, cost: str, quality: str) -> pd.Series:
    """Return which rows are on the Pareto front: no other costs at most as much, is at least as good, and differs.

    `cost` names a column, the lower the better, and `quality` is PERPLEXITY or ACCURACY. Rows that are equal in both
    are on it together; those without one of them, or with one that is infinite or of a diverged model, never are, nor
    is what `own_grid` says to be the model's file as it was.
    """
    loss = _loss(rows, quality)
    told = loss.notna() & rows[cost].map(math.isfinite) & ~rows["own_grid"]
    loss, costs = loss[told], rows.loc[told, cost]
    best = loss.groupby(costs).min().sort_index()
    cheaper = best.cummin().shift(fill_value=math.inf)  # the best of what costs less
    on = (loss == costs.map(best)) & (loss < costs.map(cheaper))
    return on.reindex(rows.index, fill_value=False)


def fits(rows: pd.DataFrame, budget: Budget) -> pd.DataFrame:
    """Return of each row whether it `fits`, its `excess` and, in words, what it `misses` ("" where it fits).

    A row fits where it keeps every limit; one whose limited quantity is not known does not. `excess` is the largest
    share of a limit that it misses that by, 0 where it fits, and NaN where one is not known.
    """
    excess, misses = pd.Series(0.0, rows.index), pd.Series("", rows.index)
    for name, most in limits(budget).items():
        limit, values = LIMITS[name], rows[name].astype(float)
        found = limit.excess(values, most)
        found = found.mask(found <= ROUNDED, 0.0)
        excess = excess.where(excess >= found, found).mask(excess.isna())
        said = pd.Series([limit.miss(value, most) for value in values], rows.index).where(found != 0, "")
        misses = misses.str.cat(said, sep=", ").str.strip(", ")
    return pd.DataFrame({"fits": excess == 0, "excess": excess, "misses": misses}, index=rows.index)


def ranked(rows: pd.DataFrame, budget: Budget, cost: str, quality: str) -> pd.DataFrame:
    """Return the rows with what `fits` says, best first, and of those that fit which are the `front` and `best`.

    First what fits, the best quality first, and of equal ones the cheaper; behind it what is on its file's `own_grid`,
    which says nothing of a method, and what has no such quality. Then the nearest misses: by `excess`, the smallest
    first, then by quality; what is not known comes last. `front` is `pareto` among what fits, and `best` the best of
    its family. `rows` have key, family, own_grid, `cost`, perplexity, times_dense and mean_accuracy, and the columns
    that are limited; `key` tells them apart.
    """
    found = fits(rows, budget)
    loss = _loss(rows, quality)
    order = (
        rows.assign(**found, loss=loss)
        .sort_values(["excess", "own_grid", "loss", cost, "key"], na_position="last", kind="stable")
        .index
    )
    found = pd.concat([rows, found], axis=1).loc[order]
    there = found["fits"] & loss.loc[order].notna() & ~found["own_grid"]
    front = pareto(found[found["fits"]], cost, quality).reindex(order, fill_value=False)
    return found.assign(front=front, best=there & ~found["family"].where(there).duplicated())


def answers(found: pd.DataFrame, nearest: int = 10) -> pd.DataFrame:
    """Return rows of `ranked` as they answer: what fits, first the front and the best of each family; where nothing
    does, the nearest misses.
    """
    if not found["fits"].any():
        return found.head(nearest)
    first, fitting = found["front"] | found["best"], found["fits"]
    return pd.concat([found[first], found[fitting & ~first]])


def _loss(rows: pd.DataFrame, quality: str) -> pd.Series:
    """Return what is the lower the better a quality is, NaN where there is none to speak of."""
    if quality == ACCURACY:
        values = -rows[ACCURACY].astype(float)
    else:
        values = rows[PERPLEXITY].astype(float)
        values = values.mask(values > meaningful(values / rows["times_dense"]))
    return values.where(values.map(math.isfinite))


def _share(share: float) -> str:
    """Write a share with two digits: `17 %`, `3.7 %`, `340 %`."""
    return f"{format_number(float(f'{100 * share:.2g}'))} %"
