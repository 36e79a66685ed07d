"""Variants beside others of their model: all beside dense, and one point beside any other, number by number."""

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
from dashboard.charts import naming, paired, points
from dashboard.exports.files import Item
from dashboard.exports.pivots import SignificanceTest
from dashboard.panels import widgets
from dashboard.sharing import shared

WIDTHS = {"Difference": 95, paired.INTERVAL: 135, "Adjusted p": 95, "This is": 170}


@shared
def numbers_of(rows: pd.DataFrame) -> list[data.Number]:
    """Return the numbers that tidy rows are of, as `data.paired` takes them."""
    return list(rows[list(NUMBER)].drop_duplicates().itertuples(index=False, name=None))


def differences_to_dense(rows: pd.DataFrame, series: Collection[str]) -> pd.DataFrame:
    """Return the paired differences to the dense model of the variants of these series, in the numbers of tidy rows."""
    rows = rows[points.is_dense(rows) | rows["label"].isin(series)]
    return data.paired(points.by_seed(rows[~points.is_dense(rows)]), points.dense_key(rows), numbers_of(rows))


def significance_of_best(rows: pd.DataFrame) -> SignificanceTest:
    """Return how variants of tidy rows, of several seeds too, are told from the best of a column by paired tests.

    The column is a task's label, or anything where the rows are of one number. Adjusted for being told together.
    """

    @cache  # as it is asked of each column, but only where a table is exported
    def by_first() -> dict[str, tuple[str, ...]]:
        return {keys[0]: keys for keys in points.by_seed(rows)}

    def apart(column: str, best: str, others: Sequence[str]) -> dict[str, bool]:
        seeds = by_first()
        if len(seeds.get(best, ())) != 1:
            return {}  # the others are paired with one variant
        numbers = numbers_of(rows)
        found = data.paired([seeds[key] for key in others if key in seeds], best, numbers)
        found = found[found["verdict"].notna()]
        if len(numbers) > 1:
            found = found[paired.task_labels(found) == column]
        found = adjust_together(found)
        return dict(zip(found["key"], found["verdict"].isin(SIGNIFICANT), strict=True))

    return apart


def show_comparison(result: Result, name: str, file: str) -> list[Item]:
    """Let another variant be chosen, at first the dense model, and show what differs in the numbers both have.

    `name` is the point's in captions, and `file` that of the exports.
    """
    frame = data.frame(data.called(result.variant))
    rows = frame[frame["key"] != result.variant.key]
    names = naming.variant_names(rows)
    if not names:
        return []
    dense = points.dense_key(rows)
    other = st.selectbox(
        "Compare with",
        list(names),
        index=list(names).index(dense) if dense else 0,
        format_func=names.__getitem__,
        key=f"explore_beside_{result.variant.key[:8]}",
        help="Differences are paired: both variants read the same windows, and answered the same documents.",
    )
    found = data.paired([(result.variant.key,)], other)
    table = paired.comparison_table(found)
    if table.empty:
        st.caption(f"No number of {names[other]} was measured in the same way as one of this.")
        return []
    caption = f"{name} beside {names[other]}. Difference: this one minus the other in points; x: this one's perplexity"
    caption += " over the other's. p: paired tests, of each number by itself: there is one comparison, so that p and"
    caption += f" the interval need no adjustment. Better or worse, of this one: p at most {ALPHA}."
    item = widgets.show_table("explore_beside", table, caption, {}, file=file, widths=WIDTHS)
    for reason in [*paired.reasons(found), few_words(zip(found["dataset"], found["n"], strict=True))]:
        if reason:
            st.caption(reason)
    return [item]
