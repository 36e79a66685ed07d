"""The additive rule for stages on different weights: their effects on the loss add up. And its error.

The error depends on the stage on the embedding or head. So its mean corrects the estimates with this stage, and its
spread gives their prediction intervals.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import NamedTuple, TypeVar

import pandas as pd

from core.findings.best.budget import USABLE_TIMES_DENSE
from core.findings.numbers.intervals import interval
from core.notation.chain import DENSE
from core.request.combining import WrittenChain, ends_on_tables, split

FEWEST = 5  # measured chains of a stage, with which it has errors of its own
Values = TypeVar("Values", float, pd.Series)


def predicted(first: Values, second: Values, dense: Values) -> Values:
    """Return the perplexity of two stages together, from that of each alone.

    ln(perplexity) is that of the dense model plus the effects of both stages.
    """
    return first * second / dense


class Error(NamedTuple):
    """The error of one new estimate: ln(measured / predicted perplexity)."""

    mean: float
    spread: float  # standard deviation, with the uncertainty of the mean
    freedom: int  # degrees


@dataclass(frozen=True)
class RuleError:
    """The errors of the additive rule: ln(measured / predicted perplexity) of each measured chain.

    A prediction uses the two parts of its chain only, so it does not depend on the measured chain.
    """

    errors: tuple[tuple[str, float], ...] = ()  # the stage on the embedding or head, and the error, of each chain

    def of(self, tables: str) -> Error | None:
        """Return the error of one new estimate with a stage on the tables.

        With `FEWEST` chains of this stage it has their mean and standard deviation. Otherwise it has the mean 0 and the
        root mean square of all errors. The errors of one stage are alike, so its degrees of freedom are then those of
        the stages. None with fewer than `FEWEST` chains in all, or if they have one other stage only.
        """
        own = self._by_stage.get(tables, [])
        if len(own) >= FEWEST:
            return Error(fmean(own), stdev(own) * math.sqrt(1 + 1 / len(own)), len(own) - 1)
        if len(self.errors) < FEWEST or len(self._by_stage) < 2:
            return None
        squares = [error**2 for _, error in self.errors]
        return Error(0.0, math.sqrt(fmean(squares)), len(self._by_stage) - 1)

    def factor(self, tables: str) -> float:
        """Return the factor that corrects a predicted perplexity by the mean error of its stage on the tables."""
        error = self.of(tables)
        return math.exp(error.mean) if error else 1.0

    def interval(self, perplexity: float, tables: str) -> tuple[float | None, float | None]:
        """Return the 95 % prediction interval of a corrected perplexity, or of its multiple of dense."""
        error = self.of(tables)
        low, high = interval(math.log(perplexity), error.spread, error.freedom) if error else (None, None)
        return (None, None) if low is None or high is None else (math.exp(low), math.exp(high))

    @cached_property
    def _by_stage(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for tables, error in self.errors:
            found.setdefault(tables, []).append(error)
        return found


def rule_error(rows: pd.DataFrame, window: float | None) -> RuleError:
    """Return the errors of the additive rule on the measured chains whose two parts are measured, too.

    A chain with several seeds or numbers of windows counts once, with the most windows and the lowest seed. Chains with
    a prediction above `USABLE_TIMES_DENSE` times dense do not count, because such estimates are not shown.

    `rows` are tidy perplexities of all models on one corpus. Those with other windows than of `window` tokens do not
    count.
    """
    rows = rows[(rows["window"] == window) & (rows["origin"] == "measured") & ~rows["own_grid"].astype(bool)]
    rows = rows.assign(read=-rows["windows"].fillna(math.inf)).sort_values(["read", "seed"], kind="stable")
    errors: dict[tuple[object, ...], tuple[str, float]] = {}
    for (_, model, dtype, _), part in rows.groupby(["read", "model", "dtype", "protocol_id"]):
        for chain, error in _errors(part).items():
            errors.setdefault((model, dtype, chain._replace(seed=None)), error)
    return RuleError(tuple(errors.values()))


def _errors(rows: pd.DataFrame) -> dict[WrittenChain, tuple[str, float]]:
    """Return the entry of `RuleError.errors` by chain, of one model, precision and protocol."""
    dense, whole = rows.loc[rows["chain"] == DENSE, "value"], written_chains(rows[by_series(rows, ends_on_tables)])
    if dense.empty or not whole:
        return {}
    base, known, errors = float(dense.iloc[0]), dict(zip(written_chains(rows), rows["value"], strict=True)), {}
    for chain in whole:
        parts = split(chain)
        if parts and parts[0] in known and parts[1] in known:
            expected = predicted(known[parts[0]], known[parts[1]], base)
            if expected < USABLE_TIMES_DENSE * base:
                errors[chain] = parts[1].chain, math.log(known[chain] / expected)
    return errors


def by_series(rows: pd.DataFrame, judge: Callable[[str], bool]) -> pd.Series:
    """Judge each row by its chain without its last amount; many variants share one."""
    known = {name: judge(name) for name in rows["series_chain"].unique()}
    return rows["series_chain"].map(known).astype(bool)


def written_chains(rows: pd.DataFrame) -> list[WrittenChain]:
    """Return the chain of each row."""
    columns = (
        rows[name].astype(object).where(rows[name].notna(), None) for name in ("chain", "calibration", "train", "seed")
    )
    return [
        WrittenChain(chain, calibration, train, None if seed is None else int(seed))
        for chain, calibration, train, seed in zip(*columns, strict=True)
    ]
