"""Drawing of the charts' plotly traces with matplotlib, so that screen and print show the same data.

It covers the trace types of the charts: scatter (lines, markers, error bars, colours of a scale), texts, arrows and
heat maps.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FuncFormatter

FONTS = ["DejaVu Sans"]  # included in matplotlib
FONT_SIZE, TEXT_SIZE = 8.0, 7.0  # points, in print: of a chart, and of texts inside its plot
LINE, MARKER = 1.1, 4.0  # points
SMALL_CELLS = 1000  # cells of a heat map, from which lines between them would cover them
USUAL = 9  # pixels of a marker on a screen
RING = 1.5  # times the usual size, from which a marker is larger in prints, too
PATTERN = "pattern "  # prefix of the groups of legend entries that explain the N:M marks
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}
MARKERS: dict[str, Any] = {  # Any: matplotlib has several types of markers
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "hexagon": "h",
    "pentagon": "p",
    "star": "*",
    "star-diamond": (4, 1, 0),
    "cross": "P",
    "x": "X",
    "line-ns": "|",
    "diamond-tall": "d",
    "diamond-wide": MarkerStyle("d").rotated(deg=90),
}
ACROSS = {"right": (3.5, "left"), "left": (-3.5, "right"), "center": (0, "center")}  # points, alignment
UP = {"middle": (0, "center"), "top": (3, "bottom"), "bottom": (-3, "top")}
BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0}  # of a text, so that no line crosses it
LINES, TEXTS, MARKS = 2, 2.5, 3  # drawing order
SCALE = "cividis"  # the themes' scale


class Entry(NamedTuple):
    """An entry of the legend, with the group of traces that it names."""

    name: str
    group: str
    sample: Line2D


def draw_trace(axes: Axes, trace: go.Scatter | go.Heatmap, scale: float, hidden: Collection[str]) -> Entry | None:
    """Draw a trace with marks scaled by `scale`; return its legend entry, or None.

    Texts in `hidden` are not drawn.
    """
    if isinstance(trace, go.Heatmap):
        _heatmap(axes, trace)
    elif "text" in trace.mode:
        _texts(axes, trace, hidden)
    elif trace.marker.angleref:
        start, end = zip(trace.x, trace.y, strict=True)
        head = {"arrowstyle": "-|>,head_length=0.25,head_width=0.12", "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, start, arrowprops=head | {"color": trace.marker.color, "linewidth": 0.7})
    elif trace.fill:
        axes.fill(_values(trace.x), _values(trace.y), color=trace.fillcolor, linewidth=0, zorder=0)
    elif trace.marker.colorscale:
        _coloured(axes, trace, scale)
    else:
        return _scatter(axes, trace, scale)
    return None


def _texts(axes: Axes, trace: go.Scatter, hidden: Collection[str]) -> None:
    sides = trace.textposition
    for index, (x, y, text) in enumerate(zip(trace.x, trace.y, trace.text, strict=True)):
        if text in hidden:
            continue
        up, across = (sides if isinstance(sides, str) else sides[index]).split()
        axes.annotate(
            text.replace("<br>", "\n").replace("&nbsp;", " "),
            (x, y),
            (ACROSS[across][0], UP[up][0]),
            textcoords="offset points",
            color=trace.textfont.color,
            ha=ACROSS[across][1],
            va=UP[up][1],
            fontsize=TEXT_SIZE,
            zorder=TEXTS,
            bbox=BEHIND,
        )


def _values(data: Sequence[str] | Sequence[float | None] | np.ndarray) -> np.ndarray:
    if len(data) and isinstance(data[0], str):
        return np.array(data)
    return np.array([np.nan if value is None else value for value in data], dtype=float)


def _scatter(axes: Axes, trace: go.Scatter, scale: float) -> Entry | None:
    x, y = _values(trace.x), _values(trace.y)
    color = trace.line.color or trace.marker.color
    line = {"color": color, "linewidth": LINE, "linestyle": "none"}
    if "lines" in trace.mode:
        line["linestyle"] = DASHES[trace.line.dash or "solid"]
        axes.plot(x, y, zorder=LINES, **line)
    if "markers" in trace.mode:
        symbols = trace.marker.symbol
        symbols = [symbols] * max(len(x), 1) if isinstance(symbols, str) else list(symbols)
        looks = {symbol: _look(symbol, trace.marker, scale) for symbol in dict.fromkeys(symbols)}
        for symbol, look in looks.items():
            chosen = [index for index, its in enumerate(symbols[: len(x)]) if its == symbol]
            axes.plot(x[chosen], y[chosen], linestyle="none", zorder=MARKS, **look)
        line |= looks[symbols[0]]
        _bars(axes, trace, x, y)
    if not trace.name or trace.showlegend is False:
        return None
    return Entry(trace.name, trace.legendgroup or trace.name, Line2D([], [], **line))


def _bars(axes: Axes, trace: go.Scatter, x: np.ndarray, y: np.ndarray) -> None:
    for error, across in ((trace.error_y, False), (trace.error_x, True)):
        if error.array is not None:
            minus = error.array if error.arrayminus is None else error.arrayminus
            ends = np.array([_values(minus), _values(error.array)])
            yerr, xerr = (None, ends) if across else (ends, None)
            axes.errorbar(x, y, yerr, xerr, "none", ecolor=error.color, elinewidth=0.7, capsize=1.5, zorder=LINES)


def _look(symbol: str, marker: go.scatter.Marker, scale: float) -> dict[str, Any]:  # Any: as of `Axes.plot`
    """Return a marker's style; matplotlib lacks markers with a dot inside, so these are half filled."""
    fill, edge = marker.color, marker.line.color or marker.color
    name = symbol.removesuffix("-dot").removesuffix("-open")
    times = marker.size / USUAL if isinstance(marker.size, int | float) else 1.0
    size = scale * MARKER * (times if times > RING else 1.0)
    shape = {"marker": MARKERS[name], "markeredgecolor": edge, "markersize": size, "markeredgewidth": 0.8}
    if symbol.endswith("-dot"):
        return shape | {"fillstyle": "left", "markerfacecolor": edge, "markerfacecoloralt": fill}
    return shape | {"markerfacecolor": "none" if symbol.endswith("-open") else fill}


