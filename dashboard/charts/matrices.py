"""Maps of a number of each matrix and of a part of one, and histograms: of the matrices, and of the weights of one."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.findings.inside.layers import COUNTS
from dashboard.charts.elements.drawing import SCREEN, UNSEEN, Drawing
from dashboard.charts.elements.style import Properties, Theme

NUMBERS = dict.fromkeys(COUNTS, ("d", ".0f")) | {"perplexity_ratio": (".3~g", ".4f")}  # colour bar, hover text
PERCENT = (".3~g", ".2f")  # of other columns
BAR = {"thickness": 12, "outlinewidth": 0}  # of the colours
PLAIN = {"showgrid": False, "showline": False}  # of the axes
CELL = 20  # pixels of a mark that receives clicks
BELOW, ABOVE = "#2b7bba", "#c0392b"  # colours of the largest differences
PATCH_HEIGHT = 380  # pixels
NAMES = {0: "kept", 1: "zero"}  # of the values of a mask
BINS = 24
WEIGHT_BINS = 80
HEIGHT = 260  # pixels
MARK = 14  # pixels: length of the mark of a matrix
OUTSIDE = 0.0005  # share of the weights at each end that the histogram leaves out


def scale_of(column: str) -> tuple[float, str]:
    """Return the factor and the unit with which a column is shown."""
    return (1, "") if column in NUMBERS else (100, " %")


def layer_heatmap(
    layers: pd.DataFrame,
    theme: Theme,
    column: str,
    title: str,
    *,
    of: str | None = None,
    chosen: str | None = None,
) -> go.Figure:
    """Draw a column of a layer report (sparsity, error, bits) or of a sensitivity scan, by block and role.

    Matrices with the same role in a block, such as those of experts, share a cell with their mean. `layers` have the
    columns block, role and `column`, and also name where cells can be clicked; `chosen` is the name to mark.

    If `column` is a difference, it is that of the column `of` of reports, which gives the unit, and zero is the middle
    of the colours.
    """
    there = layers.dropna(subset=column)
    roles, blocks = list(dict.fromkeys(there["role"])), range(layers["block"].min(), layers["block"].max() + 1)
    grid = there.pivot_table(index="role", columns="block", values=column).reindex(index=roles, columns=blocks)
    drawing = Drawing(theme, 130 + 28 * len(roles), title, "Block")
    (scale, unit), (few, exact) = scale_of(of or column), NUMBERS.get(of or column, PERCENT)
    sign = "+" if of else ""
    colours = {"colorscale": [[0, BELOW], [0.5, theme.grid], [1, ABOVE]], "zmid": 0} if of else {}
    drawing.trace(
        "heatmap",
        z=scale * grid.to_numpy(),
        x=list(blocks),
        y=roles,
        xgap=1,
        ygap=1,
        colorbar=BAR | {"tickformat": few, "ticksuffix": unit},
        hovertemplate=f"block %{{x}}, %{{y}}<br>{title} %{{z:{sign}{exact}}}{unit}<extra></extra>",
        **({"colorscale": theme.scale} | colours),
    )
    if "name" in layers:
        written = f"{{:{sign}{exact}}}{unit}"
        cells = there.groupby(["block", "role"], sort=False)[column]
        marked = there.assign(mean=cells.transform("mean"), shared=cells.transform("size"))
        highest = marked.loc[cells.idxmax()]
        several = f", the highest of {{}}, mean {written}"
        texts = [
            f"{title} {written.format(scale * value)}" + (several.format(shared, scale * mean) if shared > 1 else "")
            for value, shared, mean in highest[[column, "shared", "mean"]].itertuples(index=False)
        ]
        # Invisible marks with texts, because the cells of a heat map themselves cannot be chosen.
        drawing.scatter(
            x=highest["block"],
            y=highest["role"],
            mode="markers",
            marker={"symbol": "square", "size": CELL, "color": UNSEEN["color"]},
            customdata=highest[["name"]].to_numpy().tolist(),
            text=texts,
            hovertemplate="%{customdata[0]}<br>%{text}<extra></extra>",
            meta=SCREEN,
        )
        framed = there[there["name"] == chosen]
        look = {"symbol": "square-open", "meta": SCREEN}
        drawing.ring(framed["block"], framed["role"], CELL, theme.text, **look)
    drawing.lay_out(
        xaxis={
            "dtick": max(1, len(blocks) // 10),
            "autorangeoptions": {"minallowed": blocks[0] - 0.5, "maxallowed": blocks[-1] + 0.5},
            **PLAIN,
        },
        yaxis={"autorange": "reversed", "ticks": "", **PLAIN},
    )
    return drawing.figure()


def weight_patch(weights: np.ndarray, origin: tuple[int, int], most: float, theme: Theme, title: str) -> go.Figure:
    """Draw a part of a matrix, (rows, columns), in colours whose middle is zero.

    `origin` is the index of its first output and its first input. `most` is the absolute weight of the strongest
    colour, so that several parts are comparable.
    """
    colours = {"colorscale": [[0, BELOW], [0.5, theme.paper], [1, ABOVE]], "zmin": -most, "zmax": most, "zmid": 0}
    hover = "output %{y}, input %{x}<br>weight %{z:.4g}<extra></extra>"
    return _draw(weights, origin, theme, title, colorbar=BAR | {"tickformat": ".2g"}, hovertemplate=hover, **colours)


def mask_patch(zeros: np.ndarray, origin: tuple[int, int], theme: Theme, title: str) -> go.Figure:
    """Draw which weights of a part of a matrix are zero, (rows, columns); `origin` is as of `weight_patch`."""
    bar = BAR | {"tickvals": list(NAMES), "ticktext": list(NAMES.values())}
    colours = {"colorscale": [[0, theme.palette[1]], [0.5, theme.palette[1]], [0.5, theme.grid], [1, theme.grid]]}
    names = np.where(zeros, NAMES[1], NAMES[0])
    hover = "output %{y}, input %{x}<br>%{text}<extra></extra>"
    more = {"zmin": 0, "zmax": 1, "text": names, "hovertemplate": hover, "colorbar": bar, **colours}
    return _draw(zeros.astype(int), origin, theme, title, **more)


def _draw(values: np.ndarray, origin: tuple[int, int], theme: Theme, title: str, **trace: object) -> go.Figure:
    rows, columns = values.shape
    drawing = Drawing(theme, PATCH_HEIGHT, title, "Input")
    x, y = (list(range(first, first + size)) for first, size in zip(origin[::-1], (columns, rows), strict=True))
    drawing.trace("heatmap", z=values, x=x, y=y, **trace)
    drawing.lay_out(xaxis=PLAIN, yaxis={"autorange": "reversed", "title": {"text": "Output"}, **PLAIN})
    return drawing.figure()


def number_histogram(values: pd.Series, theme: Theme, title: str, chosen: str) -> go.Figure:
    """Draw how many matrices have which number, with a mark for each matrix and a line for the `chosen` one.

    `values` are by the names of the matrices, and `title` is the name of the number.
    """
    counts, edges = np.histogram(values, BINS)
    drawing = Drawing(theme, HEIGHT, "Matrices", title)
    _steps(drawing, edges, counts, {"color": theme.palette[1], "width": 1}, theme.palette[5], "matrices")
    drawing.scatter(
        x=values.tolist(),
        y=[0] * len(values),
        mode="markers",
        marker={"symbol": "line-ns-open", "size": MARK, "color": theme.text},
        customdata=[[name] for name in values.index],
        hovertemplate="%{customdata[0]}<br>%{x:.3g}<extra></extra>",
        name="one matrix",
    )
    if chosen in values:
        ends = [values[chosen]] * 2, [0, int(counts.max())]
        drawing.line(*ends, theme.text, 2, "dash", name="chosen matrix")
    return drawing.figure()


def weight_histogram(weights: Mapping[str, np.ndarray], theme: Theme) -> go.Figure:
    """Draw the densities of the nonzero weights of some matrices, (N,) each by name, in bins that all share."""
    every = np.concatenate(list(weights.values()))
    low, high = (float(np.quantile(every, share)) for share in (OUTSIDE, 1 - OUTSIDE))
    edges = np.linspace(low, high, WEIGHT_BINS + 1)
    drawing = Drawing(theme, HEIGHT, "Share of all weights", "Weight")
    lines = ({"color": theme.muted, "width": 1, "dash": "dot"}, {"color": theme.palette[1], "width": 2})
    for (name, values), line in zip(weights.items(), lines, strict=True):
        _steps(drawing, edges, np.histogram(values, edges)[0] / len(every), line, None, name)
    return drawing.figure()


def _steps(
    drawing: Drawing, edges: np.ndarray, counts: np.ndarray, line: Properties, fill: str | None, name: str
) -> None:
    """Draw bins as the outline of their bars."""
    x, y = np.repeat(edges, 2)[1:-1], np.repeat(counts, 2)
    if fill:
        drawing.area(np.concatenate([x, x[::-1]]), np.concatenate([y, np.zeros(len(y))]), fill)
    hover = f"{name}<br>%{{x:.3g}}: %{{y:.3g}}<extra></extra>"
    drawing.scatter(x=x, y=y, mode="lines", line=line, name=name, hovertemplate=hover)
