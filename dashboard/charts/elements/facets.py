"""Several panels with separate axes in one chart."""

from __future__ import annotations

from dashboard.charts.elements.drawing import Drawing

GAP = 0.05  # of the width, between two panels


def axes(drawing: Drawing, place: int, across: int, down: int, around: int, title: int) -> tuple[str, str]:
    """Add the axes of one panel to the figure; return their names, such as `x2` and `y2`.

    `around` are the pixels outside all panels, and `title` the pixels above each panel if there are several columns.
    """
    column, row = place % across, place // across
    gap = GAP if across > 1 else 0.0
    wide, high = (1 - gap * (across - 1)) / across, 1 / down
    room = title / (drawing.layout["height"] - around) if across > 1 else 0.0
    number = str(place + 1) if place else ""
    x, y = f"x{number}", f"y{number}"
    left, top = column * (wide + gap), 1 - row * high
    drawing.lay_out(
        **{
            f"xaxis{number}": {
                **drawing.layout["xaxis"],
                "domain": [left, left + wide],
                "anchor": y,
                "showticklabels": row == down - 1 or place + across >= down * across,
            },
            f"yaxis{number}": {
                **drawing.layout["yaxis"],
                "domain": [top - high, top - room],
                "anchor": x,
            },
        }
    )
    return x, y


def title(drawing: Drawing, axes: tuple[str, str], text: str, color: str) -> None:
    """Write a title above a panel."""
    drawing.write(
        text=text,
        xref=f"{axes[0]} domain",
        yref=f"{axes[1]} domain",
        x=0,
        y=1,
        xanchor="left",
        yanchor="bottom",
        align="left",
        showarrow=False,
        font={"size": 11, "color": color},  # two columns fit a phone
    )