def _heatmap(axes: Axes, trace: go.Heatmap) -> None:
    z = np.array(trace.z, dtype=float)
    low, high = trace.zmin, trace.zmax
    if trace.zmid is not None and low is None:
        high = float(np.nanmax(np.abs(z - trace.zmid)))
        low, high = trace.zmid - high, trace.zmid + high
    edges = (np.arange(size + 1) - 0.5 for size in reversed(z.shape))
    between = 0.25 if z.size < SMALL_CELLS else 0.0
    image = axes.pcolormesh(
        *edges,
        z,
        cmap=LinearSegmentedColormap.from_list("", list(trace.colorscale)),
        vmin=low,
        vmax=high,
        edgecolors="white" if between else "face",
        linewidth=between,
    )
    step = max(1, z.shape[1] // 10)
    axes.set_xticks(range(0, z.shape[1], step), [str(value) for value in trace.x][::step])
    step = 1 if isinstance(trace.y[0], str) else max(1, z.shape[0] // 8)
    axes.set_yticks(range(0, z.shape[0], step), [str(value) for value in trace.y][::step])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = _colour_bar(axes, image)
    if trace.colorbar.tickvals is None:
        bar.formatter = FuncFormatter(lambda value, place: f"{value:g}{trace.colorbar.ticksuffix or ''}")
    else:
        bar.set_ticks(trace.colorbar.tickvals, labels=trace.colorbar.ticktext)


def _coloured(axes: Axes, trace: go.Scatter, scale: float) -> None:
    """Draw markers whose colours are numbers on a scale."""
    x, y, values, symbols = _values(trace.x), _values(trace.y), _values(trace.marker.color), list(trace.marker.symbol)
    for symbol in dict.fromkeys(symbols):
        chosen = [index for index, its in enumerate(symbols) if its == symbol]
        image = axes.scatter(
            x[chosen],
            y[chosen],
            s=(scale * MARKER) ** 2,
            c=values[chosen],
            marker=MARKERS[symbol],
            cmap=SCALE,
            vmin=trace.marker.cmin,
            vmax=trace.marker.cmax,
            edgecolors=trace.marker.line.color,
            linewidths=0.4,
            zorder=MARKS,
        )
    bar = _colour_bar(axes, image)
    bar.set_ticks(list(trace.marker.colorbar.tickvals), labels=list(trace.marker.colorbar.ticktext))


def _colour_bar(axes: Axes, image: ScalarMappable) -> Colorbar:
    """Draw the colour bar at the right of the plot."""
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.025, 0, 0.03, 1)))
    bar.outline.set_visible(False)
    axes.child_axes[0].tick_params(width=0.6)
    return bar
