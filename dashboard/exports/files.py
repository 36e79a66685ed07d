"""Figures and tables as files: PNG, SVG, PDF, HTML, CSV, LaTeX, ZIP. The caption, with the protocol, goes along."""

from __future__ import annotations

import io
import math
import re
import textwrap
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from core.analysis.sheets import csv_text
from dashboard.exports import print_figures
from dashboard.exports.browser import kept_browser
from dashboard.exports.print_figures import plain

WIDTHS = {"single column (3.35 in)": 3.35, "double column (6.9 in)": 6.9}
IMAGES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
PIXELS_PER_INCH = 96  # of plotly's images
FONT = 11  # px: 8.25 pt in print
TOP, AXIS, LINE = 28, 44, 13  # px over the plot, for the x axis, for a line of caption
LEGEND_ROW, LEGEND_SYMBOL = 19, 62  # px
Build = Callable[[], go.Figure]  # draws the figure in print colours


@dataclass(frozen=True)
class Item:
    """One thing on a page that can be exported: a table."""

    name: str  # file name without ending
    caption: str
    table: pd.DataFrame


@dataclass(frozen=True)
class Chart(Item):
    """A chart and the table that it is drawn from."""

    build: Build


def for_print(figure: go.Figure, caption: str, width: float) -> tuple[go.Figure, int, int]:
    """Return the figure sized for `width` inches with legend and caption underneath, and its size in pixels."""
    across = round(width * PIXELS_PER_INCH)
    log = figure.layout.yaxis.type == "log"
    labels = figure.layout.yaxis.ticktext or figure.data[0].y
    left = 48 if log else 14 + 6 * max(map(len, labels))
    plot = round(across * 0.6) if log else round(0.7 * (figure.layout.height - 130))
    names = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    entry = 6 * max(map(len, names), default=0)
    columns = max(1, (across - 10) // (entry + LEGEND_SYMBOL))
    legend = LEGEND_ROW * math.ceil(len(names) / columns) if len(names) > 1 else 0
    lines = textwrap.wrap(plain(caption), int(across / 5.3))
    bottom = AXIS + 8 + legend + LINE * len(lines) + 8
    down = TOP + plot + bottom
    figure = go.Figure(figure)
    figure.update_layout(width=across, height=down, autosize=False, font_size=FONT, paper_bgcolor="white")
    right = 12 if isinstance(figure.data[0], go.Scatter) else 60
    figure.update_layout(margin={"t": TOP, "b": bottom, "l": left, "r": right, "autoexpand": False})
    figure.update_layout(legend={"y": -AXIS / plot, "yref": "paper", "yanchor": "top"})
    figure.update_layout(legend={"font_size": FONT, "entrywidth": entry})
    figure.update_layout(title_font_size=FONT)
    figure.update_xaxes(automargin=False, title_font_size=FONT)
    figure.update_yaxes(automargin=False)
    figure.update_traces(textfont_size=FONT - 1, selector={"mode": "markers+text"})
    figure.update_traces(line_width=1.5, selector={"type": "scatter"})
    for trace in figure.select_traces({"type": "scatter"}):
        trace.marker.size = [0, 7] if trace.marker.angleref else 6  # of an arrow only the end has a head
    figure.add_annotation(
        text="<br>".join(lines),
        xref="paper",
        yref="paper",
        x=0,
        y=-(AXIS + 8 + legend) / plot,
        xanchor="left",
        yanchor="top",
        xshift=4 - left,
        align="left",
        showarrow=False,
        font={"size": FONT - 1.5},
    )
    return figure, across, down


def image(item: Chart, format: str, width: float) -> bytes:
    """Return the chart as `png` (300 dots an inch), `svg` or `pdf`: by the browser if there is one, else matplotlib."""
    figure = item.build()
    sized, across, down = for_print(figure, item.caption, width)
    drawn = kept_browser().render(sized, format, across, down, scale=300 / PIXELS_PER_INCH if format == "png" else 1)
    return drawn or print_figures.draw(figure, format, item.caption, width, down / PIXELS_PER_INCH)


def html(item: Chart) -> bytes:
    """Return the chart as one interactive page that needs no network."""
    figure = item.build()
    config = {"displaylogo": False, "responsive": True}
    page = figure.to_html(include_plotlyjs=True, full_html=True, default_height="80vh", config=config)
    caption = plain(item.caption).replace("&", "&amp;").replace("<", "&lt;")
    style = "font: 14px Arial, sans-serif; max-width: 60em; color: #444; margin: 1em"
    return page.replace("</body>", f'<p style="{style}">{caption}</p></body>').encode()


def csv(item: Item) -> bytes:
    """Return the table with the caption, so the protocol, in a last column."""
    return csv_text(item.table.assign(caption=plain(item.caption))).encode()


def latex(item: Item) -> bytes:
    """Return the table in booktabs style; the lowest perplexity at each amount removed is bold."""
    table = item.table.reset_index(drop=True)
    numbers = {
        name: 0 if pd.api.types.is_integer_dtype(table[name]) else 2 for name in table.select_dtypes("number").columns
    }
    style = table.style.hide(axis="index").format(_written, escape="latex", na_rep="--")
    for name, digits in numbers.items():
        style = style.format(partial(_decimals, digits=digits), subset=[name], na_rep="--")
    if {"Perplexity", "Removed"} <= set(table):
        for _, rows in table.groupby("Removed"):
            if len(rows) > 1:
                style = style.highlight_min(subset=(rows.index, ["Perplexity"]), props="textbf:--rwrap;")
    style = style.format_index(escape="latex", axis=1)
    caption = re.sub(r"([&%$#_{}])", r"\\\1", plain(item.caption).replace("\\", r"\textbackslash "))
    text = style.to_latex(
        hrules=True,
        column_format="".join("r" if name in numbers else "l" for name in table.columns),
        caption=caption,
        label="tab:" + re.sub(r"[^\w.-]", "-", item.name),
        position="t",
        position_float="centering",
    )
    return ("% needs \\usepackage{booktabs}\n" + text).encode()


def _written(value) -> str:
    return str(value)


def _decimals(value: float, digits: int) -> str:
    if math.isinf(value):
        return r"$\infty$"
    return f"{value:.{digits}f}"


def bundle(items: Sequence[Item], width: float) -> bytes:
    """Return a ZIP with every item of a page in every format."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for item in items:
            archive.writestr(f"{item.name}.csv", csv(item))
            archive.writestr(f"{item.name}.tex", latex(item))
            if isinstance(item, Chart):
                archive.writestr(f"{item.name}.html", html(item))
                for format in IMAGES:
                    archive.writestr(f"{item.name}.{format}", image(item, format, width))
        captions = "\n\n".join(f"{item.name}: {plain(item.caption)}" for item in items)
        archive.writestr("README.txt", f"Made by Slimscope.\n\n{captions}\n")
    return stream.getvalue()
