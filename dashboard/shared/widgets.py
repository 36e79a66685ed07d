"""Elements that every page uses: charts and tables with their caption and Export menu."""

import json
import re
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.basedatatypes import BaseFigure

from core.base.errors import UserError
from core.findings.sharing import shared
from core.models.catalogue import BY_ID
from core.models.sources import awaited_terms
from core.notation.formatting import capitalise
from core.request.reproduce import reproduce
from core.results import Result
from dashboard.charts.elements.style import LIGHT, Properties, Theme, theme_named
from dashboard.exports import files as exports
from dashboard.exports.pivots import Pivot
from dashboard.shared.binding import UNBOUND, segments

Draw = Callable[[Theme], go.Figure]
FEW = 3  # warnings that are shown unfolded
LONG = 240  # characters; a longer caption is folded after its first sentence
CARDS, FACTS = 12, 5  # rows of a table that a narrow window shows, and values of each that are unfolded
WIDE, NARROW = "wide_", "narrow_"  # starts of keys, which Streamlit turns into CSS classes
CARD_CSS = f"""
@media (min-width: 641px) {{
  [data-testid="stLayoutWrapper"]:has(> [class*="st-key-{NARROW}"]) {{ display: none; }}
}}
@media (max-width: 640px) {{
  [data-testid="stLayoutWrapper"]:has(> [class*="st-key-{WIDE}"]) {{ display: none; }}
}}
[class*="st-key-{NARROW}"] ul {{ list-style: none; margin: 0; padding: 0; }}
[class*="st-key-{NARROW}"] li {{
  border: 1px solid rgba(128, 128, 128, 0.4); border-radius: 8px; padding: 8px 12px; margin: 0 0 8px;
}}
[class*="st-key-{NARROW}"] dl {{
  display: grid; grid-template-columns: minmax(40%, 1fr) auto; gap: 2px 12px; margin: 4px 0 0; font-size: 14px;
}}
[class*="st-key-{NARROW}"] dd {{ margin: 0; text-align: right; }}
[class*="st-key-{NARROW}"] :is(strong, dd) {{ overflow-wrap: anywhere; }}
"""
PARTS = re.compile(r"([+,])(?=[a-z])")  # of a chain's notation, after which a line may break
GROUP = ": "  # between the shared heading of some columns and the name of one
LETTER, EDGES = 7.0, 20  # px of a letter in a table, and of a cell's padding
LINE, ROW = 18.5, 35  # px of a further line of text in a row, and of a row with one line
PLAIN = 8  # bytes of a figure in memory per character of its JSON
CONFIG = {"displayModeBar": False, "displaylogo": False, "responsive": True, "showTips": False}


def page_theme() -> Theme:
    """Return the visitor's theme."""
    return theme_named(st.context.theme.type)


def show_chart(
    name: str,
    draw: Draw,
    caption: str,
    table: pd.DataFrame,
    alt: str,
    *,
    file: str,
    pivots: Sequence[Pivot] = (),
    on_select: Callable[[list[str]], None] | None = None,
    explained: str = "",
    printed: tuple[Draw, str] | None = None,
) -> exports.Item:
    """Show a chart with its caption and Export menu.

    `name` is its key, and `draw` draws it in a theme. The caption is that of the page and of exports, and describes the
    table too, which is exported. `pivots` are tables in the layout of papers, and `file` is the name of the exports.
    `on_select` gets the keys of the chosen points: the clicked one, and others with the shift key. `explained` are
    sentences on the marks of the chart, each after a space; they follow the caption of figures. `printed` draws the
    exported figure, if it differs from that of the page, and explains its marks.
    """

    def clicked() -> None:
        if on_select:
            selected = st.session_state[name].selection.points
            on_select([point["customdata"][0] for point in selected if point.get("customdata")])

    st.plotly_chart(
        _plain(draw, page_theme()),
        key=name,
        theme=None,
        config=CONFIG,
        alt=alt,
        on_select=clicked if on_select else "ignore",
        selection_mode="points",
    )
    build, marks = printed or (draw, explained)
    item = exports.Chart(
        name=file, caption=caption, table=table, pivots=pivots, build=partial(build, LIGHT), marks=marks
    )
    _underneath(name, item, caption + explained)
    return item


class PlainFigure(BaseFigure):  # type: ignore[misc]  # plotly has no types
    """A finished figure as plain data, which Streamlit sends without validating each property."""

    def __init__(self, figure: go.Figure):
        text = figure.to_json(validate=False)
        self._plain: Properties = json.loads(text)
        self._size = PLAIN * len(text)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._size

    def to_dict(self) -> Properties:
        """Return the figure's JSON data."""
        return self._plain


@shared
def _plain(draw: Draw, theme: Theme) -> PlainFigure:
    return PlainFigure(_clickable(draw(theme)))


