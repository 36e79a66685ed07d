"""Parts that every page uses: a chart or table with its caption and its one Export button."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.charts.style import LIGHT, Theme, theme_named
from dashboard.exports import files as exports
from dashboard.exports.browser import available

Draw = Callable[[Theme], go.Figure]
FEW = 3  # sentences that are shown at once
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
    on_select: Callable[[], None] | None = None,
    file: str | None = None,
) -> exports.Item:
    """Show a chart, its caption and its exports. `on_select` is called when a point is clicked, read from `name`.

    `file` names the exports, without ending, where it is not `name`.
    """
    st.plotly_chart(
        _clickable(draw(page_theme())),
        key=name,
        theme=None,
        config=CONFIG,
        alt=alt,
        on_select=on_select or "ignore",
        selection_mode="points",
    )
    item = exports.Chart(file or name, caption, table, partial(draw, LIGHT))
    _underneath(name, item)
    return item


def _clickable(figure: go.Figure) -> go.Figure:
    """Let a click make its point larger and fade nothing: by default plotly fades all the others."""
    for trace in figure.select_traces({"type": "scatter"}):
        marker = {"size": 14} if trace.customdata is not None else {}
        trace.update(
            selected_marker=marker, unselected_marker_opacity=1, unselected_textfont_color=trace.textfont.color
        )
    return figure


def show_table(
    name: str,
    table: pd.DataFrame,
    caption: str,
    formats: dict[str, str],
    captioned: bool = True,
    file: str | None = None,
    widths: dict[str, int] | None = None,
    on_select: Callable[[int], None] | None = None,
) -> exports.Item:
    """Show a table with its caption and exports; `formats` are printf formats of its number columns.

    `on_select` is called with the place of a row that was chosen.

    `widths`, in pixels, are of text columns with many empty cells, which the browser makes too narrow.

    A table that repeats a chart's caption is not `captioned` on the page; its exports are. `file` is as of a chart.
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
    item = exports.Item(file or name, caption, table)
    _underneath(name, item, captioned)
    return item


def _underneath(name: str, item: exports.Item, captioned: bool = True) -> None:
    """Show the caption's first sentence, which is the protocol, and its others where they are asked for."""
    first, stop, rest = item.caption.partition(". ")
    if captioned:
        st.caption(first + stop.strip())
    with st.container(horizontal=True):
        with st.popover("Export", icon=":material/download:", key=f"{name}_menu"):
            _menu(name, item)
        if captioned and rest:
            with st.popover("How to read it", icon=":material/info:", key=f"{name}_notes"):
                st.caption(rest)


def _menu(name: str, item: exports.Item) -> None:
    width = 3.35
    if isinstance(item, exports.Chart):
        chosen = st.segmented_control(
            "Print width",
            list(exports.WIDTHS),
            default=next(iter(exports.WIDTHS)),
            required=True,
            key=f"{name}_width",
        )
        width = exports.WIDTHS[chosen]
        with st.container(horizontal=True):
            for format, mime in exports.IMAGES.items():
                _button(name, item, format, partial(exports.image, item, format, width), mime)
    with st.container(horizontal=True):
        if isinstance(item, exports.Chart):
            _button(name, item, "html", partial(exports.html, item), "text/html")
        _button(name, item, "csv", partial(exports.csv, item), "text/csv")
        _button(name, item, "tex", partial(exports.latex, item), "text/x-tex", "LaTeX")
    if isinstance(item, exports.Chart) and not available():
        st.caption("No Chromium found: images are drawn with matplotlib from the same data.")


def _button(
    name: str, item: exports.Item, ending: str, make: Callable[[], bytes], mime: str, label: str | None = None
) -> None:
    st.download_button(
        label or ending.upper(),
        make,
        f"{item.name}.{ending}",
        mime,
        key=f"{name}_{ending}",
        on_click="ignore",
    )


def show_skipped(warnings: Sequence[str]) -> None:
    """Name, quietly, the rows that could not be read; what they hold is shown as it is, and not as markup."""
    if warnings:
        with st.expander(f"{len(warnings)} not read", expanded=len(warnings) <= FEW, icon=":material/warning:"):
            st.text("\n".join(warnings))


def export_page(name: str, items: Callable[[], Sequence[exports.Item]]) -> None:
    """Offer everything on the page as one ZIP; `items` are what is on it when that is asked for."""
    st.download_button(
        "Export everything on this page (ZIP)",
        lambda: exports.bundle(items(), exports.WIDTHS["double column (6.9 in)"]),
        f"{name}.zip",
        "application/zip",
        key=f"{name}_zip",
        on_click="ignore",
        icon=":material/folder_zip:",
    )
