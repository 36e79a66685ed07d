"""The drawer that compares two points."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.findings.rows import points
from core.notation.chain import file_name
from core.results import Result
from dashboard import data
from dashboard.explore.comparison.field import end_comparison
from dashboard.exports.names import export_name, model_part
from dashboard.shared import links, widgets
from dashboard.shared.comparison.pair import pair_caption, show_differences, show_pair

DRAWER = 820  # initial width in px


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
    file = export_name(model_part(model), file_name(first.stages), "and", file_name(second.stages))
    items = show_pair(pairs, names, model, file)
    caption = pair_caption(pairs, names, model)
    if seeds:
        caption += " Of points with several seeds: the first seed."
    items += show_differences(pairs, caption, f"{file}-table")
    st.page_link(
        "inside/view.py",
        label="Compare up to four, with size, time and commands",
        icon=":material/layers:",
        query_params=links.compared([second.key, first.key], model),
        width="content",
    )
    widgets.export_page(file, lambda: items)
