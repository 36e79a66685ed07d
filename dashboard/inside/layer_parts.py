"""Parts of the tab of layers: fields of the number and the matrix, histogram and table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.findings.inside.layers import Measure
from core.notation.formatting import capitalise
from dashboard.charts.layers.heatmap import scale_of
from dashboard.charts.layers.histogram import number_histogram
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_link

BY, MATRIX = "inside_by", "inside_matrix"  # keys
MAP, HISTOGRAM, TABLE = "inside_layer_map", "inside_layer_histogram", "inside_layer_table"  # keys


def pick_measure(measures: Sequence[Measure]) -> Measure:
    """Show the field of the number that the map shows."""
    titles = {measure.title: measure for measure in measures}
    check_link(BY, "number", titles)
    title = st.segmented_control("Shown", list(titles), default=next(iter(titles)), required=True, key=BY, **BOUND)
    return titles.get(title, measures[0])


def pick_matrix(rows: pd.DataFrame, column: str) -> str:
    """Show the field of the matrix, by default the one with the largest number."""
    names = list(rows["name"])
    largest = names[int(rows[column].abs().fillna(0).argmax())]
    check_link(MATRIX, "matrix", names)
    chosen: str = st.selectbox(
        "Matrix",
        names,
        index=names.index(largest),
        key=MATRIX,
        help="Also chosen by a click on the map, a mark of the histogram or a row of the table. At first: the largest "
        "number.",
        **BOUND,
    )
    return chosen


def choose(names: Sequence[str]) -> None:
    """Choose the clicked matrix with the next script run."""
    if names:
        st.session_state[MATRIX] = names[-1]


def show_histogram(rows: pd.DataFrame, column: str, of: str, title: str, name: str, caption: str, file: str) -> Item:
    """Show how many matrices have which number, with a line at the chosen matrix; a click on a mark chooses another.

    Args:
        rows: The matrices, with the number in `column`.
        column: Column of the number.
        of: Column of the layer reports that the number is, or whose difference it is.
        title: Name of the number.
        name: The chosen matrix.
        caption: Caption of the map.
        file: Name of the exports of the tab.
    """
    scale, full = scale_of(of)[0], _with_unit(title, of)
    values = rows.set_index("name")[column] * scale
    return widgets.show_chart(
        HISTOGRAM,
        partial(number_histogram, values, title=full, chosen=name),
        f"{caption} Each mark at the bottom is a matrix. The dashed line is {name}.",
        values.rename(full).reset_index(),
        alt=f"Histogram of {full} over matrices",
        file=f"{file}-{column}-histogram",
        on_select=choose,
    )


def show_table(rows: pd.DataFrame, numbers: Mapping[str, tuple[str, str]], caption: str, file: str) -> Item:
    """Show the table of the matrices; a tick chooses one.

    Args:
        rows: The matrices.
        numbers: Each column of numbers with the column of the layer reports that gives its unit, and its name.
        caption: Caption of the map.
        file: Name of the exports of the tab.
    """
    headings = {column: capitalise(_with_unit(title, of)) for column, (of, title) in numbers.items()}
    scaled = {column: scale_of(of)[0] * rows[column] for column, (of, _) in numbers.items()}
    table = rows[["name", "block", "role", *numbers]].assign(**scaled)
    names = list(table["name"])
    return widgets.show_table(
        TABLE,
        table.rename(columns={"name": "Matrix", "block": "Block", "role": "Role", **headings}),
        caption,
        dict.fromkeys(headings.values(), "%.4g"),
        file=f"{file}-table",
        captioned=False,
        on_select=lambda ticked: choose([names[row] for row in ticked]),
    )


def _with_unit(title: str, of: str) -> str:
    unit = scale_of(of)[1].strip()
    return f"{title} ({unit})" if unit else title
