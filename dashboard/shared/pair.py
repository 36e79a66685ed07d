"""Two variants compared: the better one, a chart of the paired differences, and their table."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from core.findings.numbers.few import few_in
from core.findings.numbers.intervals import ALPHA
from core.findings.numbers.reporting import seeds_words
from core.findings.pairs import paired
from core.findings.pairs.numbers import number_rows, winner
from dashboard.charts.compared import difference_chart
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.literal import literal

WIDTHS = {"Difference": 95, paired.INTERVAL: 135, paired.FLIPS: 110, "Adjusted p": 95}
NOTES = (
    "Difference: first minus second, in points. x: perplexity of the first over that of the second. p: paired test of "
    "each number. One comparison needs no adjustment of p and interval. "
    "The chart has each task once, with most documents; the table has every protocol. "
    "Right only in first, second: the documents that only one of them answers correctly. "
    f"Better or worse: the first, with p at most {ALPHA}."
)


def show_pair(pairs: pd.DataFrame, names: tuple[str, str], caption: str, file: str) -> list[Item]:
    """Show the better of two variants in a sentence, and the chart of their paired differences.

    `pairs` are rows of `core.findings.numbers.differences` of the first variant to the second. `caption` is the start
    of the chart's caption, such as the model's name.
    """
    st.markdown(winner(pairs, *map(literal, names)))
    plain = winner(pairs, *names).replace("**", "")
    rows = number_rows(pairs)
    if rows.empty:
        return []
    return [
        widgets.show_chart(
            "pair",
            partial(difference_chart, rows, names),
            pair_caption(pairs, names, caption),
            rows,
            alt=f"Paired difference in each number. {plain}",
            file=file,
        )
    ]


def pair_caption(pairs: pd.DataFrame, names: tuple[str, str], start: str) -> str:
    """Return the caption of the chart and the table of a pair."""
    plain = winner(pairs, *names).replace("**", "")
    return f"{start}: {plain} First: {names[0]}. Second: {names[1]}. {NOTES}"


def show_differences(pairs: pd.DataFrame, caption: str, file: str) -> list[Item]:
    """Show the table of the paired differences of one variant to another, with the reasons of those without a pair."""
    table = paired.comparison_table(pairs)
    if table.empty:
        st.caption("These variants share no result under the same protocol.")
        return []
    widths = WIDTHS | widgets.fitting_widths(table, ["First is"])
    item = widgets.show_table("pair_differences", table, caption, {}, file=file, widths=widths)
    for reason in [seeds_words(pairs), *paired.reasons(pairs), few_in(pairs)]:
        if reason:
            st.caption(reason)
    return [item]
