"""Chart of documents: the margins of two variants, a point per document."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.findings.inside.documents import BOTH_RIGHT, BOTH_WRONG, DIRECTIONS, OTHER_WRONG, TO_RIGHT, TO_WRONG
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import SeriesStyle, Theme, faded

HEIGHT, SIZE, SMALL, RING = 460, 8, 5, 18  # px: of the chart, and of its marks
ROOM = 0.05  # of the axes, beyond the outermost points
SYMBOLS = {
    TO_WRONG: "triangle-down",
    TO_RIGHT: "triangle-up",
    BOTH_RIGHT: "circle",
    BOTH_WRONG: "x",
    OTHER_WRONG: "diamond",
}
COLOURS = {TO_WRONG: 4, TO_RIGHT: 1, OTHER_WRONG: 3}  # of the palette; of the other directions, the muted one
HIDDEN = "hidden by the filters"


def margin_chart(
    rows: pd.DataFrame, shown: pd.DataFrame, names: tuple[str, str], theme: Theme, chosen: str | None = None
) -> go.Figure:
    """Draw the margin of the baseline against that of the variant.

    Above the diagonal, compression raised the margin. Documents whose margins are not finite are left out, those that
    are not `shown` are small and grey, and the `chosen` one has a ring.

    `rows` have label, direction, baseline_margin and variant_margin in nats.
    """
    drawing = Drawing(theme, HEIGHT, f"Margin of {names[1]} (nats)", f"Margin of {names[0]} (nats)")
    across, up = _ends(rows["baseline_margin"]), _ends(rows["variant_margin"])
    # The borders between right and wrong, and the diagonal of equal margins.
    diagonal = [max(across[0], up[0]), min(across[1], up[1])]
    for x, y, dash in (([0, 0], up, "solid"), (across, [0, 0], "solid"), (diagonal, diagonal, "dash")):
        drawing.line(x, y, theme.muted, 1.2, dash)
    hidden = rows[~rows["label"].isin(shown["label"])]
    if len(hidden):
        small = {"symbol": "circle", "size": SMALL, "color": faded(theme.muted, theme), "line": {"width": 0}}
        _draw_points(drawing, hidden, HIDDEN, small, names)
    for direction in reversed(DIRECTIONS):  # flips on top
        part = shown[shown["direction"] == direction]
        if len(part):
            colour = theme.palette[COLOURS[direction]] if direction in COLOURS else theme.muted
            mark = SeriesStyle(colour, "solid", SYMBOLS[direction]).marker(theme, size=SIZE)
            _draw_points(drawing, part, direction, mark, names)
    ringed = rows[rows["label"] == chosen]
    if len(ringed):
        drawing.ring(ringed["baseline_margin"], ringed["variant_margin"], RING, theme.text)
    drawing.lay_out(xaxis={"range": across}, yaxis={"range": up}, legend={"traceorder": "reversed"})
    return drawing.figure()


def _ends(margins: pd.Series) -> list[float]:
    """Return the ends of an axis, which include 0 and all finite margins."""
    finite = margins[np.isfinite(margins)]
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    room = ROOM * (high - low) or 1.0
    return [low - room, high + room]


def _draw_points(
    drawing: Drawing, part: pd.DataFrame, name: str, mark: dict[str, object], names: tuple[str, str]
) -> None:
    drawing.scatter(
        x=part["baseline_margin"],
        y=part["variant_margin"],
        mode="markers",
        name=f"{name} ({len(part):,})",
        legendgroup=name,
        marker=mark,
        customdata=part[["label", "direction"]].to_numpy(),
        hovertemplate="<b>%{customdata[0]}</b>, %{customdata[1]}"
        f"<br>{names[0]} %{{x:+.2f}} nats<br>{names[1]} %{{y:+.2f}} nats<extra></extra>",
    )
