"""Figures and tables as files: PDF, PNG, SVG, HTML, CSV, LaTeX, ZIP. The caption, with the protocol, goes along."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
import plotly.graph_objects as go

from core.analysis.sheets import csv_text
from dashboard.exports import latex as tex
from dashboard.exports.pivots import Pivot, wide

WIDTHS = {"one column, 3.25 in": 3.25, "two columns, 6.75 in": 6.75}
IMAGES = {"pdf": "application/pdf", "png": "image/png", "svg": "image/svg+xml"}
DPI = (300, 600)
Build = Callable[[], go.Figure]  # draws the figure in print colours


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing on a page that can be exported: a table."""

    name: str  # file name without ending, of `dashboard.exports.names`
    caption: str
    table: pd.DataFrame
    pivots: Sequence[Pivot] = ()  # as a paper prints it, instead of the table
    formats: Mapping[str, str] = field(default_factory=dict)  # printf formats of number columns


@dataclass(frozen=True, kw_only=True)
class Chart(Item):
    """A chart and the table that it is drawn from."""

    build: Build


def image(item: Chart, format: str, width: float, dpi: int = DPI[0], captioned: bool = False) -> bytes:
    """Return the chart as `pdf`, `svg` or `png` (of `dpi` dots an inch), `width` inches wide."""
    (drawn,) = images(item, item.build(), width, (format,), dpi, captioned).values()
    return drawn


def images(
    item: Chart, figure: go.Figure, width: float, formats: Sequence[str], dpi: int = DPI[0], captioned: bool = False
) -> dict[str, bytes]:
    """Return the item's figure, drawn once, in each of the formats."""
    from dashboard.exports import print_figures  # matplotlib, which takes long to load

    title, caption = figure.layout.title.text or "", plain(item.caption)
    whole = go.Figure(figure)  # which plotly looks through, so that each property is of one kind
    page = print_figures.draw(whole, width, caption if captioned else "")
    return {format: print_figures.save(page, format, title, caption, dpi) for format in formats}


def html(item: Chart) -> bytes:
    """Return the chart as one interactive page that needs no network."""
    return _page(item, item.build(), True)


def _page(item: Chart, figure: go.Figure, library: bool | str) -> bytes:
    config = {"displaylogo": False, "responsive": True}
    page = go.Figure(figure).to_html(include_plotlyjs=library, full_html=True, default_height="80vh", config=config)
    caption = _no_markup(plain(item.caption))
    style = "font: 14px Arial, sans-serif; max-width: 60em; color: #444; margin: 1em"
    title = f"<title>{_no_markup(figure.layout.title.text or item.name)}</title></head>"
    return page.replace("</head>", title, 1).replace("</body>", f'<p style="{style}">{caption}</p></body>').encode()


def _no_markup(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def csv(item: Item) -> bytes:
    """Return the table as papers print it, where it has such a form, with a column for each error."""
    return csv_text(wide(item.pivots)).encode() if item.pivots else csv_long(item)


def csv_long(item: Item) -> bytes:
    """Return every row and column of the table, with the caption, so the protocol, in a last column."""
    return csv_text(item.table.assign(caption=plain(item.caption))).encode()


def latex(item: Item) -> bytes:
    """Return the table in booktabs style: as papers print it where it has such a form, else as it is."""
    caption, label = plain(item.caption), item.name
    if item.pivots:
        return tex.of_pivots(item.pivots, caption, label).encode()
    return tex.of_table(item.table, item.formats, caption, label).encode()


def bundle(items: Sequence[Item], width: float) -> bytes:
    """Return a ZIP with every item of a page in every format; the figures' pages share one copy of plotly."""
    from plotly.offline import get_plotlyjs

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for item in items:
            archive.writestr(f"{item.name}.csv", csv(item))
            archive.writestr(f"{item.name}.tex", latex(item))
            if item.pivots:
                archive.writestr(f"{item.name}-long.csv", csv_long(item))
            if isinstance(item, Chart):
                figure = item.build()
                archive.writestr(f"{item.name}.html", _page(item, figure, "directory"))
                for format, data in images(item, figure, width, tuple(IMAGES)).items():
                    archive.writestr(f"{item.name}.{format}", data)
        if any(isinstance(item, Chart) for item in items):
            archive.writestr("plotly.min.js", get_plotlyjs())
        captions = "\n\n".join(f"{item.name}: {plain(item.caption)}" for item in items)
        archive.writestr("README.txt", f"Made by Slimscope.\n\n{captions}\n")
    return stream.getvalue()


def plain(text: str) -> str:
    """Return a text without plotly's or Markdown's marks."""
    for mark in ("<b>", "</b>", "**", "`"):
        text = text.replace(mark, "")
    return text.replace("<br>", " ")
