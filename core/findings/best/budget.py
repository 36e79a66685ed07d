"""Budgets: the Pareto front, the variants within every limit, and the excess of the others."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from core.findings.numbers.reporting import listed
from core.metrics import MEANS, metric
from core.notation.formatting import format_number
from core.specs import Frozen

DIVERGED = 1e4  # perplexity; a higher one only shows that the model diverged
DIVERGED_TIMES_DENSE = 500
USABLE_TIMES_DENSE = 5.0  # multiple of the dense perplexity above which a model is hardly usable
ROUNDED = 1e-9  # share of a limit that floating-point rounding may cause
PERPLEXITY, ACCURACY = "perplexity", "above_chance"  # columns; accuracies are means above chance

Most = Annotated[float | None, Field(gt=0, allow_inf_nan=False)]
Least = Annotated[float | None, Field(gt=0, le=1, allow_inf_nan=False)]


class Budget(Frozen, extra="allow"):
    """Limits on the size, latency, memory and quality of a variant; None is no limit.

    Units are those of `core.findings.numbers.frame.tidy`: megabytes are 10^6 bytes, `parameters` are millions, and
    latencies are ms per token. Accuracies and agreement are shares in [0, 1]. Further fields are `core.metrics.MEANS`.
    """

    __pydantic_extra__: dict[str, Most] = Field(init=False)
    packed_mb: Most = None
    file_mb: Most = None  # as a file of one format
    bits_per_weight: Most = None
    parameters: Most = None
    prefill_ms: Most = None
    decode_ms: Most = None
    memory_mb: Most = None
    times_dense: Most = None  # perplexity over the dense model's
    above_chance: Least = None  # mean accuracy above chance, a minimum

    @model_validator(mode="after")
    def _check(self) -> "Budget":
        for name, limit in self.__pydantic_extra__.items():
            if name not in MEANS or (limit or 0) > MEANS[name].ends[1]:
                raise ValueError(f"{name} has no limit {limit}")
        return self


@dataclass(frozen=True)
class Limit:
    """Format of one limit."""

    quantity: str  # such as `MB packed`
    missing: str  # the reason why a row has no value
    unit: str | None = None  # unit of an excess; default: `quantity`
    times: float = 1.0  # factor from a row's value to the displayed one
    least: bool = False  # whether the limit is a minimum

    def excess(self, values: pd.Series, limit: float) -> pd.Series:
        """Return the excess of values as a share of the limit; at most 0 within the limit."""
        return (1 if self.least else -1) * (limit - values) / limit

    def format(self, limit: float) -> str:
        """Write a limit with up to six digits: `180 MB packed`."""
        shown = self.times * limit
        return f"{f'{shown:,.6g}' if shown < 1e6 else format_number(shown)} {self.quantity}"

    def value(self, value: float) -> str:
        """Write a row's value with two or three digits: `181 MB packed`."""
        return f"{format_number(self.times * value)} {self.quantity}"

    def miss(self, value: float, limit: float) -> str:
        """Write the excess of a value: `16.1 MB packed over (10 %)`."""
        if pd.isna(value):
            return self.missing
        if math.isinf(value):
            return "diverged"
        by, side = abs(value - limit), "under" if self.least else "over"
        percent = format_number(float(f"{100 * (by / limit):.2g}"))  # two significant digits
        return f"{format_number(self.times * by)} {self.unit or self.quantity} {side} ({percent} %)"


LIMITS = {  # by column of the rows and field of the budget
    "packed_mb": Limit("MB packed", "unknown packed size"),
    "file_mb": Limit("MB as a file", "no file in this format"),
    "bits_per_weight": Limit("bits per weight", "unknown bits per weight"),
    "parameters": Limit("M parameters", "unknown number of parameters"),
    "prefill_ms": Limit("ms per prompt token", "latency not measured"),
    "decode_ms": Limit("ms per generated token", "latency not measured"),
    "memory_mb": Limit("MB of peak memory", "peak memory not measured"),
    "times_dense": Limit("times dense", "unknown ratio to dense"),
    **{
        name: Limit(
            f"% {one.noun}" if one.percent else f"{one.unit} of {one.noun}",
            f"{one.noun} not measured",
            f"{one.pairs} of {one.noun}",
            one.times,
            least=not one.lower,
        )
        for name, one in MEANS.items()
    },
    "above_chance": Limit("points above chance", "mean above chance not measured", "points", times=100.0, least=True),
}


def limits(budget: Budget) -> dict[str, float]:
    """Return the limits of a budget by column."""
    return {name: limit for name in LIMITS if (limit := getattr(budget, name, None)) is not None}


def budget_words(budget: Budget) -> str:
    """Write a budget: `at most 180 MB packed, at least 14 points above chance`; empty without limits."""
    given = limits(budget)
    most = [LIMITS[name].format(limit) for name, limit in given.items() if not LIMITS[name].least]
    least = [LIMITS[name].format(limit) for name, limit in given.items() if LIMITS[name].least]
    groups = (("at most", most), ("at least", least))
    return ", ".join(f"{word} {listed(group)}" for word, group in groups if group)


