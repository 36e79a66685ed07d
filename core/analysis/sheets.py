"""Tables as CSV that a spreadsheet opens as what they say.

A cell that begins like a formula would be computed by the spreadsheet, and a model's folder may be called like one; a
single quote before it makes it text (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import pandas as pd

FORMULA = re.compile(r"[=+\-@\t\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.ASCII)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV, without its index. Numbers stay numbers, those that are written as text, too."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    return table.assign(**{name: texts[name].map(_cell) for name in texts.columns}).to_csv(index=False)


def _cell(cell: Any) -> Any:
    return harmless(cell) if isinstance(cell, str) else cell


@lru_cache(maxsize=4096)  # few texts are in many rows
def harmless(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula; a number stays one."""
    cell = re.sub("\r\n?", "\n", cell)  # CSV files quote a line feed, and a return would begin another row
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell
