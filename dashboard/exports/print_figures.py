"""Print version of a plotly figure of `dashboard.charts`: a page of exact width, drawn with matplotlib.

It draws the figure's own traces, so that both versions show the same data. Unlike the screen version, it writes the
metric at its axis, names lines at their ends if there is room, and is never taller than a column of a paper.

Matplotlib's font is embedded, so that a figure is the same on every machine.
"""

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
from dashboard.exports import print_labels
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
BETWEEN = 0.1  # inches between panels
ROW, HEAD, TICKS, TITLE = 0.16, 0.22, 0.2, 0.18  # inches: per variant, above each panel, and below the last panels
PLOT, NUMBERS = 1.4, 0.5  # inches: height of a panel with an axis of numbers, and width of that axis
SCALE = 0.9  # of the marks


@contextmanager
def _settings() -> Iterator[None]:
    with _one_at_a_time, matplotlib.rc_context(STYLE):
        yield


def draw(figure: go.Figure, width: float, caption: str = "") -> Figure:
    """Draw a figure on a page `width` inches wide and as tall as needed, with an optional caption below."""
    with _settings():
        page = Figure(figsize=(width, TALLEST))
        FigureCanvasAgg(page)
        if len(list(figure.select_xaxes())) > 1:
            _draw_panels(page, figure, width, caption)
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


def _draw_panels(page: Figure, figure: go.Figure, width: float, caption: str) -> None:
    """Draw the panels on a page `width` inches wide, and set its height to fit them."""
    names = [axis.plotly_name.removeprefix("xaxis") for axis in figure.select_xaxes()]
    across = len({figure.layout[f"xaxis{name}"].domain[0] for name in names})
    down = -(-len(names) // across)
    rows = [text.replace("<br>", "\n") for text in figure.layout.yaxis.ticktext or ()]  # none: an axis of numbers
    lines = sum(1 + row.count("\n") for row in rows)
    left = EDGE + 0.08 + max((print_labels.wide(line) for row in rows for line in row.split("\n")), default=NUMBERS)
    wide = (width - left - EDGE - BETWEEN * (across - 1)) / across
    high = ROW * max(lines, len(rows) + 1) if rows else PLOT
    measured, amounts = figure.layout.title.text, [axis.title.text for axis in figure.select_xaxes()][-1]
    entries = []
    places = []
    for place, name in enumerate(names):
        axes = page.add_axes((0.1, 0.1, 0.1, 0.1))
        places.append((axes, place % across, place // across))
        for trace in figure.data:
            if (trace.xaxis or "x") == f"x{name}":
                entry = draw_trace(axes, trace, SCALE, ())
                entries += [entry] if entry else []
        x, y = figure.layout[f"xaxis{name}"], figure.layout[f"yaxis{name}"]
        axes.set_xlim(*x.range)
        axes.set_ylim(*y.range)
        if rows:
            axes.set_yticks(y.tickvals, rows if y.showticklabels else [""] * len(rows))
        else:
            axes.tick_params(axis="y", labelleft=y.showticklabels)
            axes.set_ylabel(print_labels.break_title(measured, high) if y.showticklabels else "")
        if x.tickvals is not None:
            axes.set_xticks(x.tickvals, x.ticktext)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelbottom=x.showticklabels is not False)
        axes.grid(axis="x" if rows else "y", color=x.gridcolor, linewidth=0.5)
        axes.set_axisbelow(True)
        head = figure.layout.annotations[place].text.replace("<b>", "").replace("</b>", "").replace("<br>", " ")
        if print_labels.wide(head) > wide:
            head = head.partition(",")[0]
        axes.set_title(head, loc="left", fontsize="medium", pad=2)
    legend = print_labels.legend(page, entries, width - 2 * EDGE, high)
    under = print_labels.caption(page, caption, width - 2 * EDGE)
    title = print_labels.break_title(measured if rows else amounts, width - left - EDGE)
    titled = TITLE + print_labels.LINE_HEIGHT * title.count("\n")
    rest = TICKS + titled + 2 * EDGE + sum(GAP + part.tall for part in (legend, under) if part)
    tall = down * (high + HEAD) + rest
    page.set_size_inches(width, tall)
    for axes, column, row in places:
        bottom = tall - EDGE - (row + 1) * (high + HEAD)
        axes.set_position(((left + column * (wide + BETWEEN)) / width, bottom / tall, wide / width, high / tall))
    bottom = rest - EDGE - TICKS - titled
    page.text((left + (width - EDGE - left) / 2) / width, bottom / tall, title, ha="center", va="bottom")
    print_labels.place_below(page, (legend, under), bottom)
