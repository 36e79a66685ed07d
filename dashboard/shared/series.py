"""The list of series in the sidebar: those highlighted in charts, tables and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.best import highlights
from core.findings.rows import points
from core.findings.rows.other_texts import other_texts, rows_elsewhere
from dashboard.charts.curve import styles_of
from dashboard.charts.elements.style import SeriesStyle, Theme
from dashboard.charts.elements.swatch import HEIGHT, WIDTH, picture
from dashboard.shared.binding import BOUND, check_link
from dashboard.shared.pickers import Chosen

SERIES = "explore_series"  # key of the field and parameter of the address
ELSEWHERE = "explore_elsewhere"  # key of the field and parameter of the address
THERE = "explore_series_there"  # session key of the last run's options
# Streamlit cannot show pictures in the options of a bound field, whose texts are the values in the address.
LIST = """
.st-key-{key} [role="toolbar"] {{ flex-direction: column; gap: 2px; }}
.st-key-{key} button[data-variant] {{
  justify-content: flex-start; text-align: left; width: 100%; max-width: 100%;
  height: auto; min-height: 28px; border-radius: 6px;
}}
.st-key-{key} button[data-variant] > div {{ justify-content: flex-start; flex-grow: 1; }}
.st-key-{key} button[data-variant] p {{ white-space: normal; overflow-wrap: anywhere; }}
.st-key-{key} button[data-variant]::before {{
  content: ""; flex: none; width: {width}px; height: {height}px; margin-right: 8px;
}}
"""
SAMPLE = (
    '.st-key-{key} button[data-variant]:nth-of-type({place})::before {{ background: url("{source}") no-repeat; }}\n'
)
NONE = points.collapse(pd.DataFrame())  # no points


class Picked(NamedTuple):
    """The highlighted series, and whether charts show the others in grey."""

    names: list[str]
    others: bool


def pick_elsewhere(chosen: Chosen, frame: pd.DataFrame) -> pd.DataFrame:
    """Show the field of the variants on other texts, if there are any; return their points, none by default.

    `frame` has the rows of the model.
    """
    given = frame, chosen.measured, chosen.methods, chosen.axis
    rows = rows_elsewhere(*given)
    if rows.empty or not points.is_dense(chosen.measured).any():
        return NONE
    with st.sidebar:
        wanted = st.toggle(
            "Other texts, hollow",
            key=ELSEWHERE,
            help="Also draws variants with another text, precision, calibration or training data, and divides each "
            "perplexity by that of dense on the same text. Only these multiples compare.",
            **BOUND,
        )
    return other_texts(*given) if wanted else NONE


def pick_series(found: pd.DataFrame, elsewhere: pd.DataFrame, theme: Theme) -> Picked:
    """Show the list of the series of the points `found`, with a sample of each line and marker.

    `highlights.default_series` are preselected. The series `elsewhere`, on other texts, follow.
    """
    both, default = pd.concat([found, elsewhere]), highlights.default_series(found)
    options = list(dict.fromkeys(both["series_label"]))
    if len(options) < 2:
        return Picked(options, False)
    _follow(options, default)
    with st.sidebar:
        styles = styles_of(both, theme, set(elsewhere["series_label"]))
        chosen = show_list(options, default, SERIES, styles)
        others = len(chosen) < len(options) and st.toggle(
            "Show the others in grey", value=True, key="explore_others", help="Context without names.", **BOUND
        )
    return Picked([name for name in options if name in chosen], others)


def show_list(options: Sequence[str], default: Sequence[str], key: str, styles: Mapping[str, SeriesStyle]) -> list[str]:
    """Show series as one list, each with a sample of its line and marker, and return the chosen ones."""
    samples = "".join(
        SAMPLE.format(key=key, place=place, source=picture(styles[name]))
        for place, name in enumerate(options, 1)
        if name in styles
    )
    if samples:
        st.html(f"<style>{LIST.format(key=key, width=WIDTH, height=HEIGHT)}{samples}</style>")
    check_link(key, "series", options)
    return st.pills(
        "Series",
        options,
        selection_mode="multi",
        default=default,
        key=key,
        width="stretch",
        help="Chosen series are named, coloured, tabulated and exported. The curve adds those of the answer.",
        **BOUND,
    )


def _follow(options: list[str], default: list[str]) -> None:
    """Update the choice when the options change: keep the chosen ones, and add new default ones that fit."""
    before = st.session_state.get(THERE, options)
    st.session_state[THERE] = options
    if before != options:
        kept = [name for name in st.session_state.get(SERIES, ()) if name in options]
        both = [*kept, *(name for name in default if name not in kept and name not in before)]
        st.session_state[SERIES] = both if both and len(both) <= highlights.MAX_HIGHLIGHTED else default
