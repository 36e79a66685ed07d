"""The drawer that compares two points: the better one, a chart of the paired differences, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.analysis.few import few_words
from core.analysis.intervals import ALPHA
from core.notation.chain import file_name
from core.results import Result
from dashboard import data
from dashboard.charts.frames import paired, points
from dashboard.charts.pair.chart import difference_chart
from dashboard.charts.pair.numbers import number_rows, winner
from dashboard.explore.comparison.field import end_comparison
from dashboard.exports.files import Item
from dashboard.exports.names import export_name, model_part
from dashboard.shared import widgets
from dashboard.shared.literal import literal

DRAWER = 820  # initial width in px
WIDTHS = {"Difference": 95, paired.INTERVAL: 135, paired.FLIPS: 110, "Adjusted p": 95}
NOTES = (
    "Difference: first minus second, in points. x: perplexity of the first over that of the second. p: paired test of "
    "each number. One comparison needs no adjustment of p and interval. "
    "Right only in first, second: the documents that only one of them answers correctly. "
    f"Better or worse: the first, with p at most {ALPHA}."
)


def show_comparison(pair: tuple[str, str], found: pd.DataFrame) -> None:
    """Compare two points of `found` in a drawer until the user closes it."""
    results = data.results(pair)
    if len(results) < len(pair):
        return  # one was deleted
    one, other = rows = [found[found["key"] == key].iloc[0] for key in pair]
    names = points.point_name(one), points.point_name(other)
    drawer = st.dialog(" and ".join(names), width=DRAWER, position="right", on_dismiss=end_comparison)
    drawer(_comparison)([results[key] for key in pair], names, any(row["seeds"] > 1 for row in rows))


def _comparison(results: Sequence[Result], names: tuple[str, str], seeds: bool) -> None:
    first, second = (result.variant for result in results)
    pairs, model = data.paired([(first.key,)], second.key), data.called(first)
    st.markdown(winner(pairs, *map(literal, names)))
    plain = winner(pairs, *names).replace("**", "")
    caption = f"{model}: {plain} First: {names[0]}. Second: {names[1]}. {NOTES}"
    if seeds:
        caption += " Of points with several seeds: the first seed."
    file = export_name(model_part(model), file_name(first.stages), "and", file_name(second.stages))
    items, rows = [], number_rows(pairs)
    if len(rows):
        items.append(
            widgets.show_chart(
                "explore_pair",
                partial(difference_chart, rows, names),
                caption,
                rows,
                alt=f"Paired difference in each number. {plain}",
                file=file,
            )
        )
    items += show_differences(pairs, caption, f"{file}-table")
    widgets.export_page(file, lambda: items)


def show_differences(pairs: pd.DataFrame, caption: str, file: str) -> list[Item]:
    """Show the table of the paired differences of one variant to another, with the reasons of those without a pair."""
    table = paired.comparison_table(pairs)
    if table.empty:
        st.caption("These variants share no result under the same protocol.")
        return []
    widths = WIDTHS | widgets.fitting_widths(table, ["First is"])
    item = widgets.show_table("explore_differences", table, caption, {}, file=file, widths=widths)
    for reason in [*paired.reasons(pairs), few_words(zip(pairs["dataset"], pairs["n"], strict=True))]:
        if reason:
            st.caption(reason)
    return [item]
