"""Paired comparisons of variants of a model: all with dense, and one point with any other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

import pandas as pd
import streamlit as st

from core.analysis.differences import NUMBER, adjust_together
from core.analysis.few import few_words
from core.analysis.intervals import ALPHA
from core.analysis.verdicts import SIGNIFICANT
from core.results import Result
from dashboard import data
from dashboard.charts.frames import naming, paired, points
from dashboard.exports.files import Item
from dashboard.exports.pivots import SignificanceTest
from dashboard.shared import widgets
from dashboard.sharing import shared

WIDTHS = {"Difference": 95, paired.INTERVAL: 135, "Adjusted p": 95, "This is": 170}


@shared
def numbers_of(rows: pd.DataFrame) -> list[data.Number]:
    """Return the distinct numbers of tidy rows, as the argument of `data.paired`."""
    return list(rows[list(NUMBER)].drop_duplicates().itertuples(index=False, name=None))


def differences_to_dense(rows: pd.DataFrame, series: Collection[str]) -> pd.DataFrame:
    """Return the paired differences to the dense model of these series' variants, for each number in the rows."""
    rows = rows[points.is_dense(rows) | rows["series_label"].isin(series)]
    return data.paired(points.by_seed(rows[~points.is_dense(rows)]), points.dense_key(rows), numbers_of(rows))


def significance_of_best(rows: pd.DataFrame) -> SignificanceTest:
    """Return a function that tests which variants differ significantly from the best of a table column.

    The column is the label of a task; with rows of one number, any text. Variants may have several seeds. The tests of
    a column are Holm-adjusted together.
    """

    @cache  # needed for every column, but only for exports
    def by_first() -> dict[str, tuple[str, ...]]:
        return points.seeds_of(rows)

    def distinguishable(column: str, best: str, others: Sequence[str]) -> dict[str, bool]:
        seeds = by_first()
        if len(seeds.get(best, ())) != 1:
            return {}  # several seeds have no single partner
        numbers = numbers_of(rows)
        found = data.paired([seeds[key] for key in others if key in seeds], best, numbers)
        found = found[found["verdict"].notna()]
        if len(numbers) > 1:
            found = found[paired.task_labels(found) == column]
        found = adjust_together(found)
        return dict(zip(found["key"], found["verdict"].isin(SIGNIFICANT), strict=True))

    return distinguishable


def show_comparison(result: Result, name: str, file: str) -> list[Item]:
    """Show the paired differences of a variant to a chosen one, by default the dense model.

    `name` is the point's name in captions, and `file` the name of the exports.
    """
    frame = data.frame(data.called(result.variant))
    rows = frame[frame["key"] != result.variant.key]
    names, options = naming.variant_names(rows), naming.variant_options(rows)
    if not names:
        return []
    dense = points.dense_key(rows)
    other = st.selectbox(
        "Compare with",
        list(names),
        index=list(names).index(dense) if dense else 0,
        format_func=options.__getitem__,
        key=f"explore_beside_{result.variant.key[:8]}",
        help="Differences are paired: both variants have results on the same windows and documents.",
    )
    found = data.paired([(result.variant.key,)], other)
    table = paired.comparison_table(found)
    if table.empty:
        st.caption(f"This variant shares no result under the same protocol with {names[other]}.")
        return []
    caption = f"{name} compared with {names[other]}. Difference: first minus second, in points. x: perplexity of the"
    caption += " first over that of the second. p: paired test of each number. One comparison needs no adjustment of p"
    caption += f" and interval. Better or worse: the first, with p at most {ALPHA}."
    item = widgets.show_table("explore_beside", table, caption, {}, file=file, widths=WIDTHS)
    for reason in [*paired.reasons(found), few_words(zip(found["dataset"], found["n"], strict=True))]:
        if reason:
            st.caption(reason)
    return [item]
