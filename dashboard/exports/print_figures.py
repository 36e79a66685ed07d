"""Print version of a plotly figure of `dashboard.charts`: a page of exact width, drawn with matplotlib.

It draws the figure's own traces, so that both versions show the same data. Unlike the screen version, it writes the
metric at its axis, names lines at their ends if there is room, and is never taller than a column of a paper.

Matplotlib's font is embedded, so that a figure is the same on every machine.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from matplotlib.transforms import Bbox
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dashboard.charts.elements.drawing import SCREEN
from dashboard.exports import print_labels, print_panels
from dashboard.exports.print_labels import EDGE, GAP
from dashboard.exports.print_traces import DASHES, FONT_SIZE, FONTS, PATTERN, Entry, draw_trace

TALLEST = 8.5  # inches
LOWEST_PLOT = 1.2  # inches
PRINTED_PIXEL = 0.0073  # inches per pixel of the height of a chart with rows
SCREEN_REST = 135  # pixels of such a chart's height outside its rows
SMALLEST_MARK = 0.6  # factor on the size of marks in dense rows
STYLE: Any = {  # Any: matplotlib types its keys, but not those of `dict.fromkeys`
    "pdf.fonttype": 42,  # TrueType, which publishers require
    "svg.fonttype": "path",  # outlines look the same everywhere
    "svg.hashsalt": "slimscope",  # the same figure gives the same file
    "text.parse_math": False,
    "text.hinting": "none",  # so that letters have their measured width on every page
    "font.family": FONTS,
    "font.size": FONT_SIZE,
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), FONT_SIZE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}
_one_at_a_time = threading.Lock()  # matplotlib's settings are global to the process


@contextmanager
def _settings() -> Iterator[None]:
    with _one_at_a_time, matplotlib.rc_context(STYLE):
        yield


def draw(figure: go.Figure, width: float, caption: str = "") -> Figure:
    """Draw a figure on a page `width` inches wide and as tall as needed, with an optional caption below."""
    with _settings():
        page = Figure(figsize=(width, TALLEST))
        FigureCanvasAgg(page)
        if print_panels.several(figure):
            print_panels.draw(page, figure, width, caption)
            return page
        axes = page.add_axes((0.25, 0.25, 0.5, 0.5))
        wanted = 0.5 * width + 0.35
        if _rows(figure):
            wanted = float(max(LOWEST_PLOT, PRINTED_PIXEL * (figure.layout.height - SCREEN_REST)))
        scale = min(1.0, max(SMALLEST_MARK, (TALLEST - 2.0) / wanted))
        # Marks and legend show the N:M amounts; a column has no room for a text at each point.
        hidden = {
            trace.name.partition(" ")[0] for trace in figure.data if (trace.legendgroup or "").startswith(PATTERN)
        }
        drawn = [draw_trace(axes, trace, scale, hidden) for trace in figure.data if trace.meta != SCREEN]
        entries = [entry for entry in drawn if entry]
        for shape in figure.layout.shapes:
            style = {"color": shape.line.color, "linewidth": 0.6, "linestyle": DASHES[shape.line.dash or "solid"]}
            axes.axhline(shape.y0, zorder=1, **style)
        _finish_axes(figure, axes)
        _lay_out(page, axes, wanted, entries, figure, caption)
        return page


def save(page: Figure, format: str, title: str, caption: str, dpi: int = 300) -> bytes:
    """Return a page as `pdf`, `svg` or `png` (RGB, `dpi` dots per inch), with title and caption as metadata."""
    stream, metadata = io.BytesIO(), {"Title": title, "Creator": "Slimscope"}
    with _settings():
        if format == "pdf":
            page.savefig(stream, format="pdf", metadata=metadata | {"Subject": caption, "CreationDate": None})
        elif format == "svg":
            page.savefig(stream, format="svg", metadata=metadata | {"Description": caption, "Date": None})
        else:
            canvas, text = cast(FigureCanvasAgg, page.canvas), PngInfo()
            page.set_dpi(dpi)
            canvas.draw()
            text.add_itxt("Title", title)
            text.add_itxt("Description", caption)
            image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
            image.save(stream, "PNG", dpi=(dpi, dpi), pnginfo=text)
    return stream.getvalue()


def _rows(figure: go.Figure) -> bool:
    """Return whether a chart has named rows: tasks, or roles of linears."""
    axis = figure.layout.yaxis
    return (axis.type != "log" and axis.ticktext is not None) or isinstance(figure.data[0], go.Heatmap)


def _lay_out(page: Figure, axes: Axes, wanted: float, entries: list[Entry], figure: go.Figure, caption: str) -> None:
    """Place the parts from top to bottom: plot, legend, caption."""
    width = page.get_figwidth()
    # The metric is at its axis; the screen version has it above the plot.
    measured, x_title = figure.layout.title.text or "", figure.layout.xaxis.title.text
    axes.set_xlabel(print_labels.break_title(x_title or measured, width - 2 * EDGE))
    if x_title:
        at = axes.child_axes[0] if axes.child_axes else axes  # in a heat map, at the colour bar
        at.set_ylabel(print_labels.break_title(measured, wanted))
    left, right, low, high = _around(axes)
    across = width - left - right - 2 * EDGE
    if figure.layout.xaxis.ticktext is not None:
        print_labels.stagger(axes, across)
    axes.set_position((0.25, 0.25, across / width, wanted / TALLEST))  # its final size
    if not _rows(figure):
        named = print_labels.at_ends(axes, figure, entries, 0.3 * width)
        entries = [entry for entry in entries if entry.group not in named]
    left, right, low, high = _around(axes)
    across = width - left - right - 2 * EDGE
    under = print_labels.caption(page, caption, width - 2 * EDGE)
    rest = low + high + 2 * EDGE + (GAP + under.tall if under else 0)
    legend = print_labels.legend(page, entries, width - 2 * EDGE, TALLEST - rest - GAP - LOWEST_PLOT)
    rest += GAP + legend.tall if legend else 0
    plot = min(wanted, TALLEST - rest)
    tall = round(plot + rest, 2)
    page.set_size_inches(width, tall)
    bottom = tall - EDGE - high - plot
    axes.set_position(((EDGE + left) / width, bottom / tall, across / width, plot / tall))
    print_labels.place_below(page, (legend, under), bottom - low)
    print_labels.keep_inside(axes)


def _around(axes: Axes) -> tuple[float, float, float, float]:
    """Return how far titles, ticks and labels extend beyond the plot: left, right, below, above, in inches."""
    page, title = print_labels.page_of(axes), axes.xaxis.label
    page.draw_without_rendering()
    inner, renderer = axes.get_window_extent(), print_labels.renderer(page)
    outer = cast(Bbox, axes.get_tightbbox(renderer))
    title.set_visible(False)  # a title that is wider than the plot must not narrow it
    sides = cast(Bbox, axes.get_tightbbox(renderer))
    title.set_visible(True)
    reach = (inner.x0 - sides.x0, sides.x1 - inner.x1, inner.y0 - outer.y0, outer.y1 - inner.y1)
    left, right, low, high = (max(0.0, pixels) / page.dpi for pixels in reach)
    return left, right, low, high


def _finish_axes(figure: go.Figure, axes: Axes) -> None:
    horizontal, vertical = figure.layout.xaxis, figure.layout.yaxis
    if horizontal.tickformat == ".0%":
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    if horizontal.ticktext is not None:
        numeric = isinstance(horizontal.tickvals[0], int | float)
        places = horizontal.tickvals if numeric else range(len(horizontal.ticktext))
        axes.set_xticks(places, horizontal.ticktext)
    if horizontal.range:
        axes.set_xlim(*horizontal.range)
    if vertical.type == "log":
        axes.set_yscale("log")
        axes.set_ylim(10 ** vertical.range[0], 10 ** vertical.range[1])
        axes.yaxis.set_minor_formatter(NullFormatter())
        if vertical.minor.ticks == "":
            axes.minorticks_off()
    elif vertical.range:
        axes.set_ylim(*vertical.range)
    if vertical.tickvals is not None:
        axes.set_yticks(vertical.tickvals, [text.replace("<br>", "\n") for text in vertical.ticktext])
    if vertical.autorange == "reversed":
        axes.invert_yaxis()
    if vertical.showgrid is not False:
        axes.grid(axis="y", color=vertical.gridcolor, linewidth=0.5)
    elif horizontal.showgrid is not False:
        axes.grid(axis="x", color=horizontal.gridcolor, linewidth=0.5)
    axes.set_axisbelow(True)
