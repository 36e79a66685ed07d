"""Map of a number of each matrix, by block and role."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from core.findings.inside.layers import COUNTS
from dashboard.charts.elements import marks
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.figures import SCREEN
from dashboard.charts.elements.style import Theme

NUMBERS = dict.fromkeys(COUNTS, ("d", ".0f")) | {"perplexity_ratio": (".3~g", ".4f")}  # colour bar, hover text
PERCENT = (".3~g", ".2f")  # of other columns
UNSEEN = "rgba(0, 0, 0, 0)"
PLAIN = {"showgrid": False, "showline": False}  # of the axes
CELL = 20  # pixels of a mark that receives clicks
BELOW, ABOVE = "#2b7bba", "#c0392b"  # colours of the largest differences


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

    Matrices with the same role in a block, such as those of experts, share a cell with their mean.

    Args:
        layers: Columns block, role and `column`; also name where cells can be clicked.
        theme: Colours.
        column: The number to draw.
        title: Title of the chart.
        of: Column of reports whose difference `column` is; it gives the unit, and zero the middle of the colours.
        chosen: Name of the matrix to mark.
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
        colorbar={"tickformat": few, "ticksuffix": unit, "thickness": 12, "outlinewidth": 0},
        hovertemplate=f"block %{{x}}, %{{y}}<br>{title} %{{z:{sign}{exact}}}{unit}<extra></extra>",
        **({"colorscale": theme.scale} | colours),
    )
    if "name" in layers:
        written = f"{{:{sign}{exact}}}{unit}"
        highest = _highest(there, column)
        several = f", the highest of {{}}, mean {written}"
        texts = [
            f"{title} {written.format(scale * value)}" + (several.format(shared, scale * mean) if shared > 1 else "")
            for value, shared, mean in highest[[column, "shared", "mean"]].itertuples(index=False)
        ]
        _click_marks(drawing, highest, texts)
        framed = there[there["name"] == chosen]
        look = {"symbol": "square-open", "meta": SCREEN}
        marks.ring(drawing, framed["block"], framed["role"], CELL, theme.text, **look)
    drawing.lay_out(
        xaxis={
            "dtick": max(1, len(blocks) // 10),
            "autorangeoptions": {"minallowed": blocks[0] - 0.5, "maxallowed": blocks[-1] + 0.5},
            **PLAIN,
        },
        yaxis={"autorange": "reversed", "ticks": "", **PLAIN},
    )
    return drawing.figure()


def _highest(layers: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the matrix with the highest number of each cell, with the mean and the number of those that share it."""
    cells = layers.groupby(["block", "role"], sort=False)[column]
    marked = layers.assign(mean=cells.transform("mean"), shared=cells.transform("size"))
    return marked.loc[cells.idxmax()]


def _click_marks(drawing: Drawing, layers: pd.DataFrame, texts: Sequence[str]) -> None:
    """Add an invisible mark with a text to each cell, because the cells of a heat map themselves cannot be chosen."""
    drawing.scatter(
        x=layers["block"],
        y=layers["role"],
        mode="markers",
        marker={"symbol": "square", "size": CELL, "color": UNSEEN},
        customdata=layers[["name"]].to_numpy().tolist(),
        text=texts,
        hovertemplate="%{customdata[0]}<br>%{text}<extra></extra>",
        meta=SCREEN,
    )
