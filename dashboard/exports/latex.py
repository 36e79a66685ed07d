"""Tables in LaTeX, in booktabs style: they need nothing but that package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from core.analysis.latex import (
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
from dashboard.exports.pivots import DENSE_COLUMN, DENSE_ROW, METHOD, Pivot

LONGEST_TEXTS = (26, 18, 12)  # characters of a line of text: the first with which a table fits
LONGEST_HEAD = 12  # characters of a line over a column of numbers
HIGHEST = 50  # lines of a table on a page, under its caption
NEEDS = "% needs \\usepackage{booktabs}\n"
BOLD = "Bold: the best of a column, and what is not significantly different from it"
WORDS = {"∞": r"$\infty$", "inf": r"$\infty$", "nan": "--"}  # that numbers are written as
POWER = re.compile(r"(-?[\d.]+)e(-?)0*(\d+)")


def of_pivots(pivots: Sequence[Pivot], caption: str, label: str) -> str:
    """Return the numbers, one block of rows after the other, each value with its error and the best in bold.

    What has no columns in common with the rest is a table of its own.
    """
    parts = _tables(pivots)
    labels = [label, *(f"{label}-{place}" for place in range(2, len(parts) + 1))]
    return NEEDS + "".join(_of_blocks(part, caption, told) for part, told in zip(parts, labels, strict=True))


def _tables(pivots: Sequence[Pivot]) -> list[list[Pivot]]:
    """Return the pivots by what they have columns in common with, beside the dense model's."""
    found: list[list[Pivot]] = []
    for pivot in pivots:
        names = {*pivot.names} - {DENSE_COLUMN}
        there = (part for part in found if not names or any(names & {*one.names} for one in part))
        if (part := next(there, None)) is None:
            found.append([pivot])
        else:
            part.append(pivot)
    return found


def _of_blocks(pivots: Sequence[Pivot], caption: str, label: str) -> str:
    """Return one table of pivots that have columns in common, each with its title where there are several."""
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
    """Return a table as it is; `formats` are printf formats of its number columns."""
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
    """Say what the signs of a table mean."""
    paired = any(pivot.is_distinguishable for pivot in pivots)
    how = " by a paired test after Holm or, where there is none," if paired else ""
    said = f"{BOLD}{how} as it lies within the error."
    if not any(cell.error == cell.error for pivot in pivots for cell in pivot.cells.values()):
        return "Bold: the best of a column."
    return f"±: {pivots[0].error_is}. {said}"


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


def _cell(value, form: str | None, is_number: bool, longest: int) -> str:
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
    """Return a float, or several where one is higher than a page.

    Each is of one column of a page or, where the smallest letters that are read easily are too wide, of two.
    """
    where, size = "table", letters(lines, COLUMN)
    if size in (None, SMALLEST):
        where, size = "table*", letters(lines, PAGE) or SMALLEST
    found = []
    for place, part in enumerate(_pages(lines)):
        said = rf"\caption{{Continued from table \ref{{tab:{label}}}.}}"
        told = [said] if place else [rf"\caption{{{escaped(caption)}}}", rf"\label{{tab:{label}}}"]
        found += [
            rf"\begin{{{where}}}[t]",
            r"\centering",
            r"\setlength{\belowcaptionskip}{6pt}",  # as the caption stands over the table
            *told,
            *tabular(part, columns, size),
            rf"\end{{{where}}}",
        ]
    return "\n".join(found) + "\n"


def _pages(lines: Sequence[str]) -> list[list[str]]:
    """Return a table's lines in parts that a page holds, each with the first two, the names and a rule."""
    head, rows = list(lines[:2]), lines[2:]
    parts, high = [[*head]], 0
    for row in rows:
        high += 1 + max((cell.count(r" \\ ") for cell in row.split(" & ")), default=0)
        if high > HIGHEST:
            parts.append([*head])
            high = 1
        parts[-1].append(row)
    return parts
