"""A plotly figure of `dashboard.charts.figures` drawn with matplotlib: for PNG, SVG and PDF where there is no browser.

It reads the same traces, so both renderings show the same data; only what our figures use is covered: scatter (lines,
markers, error bars), heat maps, horizontal and vertical lines, texts, arrows, linear, log and category axes.
"""

from __future__ import annotations

import io
import textwrap

import numpy as np
import plotly.graph_objects as go

DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}
MARKERS = {
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
    "cross": "P",
    "x": "X",
    "diamond-tall": "d",
}
ACROSS = {"right": (3.5, "left"), "left": (-3.5, "right"), "center": (0, "center")}  # points, alignment
UP = {"middle": (0, "center"), "top": (3, "bottom"), "bottom": (-3, "top")}
FONT_SIZE = 8.0


def draw(figure: go.Figure, format: str, caption: str, width: float, height: float) -> bytes:
    """Return the figure as `png`, `svg` or `pdf`, of that many inches, with the caption underneath."""
    import matplotlib

    with matplotlib.rc_context(
        {
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
            "font.size": FONT_SIZE,
            "font.family": ["Liberation Sans", "DejaVu Sans"],
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.6,
        }
    ):
        from matplotlib.figure import Figure

        lines = textwrap.wrap(plain(caption), int(width * 22))
        below = 0.125 * len(lines) + 0.06
        page = Figure(figsize=(width, height), layout="constrained")
        upper, lower = page.subfigures(2, 1, squeeze=False, height_ratios=[height - below, below])[:, 0]
        axes = upper.subplots()
        for trace in figure.data:
            if isinstance(trace, go.Heatmap):
                _heatmap(upper, axes, trace)
            else:
                _scatter(axes, trace)
        upper.suptitle(figure.layout.title.text or "", x=0.06 / width, ha="left", fontsize=FONT_SIZE)
        _decorate(figure, axes)
        _finish_axes(figure, axes)
        handles, labels = axes.get_legend_handles_labels()
        if len(handles) > 1:
            columns = max(1, int(width * 16 / max(len(label) + 6 for label in labels)))
            upper.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, handlelength=2.6)
        lower.text(0.06 / width, 1, "\n".join(lines), va="top", fontsize=FONT_SIZE - 1)
        stream = io.BytesIO()
        page.savefig(stream, format=format, dpi=300)
        return stream.getvalue()


def plain(text: str) -> str:
    """Return a text without plotly's or Markdown's marks."""
    for mark in ("<b>", "</b>", "**", "`"):
        text = text.replace(mark, "")
    return text.replace("<br>", " ")


def _texts(axes, trace: go.Scatter) -> None:
    sides = trace.textposition
    for index, (x, y, text) in enumerate(zip(trace.x, trace.y, trace.text, strict=True)):
        up, across = (sides if isinstance(sides, str) else sides[index]).split()
        axes.annotate(
            text.replace("<br>", "\n").replace("&nbsp;", " "),
            (x, y),
            (ACROSS[across][0], UP[up][0]),
            textcoords="offset points",
            color=trace.textfont.color,
            ha=ACROSS[across][1],
            va=UP[up][1],
            fontsize=FONT_SIZE - 1,
        )


def _arrow(axes, trace: go.Scatter) -> None:
    start, end = zip(trace.x, trace.y, strict=True)
    arrow = {"arrowstyle": "-|>,head_length=0.25,head_width=0.12", "color": trace.marker.color, "linewidth": 0.7}
    axes.annotate("", end, start, arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0})


def _values(data) -> np.ndarray:
    if len(data) and isinstance(data[0], str):
        return np.array(data)
    return np.array([np.nan if value is None else value for value in data], dtype=float)


