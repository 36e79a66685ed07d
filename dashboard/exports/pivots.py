"""Tables in the layout of papers: a row for each method, a column for each amount, task or model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import pandas as pd

from core.findings.rows.zeroshot import in_percent, over_seeds
from core.notation.chain import DENSE
from core.notation.formatting import format_amount, format_number, label

DENSE_ROW = label(DENSE)
DENSE_COLUMN = "0 %"  # the dense model's column in a table by amount
METHOD, METRIC, ERROR = "Method", "Metric", "error"
SignificanceTest = Callable[[str, str, Sequence[str]], Mapping[str, bool]]
"""(column, key of the best, other keys) -> by key, whether it differs significantly; untested keys are missing."""


class Cell(NamedTuple):
    """A value of a pivot table, with its error and its variant's key."""

    value: float
    error: float  # NaN: unknown
    key: str


@dataclass(frozen=True)
class Pivot:
    """One metric of a long table, with its layout and format.

    `points` has the columns `series`, `value` and the one that `columns` names. `low` and `high` give the error, half
    their distance, which `error_is` describes. `is_distinguishable` needs the column `key`.
    """

    title: str  # the metric
    points: pd.DataFrame
    columns: str  # column of `points` whose values become the columns
    lower_is_better: bool
    form: str | None = None  # format of the values, such as `.1f`; None: three significant digits, as in charts
    group: str | None = None  # column of `points`; series of different groups are not compared
    order: Sequence[str] = ()  # of the columns; default: order of appearance
    is_distinguishable: SignificanceTest | None = None
    error_is: str = "one standard error, or half the range over seeds"

    @cached_property
    def cells(self) -> dict[tuple[str, str], Cell]:
        """The cells by row and column."""
        cells = {}
        for row in self.points.to_dict("records"):
            low, high = (row.get(name, row["value"]) for name in ("low", "high"))
            error = (high - low) / 2 if math.isfinite(high - low) and high > low else math.nan
            column = row[self.columns]
            column = DENSE_COLUMN if column == format_amount(None) else column
            cells[row["series_label"], column] = Cell(row["value"], error, row.get("key", ""))
        return cells

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
        """The best cell of each column, and the cells that do not differ significantly from it.

        Without a paired test, cells count as equal if their difference is at most the larger error.
        """
        groups = dict(zip(self.points["series_label"], self.points[self.group], strict=True)) if self.group else {}
        rivals: dict[tuple[str, str | None], dict[str, Cell]] = {}  # by column and group
        for series, column in product(self.rows, self.names):
            cell = self.cells.get((series, column))
            if cell and series != DENSE_ROW and math.isfinite(cell.value):
                rivals.setdefault((column, groups.get(series)), {})[series] = cell
        several = [(column, mine) for (column, _), mine in rivals.items() if len(mine) > 1]
        return {(series, column) for column, mine in several for series in self._leaders(column, mine)}

    def _leaders(self, column: str, rivals: Mapping[str, Cell]) -> Iterable[str]:
        least = min if self.lower_is_better else max
        first = least(rivals.values(), key=lambda cell: cell.value)
        others = [cell.key for cell in rivals.values() if cell is not first and cell.key]
        differs = (
            self.is_distinguishable(column, first.key, others)
            if self.is_distinguishable and first.key and others
            else {}
        )
        for series, cell in rivals.items():
            near = abs(cell.value - first.value) <= max(0.0, *(e for e in (cell.error, first.error) if e == e), 0.0)
            if cell is first or not differs.get(cell.key, not near):
                yield series

    def written(self, cell: Cell) -> tuple[str, str]:
        """Return a cell's value and error as text with equal decimals; an unknown error is empty."""
        if self.form:
            value = f"{cell.value:{self.form}}"
        else:  # as in charts, but with trailing zeros, so that a column is uniform: 25.0
            value = f"{cell.value:#.3g}".rstrip(".") if 1 <= cell.value < 1000 else format_number(cell.value)
        if math.isnan(cell.error) or "e" in value or not math.isfinite(cell.value):
            return value, ""
        decimals = len(value.partition(".")[2])
        needed = decimals if round(cell.error, decimals) else -math.floor(math.log10(cell.error))
        return value, f"{cell.error:.{needed}f}"


def of_means(means: pd.DataFrame) -> pd.DataFrame:
    """Return the points of `zeroshot.means_above_chance` in percent; several seeds become one point."""
    parts = means.groupby(["series_label", "amount_label"], sort=False)
    rows = [(*names, part["key"].iloc[0], *over_seeds(part)) for names, part in parts]
    return in_percent(pd.DataFrame(rows, columns=["series_label", "amount_label", "key", "value", "low", "high"]))


def wide(pivots: Sequence[Pivot]) -> pd.DataFrame:
    """Return one table of all pivots; a column of errors follows each column that has any."""
    rows = []
    for pivot in pivots:
        for series in pivot.rows:
            row: dict[str, str | float] = {METRIC: pivot.title} if len(pivots) > 1 else {}
            row[METHOD] = series
            for name in pivot.names:
                cell = pivot.cells.get((series, name), Cell(math.nan, math.nan, ""))
                row |= {name: cell.value, f"{name} {ERROR}": cell.error}
            rows.append(row)
    return pd.DataFrame(rows).dropna(axis="columns", how="all")
