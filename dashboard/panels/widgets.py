"""Parts that every page uses: a chart or table with its caption and its one Export button."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.basedatatypes import BaseFigure

from dashboard.charts.style import LIGHT, Theme, theme_named
from dashboard.exports import files as exports
from dashboard.exports.pivots import Pivot
from dashboard.panels.export_menu import export_menu
from dashboard.sharing import shared

Draw = Callable[[Theme], go.Figure]
FEW = 3  # sentences that are shown at once
LONG = 240  # letters of a caption that few read
PLAIN = 8  # bytes that a figure takes for each letter of its JSON
CONFIG = {"displayModeBar": False, "displaylogo": False, "responsive": True, "showTips": False}


def page_theme() -> Theme:
    """Return the theme the visitor sees."""
    return theme_named(st.context.theme.type)


def literal(text: str) -> str:
    """Return Markdown that shows a text as it is, whatever signs a path in it has."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def show_chart(
    name: str,
    draw: Draw,
    caption: str,
    table: pd.DataFrame,
    alt: str,
    *,
    file: str,
    pivots: Sequence[Pivot] = (),
    on_select: Callable[[str], None] | None = None,
) -> exports.Item:
    """Show a chart, its caption and its exports. `on_select` is called with the key of a point that was clicked.

    `file` names the exports (`dashboard.exports.names`), and `pivots` are the table as papers print it.
    """

    def clicked() -> None:
        selected = st.session_state[name].selection.points
        if on_select and selected and selected[0].get("customdata"):
            on_select(selected[0]["customdata"][0])

    st.plotly_chart(
        _plain(draw, page_theme()),
        key=name,
        theme=None,
        config=CONFIG,
        alt=alt,
        on_select=clicked if on_select else "ignore",
        selection_mode="points",
    )
    item = exports.Chart(name=file, caption=caption, table=table, pivots=pivots, build=partial(draw, LIGHT))
    _underneath(name, item)
    return item


class PlainFigure(BaseFigure):
    """A finished figure as plain data, which Streamlit sends without a look through each property."""

    def __init__(self, figure: go.Figure):
        text = figure.to_json(validate=False)
        self._plain = json.loads(text)
        self._size = PLAIN * len(text)

    @property
    def size(self) -> int:
        """The bytes that it takes."""
        return self._size

    def to_dict(self) -> dict[str, Any]:
        return self._plain


@shared
def _plain(draw: Draw, theme: Theme) -> PlainFigure:
    return PlainFigure(_clickable(draw(theme)))


def _clickable(figure: go.Figure) -> go.Figure:
    """Let a click make its point larger and fade nothing: by default plotly fades all the others."""
    for trace in figure.data:
        if trace.type == "scatter":
            trace.selected = {"marker": {"size": 14}} if trace.customdata is not None else None
            trace.unselected = {"marker": {"opacity": 1}, "textfont": {"color": trace.textfont.color}}
    return figure


def show_table(
    name: str,
    table: pd.DataFrame,
    caption: str,
    formats: dict[str, str],
    *,
    file: str,
    pivots: Sequence[Pivot] = (),
    captioned: bool = True,
    widths: dict[str, int] | None = None,
    on_select: Callable[[int], None] | None = None,
) -> exports.Item:
    """Show a table with its caption and exports; `formats` are printf formats of its number columns.

    `on_select` is called with the place of a row that was chosen.

    `widths`, in pixels, are of text columns with many empty cells, which the browser makes too narrow.

    A table that repeats a chart's caption is not `captioned` on the page; its exports are. `file` and `pivots` are
    as of a chart.
    """
    columns = {
        column: st.column_config.NumberColumn(format=text) for column, text in formats.items() if column in table
    } | {column: st.column_config.TextColumn(width=width) for column, width in (widths or {}).items()}

    def selected() -> None:
        if on_select and (rows := st.session_state[name].selection.rows):
            on_select(rows[0])

    st.dataframe(
        table,
        hide_index=True,
        column_config=columns,
        alt=caption,
        placeholder="–",
        key=name,
        on_select=selected if on_select else "ignore",
        selection_mode="single-row",
    )
    item = exports.Item(name=file, caption=caption, table=table, pivots=pivots, formats=formats)
    _underneath(name, item, captioned)
    return item


def _underneath(name: str, item: exports.Item, captioned: bool = True) -> None:
    """Show the caption; of a long one the first sentence, which is the protocol, and the rest where it is asked for."""
    first, stop, rest = item.caption, "", ""
    if len(first) > LONG:
        first, stop, rest = item.caption.partition(". ")
    if captioned:
        st.caption(first + stop.strip())
    with st.container(horizontal=True):
        export_menu(name, item)
        if captioned and rest:
            with st.popover("How to read it", icon=":material/info:", key=f"{name}_notes"):
                st.caption(rest)


def show_skipped(warnings: Sequence[str]) -> None:
    """Name, quietly, the rows that could not be read; what they hold is shown as it is, and not as markup."""
    if warnings:
        with st.expander(f"{len(warnings)} not read", expanded=len(warnings) <= FEW, icon=":material/warning:"):
            st.text("\n".join(warnings))


def export_page(name: str, items: Callable[[], Sequence[exports.Item]]) -> None:
    """Offer everything on the page as one ZIP, in figures that are two columns wide; `items` are asked for then."""
    st.download_button(
        "Export everything on this page (ZIP)",
        lambda: exports.bundle(items(), max(exports.WIDTHS.values())),
        f"{name}.zip",
        "application/zip",
        key=f"{name}_zip",
        on_click="ignore",
        icon=":material/folder_zip:",
    )
