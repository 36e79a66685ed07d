"""Chart of a family tree, whose nodes are coloured by their multiple of the dense perplexity."""

import math
from collections.abc import Collection, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.findings.inside.family import path_to
from dashboard.charts.elements.drawing import UNSEEN, Drawing
from dashboard.charts.elements.style import Properties, Theme
from dashboard.charts.family.layout import DIVERGED, FOLDED, KNOWN, OPENED, SYMBOLS, Point, Tree, lay_out, marks_of

CAP = 10.0  # multiple of dense at the end of the colours
TICKS = (1, 1.2, 1.5, 2, 3, 5, CAP)
ABOVE, BELOW = 104, 34  # px above and below all rows
LETTER, TEXT = 5.7, 11  # px: width and height of a letter
LEVEL, MOST_LEVELS = 11, 6  # px of a level, and levels that are indented further than the one before
ASIDE = 8  # px between the longest name and the tree
MARK, RING, BAR = 12, 20, 320  # px: marks, rings, length of the colour bar
NARROWEST = 4.0  # x at the right, so that the texts of folded rows have room
COLOURED = (KNOWN, DIVERGED, FOLDED)


def family_tree(
    nodes: pd.DataFrame, theme: Theme, family: str, opened: Collection[str], title: str, chosen: Sequence[str] = ()
) -> go.Figure:
    """Draw the tree of a model's variants, rows of `core.findings.inside.family.family_nodes`.

    It shows the methods of one family, the `opened` ones in full. `title` is the quantity that the colour shows. The
    `chosen` nodes are marked, and the path from the dense model to the first one is thicker.
    """
    tree = lay_out(nodes, family, opened)
    drawing = Drawing(theme, ABOVE + BELOW + tree.pixels, title)
    last_opened = max(y for _, y in tree.places.values())
    columns = [((x, 0.0), (x, last_opened)) for x in tree.columns.values()]
    _draw_lines(drawing, columns, theme.grid, 1)
    _draw_lines(drawing, tree.lines, theme.muted, 1)
    path = [tree.branches[node] for node in path_to(nodes, chosen[0]) if node in tree.branches] if chosen else []
    _draw_lines(drawing, path, theme.text, 2.5)
    for node, color in zip(chosen, (theme.text, theme.muted), strict=False):
        if place := tree.places.get(node):  # its row is open
            drawing.ring(place[:1], place[1:], RING, color)
    _draw_marks(drawing, marks_of(nodes, tree), theme)
    folded = [fold for fold in tree.folds if not fold.opened]
    x, y = ([fold.place[axis] for fold in folded] for axis in (0, 1))
    mark = UNSEEN | {"size": MARK}
    drawing.label(x, y, [fold.text for fold in folded], "middle right", TEXT, theme.muted, marker=mark)
    name_rows(drawing, tree)
    _name_amounts(drawing, tree)
    drawing.lay_out(margin={"t": ABOVE, "b": BELOW})
    return drawing.figure()


def _draw_lines(drawing: Drawing, lines: Sequence[Sequence[Point]], color: str, width: float) -> None:
    """Draw several lines as one trace."""
    corners = [corner for line in lines for corner in (*line, (None, None))]
    drawing.line([x for x, _ in corners], [y for _, y in corners], color, width)


def _draw_marks(drawing: Drawing, found: pd.DataFrame, theme: Theme) -> None:
    """Draw the rows of `marks_of`: those with a known multiple in its colour, the others in grey."""
    coloured = found["kind"].isin(COLOURED) & found["times_dense"].notna()
    _draw(drawing, found[coloured], _colours(found[coloured], theme))
    for kind, symbol in SYMBOLS.items():
        grey = {"size": MARK, "color": theme.muted, "line": {"width": 2 * symbol.endswith("-open")}}
        _draw(drawing, found[~coloured & (found["kind"] == kind)], grey)
        if kind not in (KNOWN, OPENED) and (found["kind"] == kind).any():
            drawing.entry(kind, kind, "markers", grey | {"symbol": symbol})


def _draw(drawing: Drawing, rows: pd.DataFrame, marker: Properties) -> None:
    if rows.empty:
        return
    drawing.scatter(
        x=rows["x"],
        y=rows["y"],
        mode="markers",
        marker=marker | {"symbol": list(rows["symbol"])},
        customdata=rows[["target", "hover_text"]].to_numpy(),
        hovertemplate="%{customdata[1]}<extra></extra>",
        cliponaxis=False,
    )


def _colours(rows: pd.DataFrame, theme: Theme) -> Properties:
    """Return markers coloured by the logarithm of the multiple of dense, with the colour bar above the tree."""
    return {
        "size": MARK,
        "color": [math.log(min(max(times, 1.0), CAP)) for times in rows["times_dense"]],
        "colorscale": theme.scale,
        "cmin": 0,
        "cmax": math.log(CAP),
        "line": {"width": 1, "color": theme.muted},  # the ends of the scale are close to a page's colour
        "colorbar": {
            "orientation": "h",
            "thickness": 10,
            "outlinewidth": 0,
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "ypad": 28,
            "lenmode": "pixels",
            "len": BAR,
            "tickvals": [math.log(tick) for tick in TICKS],
            "ticktext": [f"{tick:g}" if tick < CAP else f"≥ {tick:g}" for tick in TICKS],
            "tickangle": 0,
            "ticklabeloverflow": "allow",
            "tickfont": {"size": TEXT},
        },
    }


def name_rows(drawing: Drawing, tree: Tree) -> None:
    """Write the names of the rows into the left margin, indented by their level; prints have the labels of the axis."""
    indents = [LEVEL * min(row.level, MOST_LEVELS) for row in tree.rows]
    letters = [max(map(len, row.lines.split("<br>"))) for row in tree.rows]
    left = round(max(LETTER * count + indent for count, indent in zip(letters, indents, strict=True))) + ASIDE
    heights, names = [row.height for row in tree.rows], [row.lines for row in tree.rows]
    axis = {"range": [tree.pixels, 0], "tickvals": heights, "ticktext": names, "showticklabels": False}
    drawing.lay_out(margin={"l": left}, yaxis=axis | {"showgrid": False, "showline": False, "ticks": ""})
    place = {"xref": "paper", "x": 0, "xanchor": "left", "yanchor": "middle", "align": "left", "showarrow": False}
    for name, indent, height in zip(names, indents, heights, strict=True):
        drawing.write(text=name, xshift=indent - left, y=height, font={"size": TEXT}, **place)


def _name_amounts(drawing: Drawing, tree: Tree) -> None:
    """Write the amounts above the tree."""
    xs = tree.columns or {"": 0.0}
    most = max(x for x, _ in tree.places.values())
    drawing.lay_out(
        xaxis={
            "side": "top",
            "range": [-0.3, max(most, NARROWEST) + 0.5],
            "tickvals": list(xs.values()),
            "ticktext": list(xs),
            "title": {"text": "Amount of the first stage" if tree.columns else ""},
            "showline": False,
            "showgrid": False,
            "ticks": "",
        },
    )
