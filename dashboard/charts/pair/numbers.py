"""Two variants compared in every number that both have: the rows of their chart, and the better one in words."""

from __future__ import annotations

import pandas as pd

from core.analysis import reporting
from core.analysis.reporting import TableRow, form_of, format_difference, listed, verdict_text
from core.analysis.seven import MEAN
from core.analysis.verdicts import SIGNIFICANT
from dashboard.charts.frames.paired import ON_TEXT, in_order, number_name, number_words

RATIO, NATS, POINTS = "ratio", "nats", "points"  # units of a difference
UNITS = {reporting.RATIO: RATIO, reporting.NATS: NATS, reporting.POINTS: POINTS}


def number_rows(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `dashboard.charts.pair.chart.difference_chart`.

    Args:
        found: Rows of `core.analysis.differences` of one variant to another.

    Returns:
        A row for each paired number: number, unit, value, low, high and `better`, which is 0 for the first variant, 1
        for the second and -1 if the difference is not significant.
    """
    rows = []
    for row in _paired(found):
        form = form_of(row["metric"])
        unit = UNITS[form]
        value, low, high = (float(row[name]) * (100 if unit == POINTS else 1) for name in form.figures)
        text = f"{format_difference(row)}, {verdict_text(row)}"
        rows.append((number_name(row), unit, value, low, high, _better(row), text))
    return pd.DataFrame(rows, columns=["number", "unit", "value", "low", "high", "better", "hover_text"])


def winner(found: pd.DataFrame, one: str, other: str) -> str:
    """Return a sentence that names the better of two variants, or says that no difference is significant.

    Numbers of texts and the mean of seven decide; single tasks do so only without these.

    Args:
        found: Rows of `core.analysis.differences` of `one` to `other`.
        one: Name of the first variant, as Markdown.
        other: Name of the second variant, as Markdown.
    """
    rows = _paired(found)
    if not rows:
        return f"{one} and {other} cannot be paired in any number."
    rows = [row for row in rows if row["metric"] in ON_TEXT or row["dataset"] == MEAN] or rows
    names, columns = (one, other), (("value", "reference"), ("reference", "value"))
    wins: list[list[str]] = [[], []]
    for row in rows:
        if (place := _better(row)) >= 0:
            first, second = (number_words(row, column) for column in columns[place])
            wins[place].append(f"{_in_sentence(row)} ({first} against {second})")
    rest = [_in_sentence(row) for row in rows if _better(row) < 0]
    if all(wins):
        text = f"Neither wins: **{one}** is better in {listed(wins[0])}, **{other}** in {listed(wins[1])}."
    elif any(wins):
        place = 0 if wins[0] else 1
        text = f"**{names[place]}** is better than {names[1 - place]} in {listed(wins[place])}."
    else:
        return f"The difference between {one} and {other} is not significant in {listed(rest)}."
    return f"{text} Not significant: {listed(rest)}." if rest else text


def _in_sentence(row: TableRow) -> str:
    return number_name(row).replace("Perplexity on", "perplexity on").replace("Top-1", "top-1")


def _paired(found: pd.DataFrame) -> list[TableRow]:
    return [row for row in in_order(found).to_dict("records") if pd.isna(row["unpaired_reason"])]


def _better(row: TableRow) -> int:
    """Return the place of the better variant; -1 if the difference is not significant."""
    return SIGNIFICANT.index(row["verdict"]) if row["verdict"] in SIGNIFICANT else -1
