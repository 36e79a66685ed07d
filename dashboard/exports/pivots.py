"""Tables in the layout of papers: a row for each method, a column for each amount, task or model; also as LaTeX."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import pandas as pd

from core.findings.numbers.latex import (
    COLUMN,
    PAGE,
    SMALLEST,
    escaped,
    headed,
    in_lines,
    letters,
    line,
    tabular,
)
from core.findings.rows.zeroshot import in_percent, over_seeds
from core.notation.chain import DENSE
from core.notation.formatting import format_amount, format_number, label

DENSE_ROW = label(DENSE)
DENSE_COLUMN = "0 %"  # the dense model's column in a table by amount
METHOD, METRIC, ERROR = "Method", "Metric", "error"
SignificanceTest = Callable[[str, str, Sequence[str]], Mapping[str, bool]]
"""(column, key of the best, other keys) -> by key, whether it differs significantly; untested keys are missing."""
LONGEST_TEXTS = (26, 18, 12)  # characters per line of text; the first value with which a table fits is used
LONGEST_HEAD = 12  # characters per line of a header of numbers
HIGHEST = 50  # lines of a table on one page
NEEDS = "% needs \\usepackage{booktabs}\n"
BOLD = "Bold: best in column"
WORDS = {"∞": r"$\infty$", "inf": r"$\infty$", "nan": "--"}  # special values of formatted numbers
POWER = re.compile(r"(-?[\d.]+)e(-?)0*(\d+)")


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


def of_pivots(pivots: Sequence[Pivot], caption: str, label: str) -> str:
    """Return LaTeX tables with one block of rows per pivot; values have errors, and the best are bold.

    Pivots without a common column become separate tables.
    """
    parts = _tables(pivots)
    labels = [label, *(f"{label}-{place}" for place in range(2, len(parts) + 1))]
    return NEEDS + "".join(_of_blocks(part, caption, own) for part, own in zip(parts, labels, strict=True))


def _tables(pivots: Sequence[Pivot]) -> list[list[Pivot]]:
    """Group the pivots that have a column in common, not counting the dense model's."""
    groups: list[list[Pivot]] = []
    for pivot in pivots:
        names = {*pivot.names} - {DENSE_COLUMN}
        there = (part for part in groups if not names or any(names & {*one.names} for one in part))
        if (part := next(there, None)) is None:
            groups.append([pivot])
        else:
            part.append(pivot)
    return groups


def _of_blocks(pivots: Sequence[Pivot], caption: str, label: str) -> str:
    """Return one table of pivots with common columns; several pivots are headed by their titles."""
    names = list(dict.fromkeys(name for pivot in pivots for name in pivot.names))
    only_dense = len(names) > 1 and DENSE_COLUMN in names
    across = [name for name in names if not (only_dense and name == DENSE_COLUMN)]
    body: list[str] = []
    for pivot in pivots:
        if len(pivots) > 1:
            body.append(rf"\multicolumn{{{len(across) + 1}}}{{l}}{{\emph{{{escaped(pivot.title)}}}}} \\")
        for series in pivot.rows:
            body.append(line([in_lines(series), _row(pivot, series, across)]))
            if series == DENSE_ROW:
                body.append(r"\midrule")
        body.append(r"\midrule")
    rows = [line([METHOD, *(in_lines(name, LONGEST_HEAD, "r", "b") for name in across)]), r"\midrule", *body[:-1]]
    return _table(rows, "l" + "r" * len(across), f"{caption} {_legend(pivots)}", label)


def of_table(table: pd.DataFrame, formats: Mapping[str, str], caption: str, label: str) -> str:
    """Return a table in LaTeX; `formats` are printf formats of its numeric columns."""
    numbers, names = set(table.select_dtypes("number")), [str(name) for name in table.columns]
    columns = "".join("r" if name in numbers else "l" for name in table.columns)
    lines: list[str] = []
    for longest in LONGEST_TEXTS:
        cells = [
            [_cell(row[name], formats.get(str(name)), name in numbers, longest) for name in table.columns]
            for _, row in table.iterrows()
        ]
        lines = headed(names, cells, columns)
        if letters(lines, PAGE):
            break
    return NEEDS + _table(lines, columns, caption, label)


def _legend(pivots: Sequence[Pivot]) -> str:
    """Explain the signs and the bold values of a table."""
    if not any(cell.error == cell.error for pivot in pivots for cell in pivot.cells.values()):
        return f"{BOLD}."
    test = "within the error of it"
    if any(pivot.is_distinguishable for pivot in pivots):
        test = f"not significantly different from it (paired tests, Holm-adjusted; without a test, {test})"
    return f"±: {pivots[0].error_is}. {BOLD}, or {test}."


def _row(pivot: Pivot, series: str, across: Sequence[str]) -> str:
    alone = pivot.cells.get((series, DENSE_COLUMN))
    if alone and DENSE_COLUMN not in across:
        return rf"\multicolumn{{{len(across)}}}{{c}}{{{_with_error(*pivot.written(alone), False)}}}"
    cells = []
    for name in across:
        cell = pivot.cells.get((series, name))
        cells.append(_with_error(*pivot.written(cell), (series, name) in pivot.best) if cell else "--")
    return " & ".join(cells)


def _with_error(value: str, error: str, bold: bool) -> str:
    text = _number(value)
    if bold:
        text = rf"\textbf{{{text}}}" if "$" not in text else rf"{{\boldmath\textbf{{{text}}}}}"
    return text + (rf"\,{{\tiny$\pm${error}}}" if error else "")


def _cell(value: str | float | None, form: str | None, is_number: bool, longest: int) -> str:
    if pd.isna(value):
        return "--"
    if not is_number:
        return in_lines(str(value), longest)
    return _number((form or ("%d" if float(value).is_integer() else "%.2f")) % value)


def _number(text: str) -> str:
    if power := POWER.fullmatch(text):
        return rf"${power[1]}{{\times}}10^{{{power[2]}{power[3]}}}$"
    if text in WORDS:
        return WORDS[text]
    return re.sub("^-", "$-$", text)


def _table(lines: Sequence[str], columns: str, caption: str, label: str) -> str:
    """Return a LaTeX float, or several if the table is longer than a page.

    A table that is too wide for one column of a page, even in a small font, spans two columns.
    """
    where, size = "table", letters(lines, COLUMN)
    if size in (None, SMALLEST):
        where, size = "table*", letters(lines, PAGE) or SMALLEST
    floats = []
    for place, part in enumerate(_pages(lines)):
        again = rf"\caption{{Continued from table \ref{{tab:{label}}}.}}"
        captions = [again] if place else [rf"\caption{{{escaped(caption)}}}", rf"\label{{tab:{label}}}"]
        floats += [
            rf"\begin{{{where}}}[t]",
            r"\centering",
            r"\setlength{\belowcaptionskip}{6pt}",  # the caption is above the table
            *captions,
            *tabular(part, columns, size),
            rf"\end{{{where}}}",
        ]
    return "\n".join(floats) + "\n"


def _pages(lines: Sequence[str]) -> list[list[str]]:
    """Split a table's lines into pages; each page repeats the first two lines, the header and a rule."""
    head, rows = list(lines[:2]), lines[2:]
    parts, high = [[*head]], 0
    for row in rows:
        high += 1 + max((cell.count(r" \\ ") for cell in row.split(" & ")), default=0)
        if high > HIGHEST:
            parts.append([*head])
            high = 1
        parts[-1].append(row)
    return parts
