"""Chart of a search: the effect of each measured chain against its size, the prior's expectation and the budget."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import Theme

HEIGHT = 420  # px
WORST = 5.0  # times dense at the upper edge; worse chains are drawn there
RING = 17  # px
EDGE = 0.05  # of the height, between the outermost points and the edges
ROOM = 1.15  # of the sizes, beyond the outermost points


def search_chart(
    tried: pd.DataFrame, front: pd.DataFrame, max_mb: float, best: str | None, size_title: str, theme: Theme
) -> go.Figure:
    """Draw the perplexity of measured chains as a multiple of dense, by size, and the one that leads, if any.

    `tried` has chain, megabytes, times_dense, windows and eliminated of each measured chain. `front` has the megabytes
    and times_dense that the stored results let expect of the best chain by size.
    """
    drawing = Drawing(theme, HEIGHT, "Perplexity, times dense (log scale, lower is better)", size_title)
    heights = tried["times_dense"].clip(upper=WORST)
    expected = front["megabytes"].tolist(), front["times_dense"].clip(upper=WORST).tolist()
    hover = "expected: %{x:.1f} MB, %{y:.3g} times dense<extra></extra>"
    drawing.line(*expected, theme.muted, 1.5, "dot", name="expected of the best chain", hovertemplate=hover)
    looks = ((True, "eliminated early", "circle-open", theme.muted), (False, "measured", "circle", theme.palette[1]))
    for eliminated, name, symbol, colour in looks:
        part = tried[tried["eliminated"] == eliminated]
        drawing.scatter(
            x=part["megabytes"].tolist(),
            y=heights[part.index].tolist(),
            mode="markers",
            marker={"symbol": symbol, "size": 9, "color": colour, "line": {"color": colour, "width": 1.5}},
            customdata=part[["chain", "times_dense", "windows"]].to_numpy().tolist(),
            hovertemplate="%{customdata[0]}<br>%{x:.1f} MB, %{customdata[1]:.4g} times dense on "
            "%{customdata[2]} windows<extra></extra>",
            name=name,
        )
    leader = tried[tried["chain"] == best]
    x, y = leader["megabytes"].tolist(), heights[leader.index].tolist()
    drawing.ring(x, y, RING, theme.text, name="best so far")
    least, most = min([max_mb, *tried["megabytes"]]), max([max_mb, *tried["megabytes"]])
    low = min([1.0, *heights])
    high = max([1.2, *heights, *front.loc[front["megabytes"] <= most * ROOM, "times_dense"].clip(upper=WORST)[-1:]])
    ends, line = {"x0": max_mb, "x1": max_mb, "y0": 0, "y1": 1}, {"color": theme.text, "dash": "dash", "width": 1.5}
    drawing.lay_out(shapes=[{"type": "line", **ends, "yref": "y domain", "line": line}])
    drawing.write(
        text=f"{max_mb:g} MB", x=max_mb, y=1, yref="y domain", showarrow=False, xanchor="left", yanchor="top", xshift=4
    )
    drawing.lay_out(xaxis={"range": [least / ROOM, most * ROOM]})
    high = max(high, low * 1.1)
    edge = (high / low) ** EDGE
    drawing.log_axis(low / edge, high * edge)
    drawing.across(1.0, {"color": theme.muted, "width": 1, "dash": "dot"})
    return drawing.figure()
