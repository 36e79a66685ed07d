"""Print version of a chart with several panels, in the order of the screen version.

Its y axes have names, as in `dashboard.charts.scores`, or numbers, as in `dashboard.charts.fewshot`.
"""

from __future__ import annotations

import plotly.graph_objects as go
from matplotlib.figure import Figure

from dashboard.exports import print_labels
from dashboard.exports.print_labels import EDGE, GAP
from dashboard.exports.print_traces import draw_trace

BETWEEN = 0.1  # inches between panels
ROW, HEAD, TICKS, TITLE = 0.16, 0.22, 0.2, 0.18  # inches: per variant, above each panel, and below the last panels
PLOT, NUMBERS = 1.4, 0.5  # inches: height of a panel with an axis of numbers, and width of that axis
SCALE = 0.9  # of the marks


def several(figure: go.Figure) -> bool:
    """Return whether a chart has more than one panel."""
    return len(list(figure.select_xaxes())) > 1


def draw(page: Figure, figure: go.Figure, width: float, caption: str) -> None:
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
