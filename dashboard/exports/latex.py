"""LaTeX tables in booktabs style; they need no other package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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
from dashboard.exports.pivots import DENSE_COLUMN, DENSE_ROW, METHOD, Pivot

LONGEST_TEXTS = (26, 18, 12)  # characters per line of text; the first value with which a table fits is used
LONGEST_HEAD = 12  # characters per line of a header of numbers
HIGHEST = 50  # lines of a table on one page
NEEDS = "% needs \\usepackage{booktabs}\n"
BOLD = "Bold: best in column"
WORDS = {"∞": r"$\infty$", "inf": r"$\infty$", "nan": "--"}  # special values of formatted numbers
POWER = re.compile(r"(-?[\d.]+)e(-?)0*(\d+)")


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
