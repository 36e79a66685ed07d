"""Tables as CSV without formulas.

A spreadsheet computes a cell that begins like a formula, and the name of a model's folder may begin like one. A single
quote in front makes it text (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeVar

import pandas as pd

Cell = TypeVar("Cell")
FORMULA = re.compile(r"[=+\-@\t\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.ASCII)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV without its index; numbers, including those in text cells, stay numbers."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    return table.assign(**{name: texts[name].map(_cell) for name in texts.columns}).to_csv(index=False)


def _cell(cell: Cell) -> Cell | str:
    return harmless(cell) if isinstance(cell, str) else cell


@lru_cache(maxsize=4096)  # many rows share few texts
def harmless(cell: str) -> str:
    """Return a text that no spreadsheet computes as a formula; a number stays a number."""
    cell = re.sub("\r\n?", "\n", cell)  # pandas quotes a line feed, but a carriage return would begin another row
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell
