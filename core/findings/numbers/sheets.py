"""Tables as CSV without formulas.

A spreadsheet computes a cell that begins like a formula, and the name of a model's folder may begin like one. A single
quote in front makes it text (https://owasp.org/www-community/attacks/CSV_Injection).
"""

import csv
import io
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pandas as pd

Cell = TypeVar("Cell")
ROWS = 10_000  # of a piece
FORMULA = re.compile(r"[=+\-@\t\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.ASCII)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV without its index; numbers, including those in text cells, stay numbers."""
    return "".join(csv_pieces(table))


def csv_pieces(table: pd.DataFrame) -> Iterator[str]:
    """Yield `csv_text` in pieces, as that of a whole store has hundreds of megabytes."""
    for start in range(0, max(1, len(table)), ROWS):
        piece = io.StringIO()
        rows = csv.writer(piece, lineterminator="\n")
        if start == 0:
            rows.writerow(table.columns)
        columns = (_cells(column) for _, column in table.iloc[start : start + ROWS].items())
        rows.writerows(zip(*columns, strict=True))
        yield piece.getvalue()


def _cells(column: pd.Series) -> list[object]:
    """Return the cells of a column, each different one made once; a missing one is empty."""
    cells = column.astype(object)
    if pd.api.types.infer_dtype(cells, skipna=True) not in ("string", "floating"):  # 1, 1.0 and True are equal
        return [_cell(cell) for cell in cells.mask(cells.isna(), "")]
    places, different = pd.factorize(cells)  # a missing cell has place -1
    return [*np.array([*map(_cell, different), ""], dtype=object)[places]]


def _cell(cell: Cell) -> Cell | str:
    return harmless(cell) if isinstance(cell, str) else cell


@lru_cache(maxsize=4096)  # many rows share few texts
def harmless(cell: str) -> str:
    """Return a text that no spreadsheet computes as a formula; a number stays a number."""
    cell = re.sub("\r\n?", "\n", cell)  # pandas quotes a line feed, but a carriage return would begin another row
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell
