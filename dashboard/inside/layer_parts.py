"""Parts of the tab of layers: fields of the number and the matrix, histogram and table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.inside.layers import PLACE, Measure
from core.notation.formatting import capitalise
from dashboard.charts.matrices import layer_heatmap, number_histogram, scale_of
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_link, segments

BY, MATRIX = "inside_by", "inside_matrix"  # keys
MAP, HISTOGRAM, TABLE = "inside_layer_map", "inside_layer_histogram", "inside_layer_table"  # keys


def pick_measure(measures: Sequence[Measure]) -> Measure:
    """Show the field of the number that the map shows."""
    titles = {measure.title: measure for measure in measures}
    return titles.get(segments("Shown", list(titles), BY, "number"), measures[0])


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


class Number(NamedTuple):
    """A number of each matrix: a column of layer reports, or the difference of one between two tables."""

    column: str
    of: str  # the column of layer reports
    title: str
    name: str  # in a sentence


def show_maps(rows: pd.DataFrame, number: Number, chosen: str, caption: str, file: str) -> list[Item]:
    """Show the map and the histogram of a number, with the chosen matrix marked; a click on a mark chooses another.

    Args:
        rows: The matrices.
        number: The number to show.
        chosen: Name of the chosen matrix.
        caption: Caption of the map.
        file: Name of the exports of the tab.
    """
    column, title = number.column, number.title
    full = _with_unit(title, number.of)
    of = None if number.of == column else number.of
    known = rows.dropna(subset=column)
    values = known.set_index("name")[column] * scale_of(number.of)[0]
    chart = widgets.show_chart(
        MAP,
        partial(layer_heatmap, rows, column=column, title=title, chosen=chosen, of=of),
        caption,
        known if of else known[[*PLACE, column]],
        alt=f"Map of {number.name} by block and role",
        file=f"{file}-{number.of}",
        on_select=choose,
    )
    histogram = widgets.show_chart(
        HISTOGRAM,
        partial(number_histogram, values, title=full, chosen=chosen),
        f"{caption} Each mark at the bottom is a matrix. The dashed line is {chosen}.",
        values.rename(full).reset_index(),
        alt=f"Histogram of {full} over matrices",
        file=f"{file}-{column}-histogram",
        on_select=choose,
    )
    return [chart, histogram]


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
    table = rows[[*PLACE, *numbers]].assign(**scaled)
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