def meaningful(dense: Any) -> Any:  # Any: NumPy declares an array for a Series
    """Return the highest perplexity of a model that has not diverged.

    `dense` is one or several perplexities of the dense model; NaN if unknown.
    """
    return np.fmin(DIVERGED, DIVERGED_TIMES_DENSE * dense)


def pareto(rows: pd.DataFrame, cost: str, quality: str) -> pd.Series:
    """Return whether each row is on the Pareto front of cost and quality.

    A row is on the front unless another row is better in cost or quality and no worse in the other one. Rows equal in
    both are on it together. Rows without a finite cost and quality, diverged perplexities and unchanged
    checkpoints (`own_grid`) never are.

    Rows have `cost` (lower is better), `quality` and own_grid; for PERPLEXITY also times_dense.
    """
    loss = _loss(rows, quality)
    known = loss.notna() & rows[cost].map(math.isfinite) & ~rows["own_grid"]
    loss, costs = loss[known], rows.loc[known, cost]
    best = loss.groupby(costs).min().sort_index()
    cheaper = best.cummin().shift(fill_value=math.inf)  # the best loss at a lower cost
    on = (loss == costs.map(best)) & (loss < costs.map(cheaper))
    return on.reindex(rows.index, fill_value=False)


def fits(rows: pd.DataFrame, budget: Budget) -> pd.DataFrame:
    """Compare rows with a budget.

    Returns:
        A frame with the index of `rows`.
        `fits` is whether every limited quantity is known and within its limit.
        `undecided` is whether a limited quantity is unknown, and all known ones are within their limits.
        `excess` is the largest excess as a share of its limit, 0 if the row fits, NaN if a quantity is unknown.
        `misses` describes the excess, "" if the row fits.
    """
    excess, misses = pd.Series(0.0, rows.index), pd.Series("", rows.index)
    exceeded = pd.Series(False, rows.index)
    for name, most in limits(budget).items():
        limit, values = LIMITS[name], rows[name].astype(float)
        over = limit.excess(values, most)
        over = over.mask(over <= ROUNDED, 0.0)
        exceeded |= over > 0
        excess = excess.where(excess >= over, over).mask(excess.isna())
        texts = pd.Series([limit.miss(value, most) for value in values], rows.index).where(over != 0, "")
        misses = misses.str.cat(texts, sep=", ").str.strip(", ")
    found = {"fits": excess == 0, "undecided": excess.isna() & ~exceeded, "excess": excess, "misses": misses}
    return pd.DataFrame(found, index=rows.index)


def ranked(rows: pd.DataFrame, budget: Budget, cost: str, quality: str) -> pd.DataFrame:
    """Rank rows by how well they fit a budget.

    Rows that fit come first, by quality, then by cost. Unchanged checkpoints (`own_grid`) follow them, so that they
    never win, and rows without this quality come last among them. The other rows follow by `excess`, then by quality,
    first those that are no unchanged checkpoints; those with unknown quantities come last.

    Rows have key (unique), `cost`, the limited columns and those of `pareto`.

    Returns:
        The rows with the columns of `fits`, `scored` (the quality is measured), `ranked` (it is finite and no unchanged
        checkpoint's; diverged models count) and `front` (`pareto` among the rows that fit).
    """
    found = fits(rows, budget)
    values = rows[quality].astype(float)
    scored, own = values.notna(), rows["own_grid"].astype(bool)
    tier = pd.Series(0, rows.index).mask(own, 1).mask(~scored, 2)
    tier = tier.mask(~found["fits"], 3 + own.astype(int)).mask(found["excess"].isna(), 5)
    order = (
        rows.assign(tier=tier, excess=found["excess"], loss=values if metric(quality).lower else -values)
        .sort_values(["tier", "excess", "loss", cost, "key"], na_position="last", kind="stable")
        .index
    )
    finite = values.map(math.isfinite).astype(bool)
    found = pd.concat([rows, found.assign(scored=scored, ranked=finite & ~own)], axis=1).loc[order]
    return found.assign(front=pareto(found[found["fits"]], cost, quality).reindex(order, fill_value=False))


def winner(found: pd.DataFrame) -> pd.Series | None:
    """Return the best row of `ranked` within the budget; None if no row that could win fits."""
    able = found[found["fits"] & found["ranked"]]
    return None if able.empty else able.iloc[0]


def answers(found: pd.DataFrame, nearest: int = 10) -> pd.DataFrame:
    """Return the rows of `ranked` that fit, the best first; if none fits, the `nearest` misses."""
    return found[found["fits"]] if found["fits"].any() else found.head(nearest)


def _loss(rows: pd.DataFrame, quality: str) -> pd.Series:
    """Return a quality as a loss, lower is better; NaN if missing, infinite or diverged."""
    values = rows[quality].astype(float)
    if quality == PERPLEXITY:
        values = values.mask(diverged(rows))
    return (values if metric(quality).lower else -values).where(values.map(math.isfinite))


def diverged(rows: pd.DataFrame) -> pd.Series:
    """Return whether each row's perplexity, with its times_dense, is that of a diverged model."""
    values = rows[PERPLEXITY].astype(float)
    most: pd.Series = meaningful(values / rows["times_dense"].astype(float))
    return values > most
