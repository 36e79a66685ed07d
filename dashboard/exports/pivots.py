"""Long tables as papers print them: a row for each method, a column for each amount, task or model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from core.chain import DENSE
from core.formatting import format_amount, format_number, label
from dashboard.charts.zeroshot import over_seeds

DENSE_ROW = label(DENSE)
DENSE_COLUMN = "0 %"  # of the dense model, where amounts go across
METHOD, NUMBER, ERROR = "Method", "Number", "error"
SignificanceTest = Callable[[str, str, Sequence[str]], Mapping[str, bool]]
"""(column, key of the best, keys of others) -> whether a paired test tells them apart, of those that it was made of."""


class Cell(NamedTuple):
    value: float
    error: float  # NaN where it is not known
    key: str


@dataclass(frozen=True)
class Pivot:
    """One number of a long table, and how a paper prints it.

    `points` has `series`, `columns` and `value`; `low` and `high` where errors are known, and `key` for `apart`. An
    error is half of the way from `low` to `high`, and `error_is` says what that is.
    """

    title: str  # what is measured
    points: pd.DataFrame
    columns: str  # what goes across
    lower_is_better: bool
    form: str | None = None  # of the values, such as `.1f`; None: three digits, as charts write them
    group: str | None = None  # series that differ in it are not compared
    order: Sequence[str] = ()  # of the columns; by default as they come
    is_distinguishable: SignificanceTest | None = None
    error_is: str = "one standard error, or half the range over seeds"

    @cached_property
    def cells(self) -> dict[tuple[str, str], Cell]:
        """What stands in each row and column."""
        found = {}
        for row in self.points.to_dict("records"):
            low, high = (row.get(name, row["value"]) for name in ("low", "high"))
            error = (high - low) / 2 if math.isfinite(high - low) and high > low else math.nan
            found[row["series"], _column(row[self.columns])] = Cell(row["value"], error, row.get("key", ""))
        return found

    @cached_property
    def names(self) -> list[str]:
        """The columns, in order."""
        there = dict.fromkeys(column for _, column in self.cells)
        return [name for name in dict.fromkeys((DENSE_COLUMN, *self.order, *there)) if name in there]

    @cached_property
    def rows(self) -> list[str]:
        """The series, the dense model first."""
        return sorted(dict.fromkeys(series for series, _ in self.cells), key=lambda series: series != DENSE_ROW)

    @cached_property
    def best(self) -> set[tuple[str, str]]:
        """The cells that are the best of their column, and those that cannot be told from it.

        A paired test says so where there is one, or else that one's value lies within the error of the other.
        """
        groups = dict(zip(self.points["series"], self.points[self.group], strict=True)) if self.group else {}
        found: set[tuple[str, str]] = set()
        for column in self.names:
            for group in dict.fromkeys(groups.get(series) for series in self.rows):
                rivals = {
                    series: self.cells[series, column]
                    for series in self.rows
                    if (series, column) in self.cells and groups.get(series) == group and series != DENSE_ROW
                }
                rivals = {series: cell for series, cell in rivals.items() if math.isfinite(cell.value)}
                if len(rivals) > 1:
                    found |= {(series, column) for series in self._leaders(column, rivals)}
        return found

    def _leaders(self, column: str, rivals: Mapping[str, Cell]) -> Iterable[str]:
        least = min if self.lower_is_better else max
        first = least(rivals.values(), key=lambda cell: cell.value)
        others = [cell.key for cell in rivals.values() if cell is not first and cell.key]
        told = (
            self.is_distinguishable(column, first.key, others)
            if self.is_distinguishable and first.key and others
            else {}
        )
        for series, cell in rivals.items():
            near = abs(cell.value - first.value) <= max(0.0, *(e for e in (cell.error, first.error) if e == e), 0.0)
            if cell is first or not told.get(cell.key, not near):
                yield series

    def written(self, cell: Cell) -> tuple[str, str]:
        """Return a cell's value and error as text, with as many decimals; the error is empty where there is none."""
        value = _three_digits(cell.value) if self.form is None else f"{cell.value:{self.form}}"
        if math.isnan(cell.error) or "e" in value or not math.isfinite(cell.value):
            return value, ""
        decimals = len(value.partition(".")[2])
        needed = decimals if round(cell.error, decimals) else -math.floor(math.log10(cell.error))
        return value, f"{cell.error:.{needed}f}"


def in_percent(points: pd.DataFrame) -> pd.DataFrame:
    """Return points whose values are shares with values in percent."""
    return points.assign(**{name: 100 * points[name].astype(float) for name in ("value", "low", "high")})


def of_means(means: pd.DataFrame) -> pd.DataFrame:
    """Return the points of means of seven (`dashboard.charts.zeroshot.seven_means`), in percent; seeds give one."""
    parts = means.groupby(["label", "where"], sort=False)
    rows = [(*names, part["key"].iloc[0], *over_seeds(part)) for names, part in parts]
    return in_percent(pd.DataFrame(rows, columns=["series", "where", "key", "value", "low", "high"]))


def wide(pivots: Sequence[Pivot]) -> pd.DataFrame:
    """Return a table of numbers: each column followed by that of its errors, where it has any."""
    rows = []
    for pivot in pivots:
        for series in pivot.rows:
            row: dict[str, str | float] = {NUMBER: pivot.title} if len(pivots) > 1 else {}
            row[METHOD] = series
            for name in pivot.names:
                cell = pivot.cells.get((series, name), Cell(math.nan, math.nan, ""))
                row |= {name: cell.value, f"{name} {ERROR}": cell.error}
            rows.append(row)
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def _three_digits(value: float) -> str:
    """Write a number as charts do, but with its last zeros, so that a column has them all alike: 25.0."""
    return f"{value:#.3g}".rstrip(".") if 1 <= value < 1000 else format_number(value)


def _column(name: str) -> str:
    return DENSE_COLUMN if name == format_amount(None, None) else name