def _scatter(axes, trace: go.Scatter) -> None:
    if "text" in trace.mode:
        return _texts(axes, trace)
    if trace.marker.angleref:
        return _arrow(axes, trace)
    x, y = _values(trace.x), _values(trace.y)
    color = trace.line.color or trace.marker.color
    label = trace.name if trace.showlegend is not False else None
    if "lines" in trace.mode:
        style = DASHES[trace.line.dash or "solid"]
        axes.plot(
            x,
            y,
            color=color,
            linestyle=style,
            linewidth=1.1,
            zorder=2,
            label=None if "markers" in trace.mode else label,
        )
    if "markers" not in trace.mode:
        return
    symbols = trace.marker.symbol
    symbols = [symbols] * max(len(x), 1) if isinstance(symbols, str) else list(symbols)
    edge = trace.marker.line.color or trace.marker.color
    fill = trace.marker.color
    looks = {symbol: _look(symbol, fill, edge) | {"color": color} for symbol in dict.fromkeys(symbols)}
    for symbol, look in looks.items():
        chosen = [index for index, its in enumerate(symbols[: len(x)]) if its == symbol]
        axes.plot(x[chosen], y[chosen], linestyle="none", zorder=3, **look)
    for error, name in ((trace.error_y, "yerr"), (trace.error_x, "xerr")):
        if error.array is not None:
            minus = error.array if error.arrayminus is None else error.arrayminus
            axes.errorbar(
                x,
                y,
                **{name: np.array([_values(minus), _values(error.array)])},
                fmt="none",
                ecolor=error.color,
                elinewidth=0.7,
                capsize=1.5,
                zorder=2,
            )
    if label:
        style = DASHES[trace.line.dash or "solid"] if "lines" in trace.mode else "none"
        axes.plot([], [], linestyle=style, linewidth=1.1, label=label, **looks[symbols[0]])


def _look(symbol: str, fill: str, edge: str) -> dict:
    """Return a marker's look; what plotly draws with a dot inside is half full, as matplotlib has no such marker."""
    shape, hollow, _ = symbol.removesuffix("-dot").partition("-open")
    marker = {"marker": MARKERS[shape], "markeredgecolor": edge, "markersize": 4}
    fill = "none" if hollow else fill
    if symbol.endswith("-dot"):
        return marker | {"fillstyle": "left", "markerfacecolor": edge, "markerfacecoloralt": fill}
    return marker | {"markerfacecolor": fill}


def _heatmap(page, axes, trace: go.Heatmap) -> None:
    z = np.array(trace.z, dtype=float)
    image = axes.pcolormesh(np.arange(z.shape[1] + 1) - 0.5, np.arange(z.shape[0] + 1) - 0.5, z, cmap="cividis")
    axes.set_yticks(range(z.shape[0]), list(trace.y))
    step = max(1, z.shape[1] // 10)
    axes.set_xticks(range(0, z.shape[1], step), [str(value) for value in trace.x][::step])
    bar = page.colorbar(image, ax=axes, fraction=0.04)
    bar.outline.set_visible(False)


def _decorate(figure: go.Figure, axes) -> None:
    for shape in figure.layout.shapes:
        style = {
            "color": shape.line.color,
            "linewidth": 0.8,
            "linestyle": DASHES[shape.line.dash or "solid"],
            "zorder": 1,
        }
        if shape.y0 == shape.y1:
            axes.axhline(shape.y0, **style)
        else:
            axes.axvline(shape.x0, **style)


def _finish_axes(figure: go.Figure, axes) -> None:
    from matplotlib.ticker import NullFormatter, PercentFormatter

    horizontal, vertical = figure.layout.xaxis, figure.layout.yaxis
    axes.set_xlabel(horizontal.title.text or "")
    if horizontal.tickformat == ".0%":
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if horizontal.ticktext is not None:
        axes.set_xticks(range(len(horizontal.ticktext)), horizontal.ticktext)
    if horizontal.range:
        axes.set_xlim(*horizontal.range)
    if vertical.type == "log":
        axes.set_yscale("log")
        axes.set_ylim(10 ** vertical.range[0], 10 ** vertical.range[1])
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif vertical.range:
        axes.set_ylim(*vertical.range)
    if vertical.tickvals is not None:
        axes.set_yticks(vertical.tickvals, vertical.ticktext)
    if vertical.autorange == "reversed":
        axes.invert_yaxis()
    if vertical.showgrid is not False:
        axes.grid(axis="y", color=vertical.gridcolor, linewidth=0.5, zorder=0)
    elif horizontal.showgrid is not False:
        axes.grid(axis="x", color=horizontal.gridcolor, linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)