def _clickable(figure: go.Figure) -> go.Figure:
    """Make a click enlarge its point instead of fading all others, plotly's default."""
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
    lines: int = 1,
    on_select: Callable[[list[int]], None] | None = None,
) -> exports.Item:
    """Show a table with its caption and Export menu.

    Columns such as `A: b` and `A: c` have the shared heading A. `formats` are printf formats of number columns, and
    `widths` are px of text columns with many empty cells, which browsers make too narrow. A row has as many `lines` of
    text, for long texts to wrap. The page shows the caption only if `captioned`, because a chart above may already do.
    `on_select` gets the indices of the ticked rows; the rest is as of `show_chart`.
    """
    columns = {
        column: st.column_config.NumberColumn(format=text) for column, text in formats.items() if column in table
    } | {column: st.column_config.TextColumn(width=width) for column, width in (widths or {}).items()}
    # Any: Streamlit's types lack the positions of columns, which count the index, and its class is not public
    placed: dict[Any, Any] = {place: columns[column] for place, column in enumerate(table, 1) if column in columns}

    def selected() -> None:
        if on_select:
            on_select(list(st.session_state[name].selection.rows))

    with st.container(key=f"{WIDE}{name}"):
        st.dataframe(
            _with_headings(table),
            hide_index=True,
            column_config=placed,
            alt=caption,
            placeholder="–",
            key=name,
            on_select=selected if on_select else "ignore",
            selection_mode="multi-row",
            row_height=round(ROW + (lines - 1) * LINE),
            height="auto" if lines == 1 else "content",
        )
    with st.container(key=f"{NARROW}{name}"):
        st.html(_cards(table, formats))
    item = exports.Item(name=file, caption=caption, table=table, pivots=pivots, formats=formats)
    _underneath(name, item, caption if captioned else "")
    return item


def _with_headings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with two rows of column names if some columns share a heading."""
    names = [str(column).rpartition(GROUP) for column in table]
    if not any(heading for heading, _, _ in names):
        return table
    return table.set_axis(
        pd.MultiIndex.from_tuples([(heading, capitalise(name)) for heading, _, name in names]), axis=1
    )


def fitting_widths(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, int]:
    """Return widths in px that show each text of these columns in full."""
    there = [column for column in columns if column in table]
    longest = {column: max(map(len, [column, *table[column].dropna()])) for column in there}
    return {column: round(LETTER * length) + EDGES for column, length in longest.items()}


def _cards(table: pd.DataFrame, formats: dict[str, str]) -> str:
    """Return a table as HTML for a narrow window: a card for each of the first rows, without empty cells."""
    cards = []
    for row in table.head(CARDS).to_dict("records"):
        texts = {
            str(name): PARTS.sub(r"\1<wbr>", escape(formats[name] % value if name in formats else str(value)))
            for name, value in row.items()
            if pd.notna(value) and value != ""
        }
        (_, title), *rest = texts.items() or [("", "")]
        folded = f"<details><summary>More</summary>{_facts(rest[FACTS:])}</details>" if rest[FACTS:] else ""
        cards.append(f"<li><strong>{title}</strong>{_facts(rest[:FACTS])}{folded}</li>")
    more = len(table) - CARDS
    note = f"<p>{more} more rows: see the export, or a wider window.</p>" if more > 0 else ""
    return f"<style>{CARD_CSS}</style><ul>{''.join(cards)}</ul>{note}"


def _facts(texts: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{text}</dd>' for name, text in texts)}</dl>"


def _underneath(name: str, item: exports.Item, caption: str) -> None:
    """Show the caption, if any, and the Export menu; fold a long caption after its first sentence, the protocol."""
    first, stop, rest = caption, "", ""
    if len(first) > LONG:
        first, stop, rest = caption.partition(". ")
    if caption:
        st.caption(first + stop.strip())
    with st.container(horizontal=True):
        export_menu(name, item)
        if rest:
            with st.popover("Read the notes", icon=":material/info:", key=f"{name}_notes"):
                st.caption(rest)


def show_no_results(sentence: str = "There are no results yet. Run the default model first.") -> None:
    """Show that there are no results, and the link to a first run."""
    st.info(sentence)
    st.page_link("run/view.py", label="Run a model", icon=":material/play_circle:")


def show_download_hint(model: str) -> None:
    """Explain how to download a model whose terms are not accepted yet."""
    if awaited_terms(model) is None:
        return
    st.caption(
        f"{BY_ID[model].label} is not on this machine; this page shows stored results. To run it, choose it on the Run "
        f"page, or use `slimscope fetch {model}`."
    )


def show_command(result: Result, title: str = "") -> None:
    """Show the command that reproduces a variant, below its title if it has one, or why there is none."""
    try:
        command = reproduce(result)
    except UserError as error:
        st.caption(f"This variant cannot be reproduced: {error}")
        return
    if title:
        st.caption(title)
    st.code(command, language=None, wrap_lines=True)  # colours of bash lack contrast


def icon_button(
    label: str,
    icon: str,
    key: str,
    disabled: bool,
    act: Callable[..., None],
    args: tuple[Hashable, ...],
) -> None:
    """Show a button with an icon only, whose label is a tooltip; a click calls `act` with `args`."""
    icon = f":material/{icon}:"
    st.button("", key=key, icon=icon, type="tertiary", help=label, disabled=disabled, on_click=act, args=args)


def show_skipped(warnings: Sequence[str]) -> None:
    """Show warnings of unreadable rows as plain text."""
    if warnings:
        with st.expander(f"{len(warnings)} unreadable", expanded=len(warnings) <= FEW, icon=":material/warning:"):
            st.text("\n".join(warnings))


def export_page(name: str, items: Callable[[], Sequence[exports.Item]]) -> None:
    """Show the button that exports the page as a ZIP with figures of the largest width; a click calls `items`."""
    st.download_button(
        "Export everything on this page (ZIP)",
        lambda: exports.bundle(items(), max(exports.WIDTHS.values())),
        f"{name}.zip",
        "application/zip",
        key=f"{name}_zip",
        on_click="ignore",
        icon=":material/folder_zip:",
    )


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
    width = segments("Width", widths, f"{name}_width", "width", bound=UNBOUND)
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
