"""The Export menu of a chart or table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard.exports import files as exports


@st.fragment
def export_menu(name: str, item: exports.Item) -> None:
    """Show the Export menu of an item; `name` begins the keys of its widgets."""
    with st.popover("Export", icon=":material/download:", key=f"{name}_menu"):
        if isinstance(item, exports.Chart):
            _figures(name, item)
        with st.container(horizontal=True):
            _button(name, item, "csv", exports.csv, "text/csv")
            if item.pivots:
                _button(name, item, "csv", exports.csv_long, "text/csv", "CSV, long", "-long")
            _button(name, item, "tex", exports.latex, "text/x-tex", "LaTeX")


def _figures(name: str, item: exports.Chart) -> None:
    widths = list(exports.WIDTHS)
    width = st.segmented_control("Width", widths, default=widths[0], required=True, key=f"{name}_width")
    dpi = st.segmented_control(
        "PNG resolution (dpi)", exports.DPI, default=exports.DPI[0], required=True, key=f"{name}_dpi"
    )
    help = "File metadata and LaTeX always include it."
    captioned = st.toggle("Add the caption to figures", key=f"{name}_captioned", help=help)
    draw = partial(exports.image, width=exports.WIDTHS[width], dpi=dpi, captioned=captioned)
    with st.container(horizontal=True):
        for format, mime in exports.IMAGES.items():
            _button(name, item, format, partial(draw, format=format), mime)
        _button(name, item, "html", exports.html, "text/html")


def _button(
    name: str,
    item: exports.Item,
    ending: str,
    make: Callable[..., bytes],
    mime: str,
    label: str | None = None,
    variant: str = "",
) -> None:
    st.download_button(
        label or ending.upper(),
        partial(make, item),
        f"{item.name}{variant}.{ending}",
        mime,
        key=f"{name}_{ending}{variant}",
        on_click="ignore",
    )
