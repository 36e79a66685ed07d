"""Texts of a printed chart: names at line ends, a legend in columns, and wrapped titles and captions.

Widths are measured on the drawn letters.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, cast

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.text import Annotation, Text

from dashboard.charts.elements.labels import spread
from dashboard.exports.print_traces import FONT_SIZE, FONTS, PATTERN, Entry

EDGE, GAP = 0.03, 0.08  # inches: around the page, and between its parts
MOST_NAMED = 6  # lines that are named at their ends, at most
LINE_HEIGHT = 1.15 * FONT_SIZE / 72  # inches
ASIDE = 0.06  # inches from the plot to a line's name
MOVED = 0.6  # of a line's height: the largest distance of a name from the end of its line
CAPTION_SIZE = 7.5  # points
MOST_COLUMNS = 6
MOST_STAGGERED, CLOSEST = 4, 0.05  # of the names of an x axis: lines, and inches between two
SAMPLE, TO_TEXT, BETWEEN = 2.4, 0.5, 1.2  # legend lengths, in letter heights
MOST_LINES, BROKEN = 3, 1.6  # lines of an entry, and the height of each further line; the first has 1.3
LEGEND_SIZES = (FONT_SIZE, 6.5, 5.0, 4.0)  # points


class Part(NamedTuple):
    """A part of the page below the plot, with its height in inches."""

    artist: Legend | Text
    tall: float


def place_below(page: Figure, parts: Sequence[Part | None], bottom: float) -> None:
    """Place the parts one below the other, from `bottom` inches above the lower edge of the page."""
    width, tall = page.get_size_inches()
    for part in parts:
        if part:
            bottom -= GAP + part.tall
            move = part.artist.set_position if isinstance(part.artist, Text) else part.artist.set_bbox_to_anchor
            move((EDGE / width, bottom / tall))  # its lower left corner, in shares of the page


def page_of(axes: Axes) -> Figure:
    """Return the page of the axes."""
    return cast(Figure, axes.get_figure(root=True))


def renderer(page: Figure) -> RendererAgg:
    """Return the renderer that measures letters."""
    found: RendererAgg = cast(FigureCanvasAgg, page.canvas).get_renderer()
    return found


@lru_cache(maxsize=4096)
def wide(text: str, size: float = FONT_SIZE) -> float:
    """Return the width of a line of text in inches."""
    font = FontProperties(family=FONTS, size=size)
    return float(RendererAgg(1, 1, 72).get_text_width_height_descent(text, font, False)[0] / 72)


def lines(text: str, room: float, size: float = FONT_SIZE) -> str:
    """Break a text at spaces into lines that are at most `room` inches wide."""
    broken = [""]
    for word in text.split(" "):
        longer = f"{broken[-1]} {word}".lstrip()
        if broken[-1] and wide(longer, size) > room:
            broken.append(word)
        else:
            broken[-1] = longer
    return "\n".join(broken)


def break_title(text: str, room: float) -> str:
    """Return the title of an axis; one wider than `room` inches is broken before its bracket."""
    if wide(text) <= room:
        return text
    return "\n".join(lines(part, room) for part in text.replace(" (", "\n(").split("\n"))


def keep_inside(axes: Axes) -> None:
    """Move the title of the x axis onto the page, and the chart's texts off the y axis."""
    page, inner = page_of(axes), axes.get_window_extent()
    page.draw_without_rendering()
    title = axes.xaxis.label.get_window_extent(renderer(page))
    moved = max(0.0, title.x1 - page.bbox.x1) + min(0.0, title.x0 - page.bbox.x0)
    axes.xaxis.set_label_coords(0.5 - moved / inner.width, (title.y1 - inner.y0) / inner.height)
    axes.xaxis.label.set_verticalalignment("top")
    for text in axes.texts:
        if isinstance(text, Annotation) and text.get_text():
            left = text.get_window_extent(renderer(page)).x0
            over = max(0.0, inner.x0 - left) * 72 / page.dpi
            text.xyann = (text.xyann[0] + over + (2 if over else 0), text.xyann[1])


def stagger(axes: Axes, room: float) -> None:
    """Write the names of the x axis in turn in several lines if they would overlap in one; `room` is its length."""
    names, (left, right) = [text.get_text() for text in axes.get_xticklabels()], axes.get_xlim()
    places = [room * (place - left) / (right - left) for place in axes.get_xticks()]

    def fits(count: int) -> bool:
        pairs = zip(zip(places, names, strict=True), zip(places[count:], names[count:], strict=True), strict=False)
        return all(end - start > (wide(one) + wide(other)) / 2 + CLOSEST for (start, one), (end, other) in pairs)

    count = next((count for count in range(1, MOST_STAGGERED) if fits(count)), MOST_STAGGERED)
    if count > 1:
        axes.set_xticks(axes.get_xticks(), ["\n" * (place % count) + name for place, name in enumerate(names)])


def at_ends(axes: Axes, figure: go.Figure, entries: Sequence[Entry], room: float) -> set[str]:
    """Write names at the right ends of lines, at most `room` inches wide; return the groups that need no legend.

    Lines that end before the others stay in the legend. No name is written if there are many lines or names would
    overlap.
    """
    ends = _ends(figure)
    left, right = axes.get_xlim()
    far = max((x for x, _ in ends.values()), default=right) - 0.02 * (right - left)
    named = [entry for entry in entries if entry.group in ends and ends[entry.group][0] >= far]
    box, aside = axes.get_window_extent(), _aside(axes)
    if not 1 < len(named) <= MOST_NAMED or max(wide(entry.name) for entry in named) + aside > room:
        return set()
    ends_there = [axes.transData.transform(ends[entry.group])[1] for entry in named]
    heights = [(height - box.y0) / box.height for height in ends_there]
    step = LINE_HEIGHT * page_of(axes).dpi / box.height
    places = spread(heights, [step] * len(heights))
    if max(abs(place - height) for place, height in zip(places, heights, strict=True)) > MOVED * step:
        return set()
    for entry, place in zip(named, places, strict=True):
        axes.annotate(
            entry.name,
            (1, place),
            (72 * aside, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=entry.sample.get_color(),
            va="center",
        )
    return {entry.group for entry in named} | _labelled(figure, entries)


def _aside(axes: Axes) -> float:
    """Return the distance in inches from the plot to the names: beyond the labels of the last points."""
    page, box = page_of(axes), axes.get_window_extent()
    page.draw_without_rendering()
    over = [text.get_window_extent(renderer(page)).x1 - box.x1 for text in axes.texts if text.get_text()]
    return float(max([0.0, *over]) / page.dpi + ASIDE)


def _ends(figure: go.Figure) -> dict[str, tuple[float, float]]:
    """Return the right end of each line with markers, by its group; diverged points count as ends, too."""
    ends: dict[str, tuple[float, float]] = {}
    for trace in figure.data:
        line = trace.mode == "lines+markers" and not trace.marker.angleref
        if line or (trace.mode == "markers" and "triangle-up" in (trace.marker.symbol or "")):
            there = [
                (x, y) for x, y in zip(trace.x, trace.y, strict=True) if x is not None and y is not None and y == y
            ]
            group = trace.legendgroup or trace.name
            if there and not isinstance(there[0][0], str) and (line or group in ends):
                ends[group] = max(there) if line else max(ends[group], max(there))
    return ends


def _labelled(figure: go.Figure, entries: Sequence[Entry]) -> set[str]:
    """Return the groups that a text in the chart already names, such as the dense model's."""
    texts = [text for trace in figure.data if "text" in (trace.mode or "") for text in trace.text]
    return {entry.group for entry in entries if any(text.startswith(f"{entry.name.lower()} ") for text in texts)}


def legend(page: Figure, entries: Sequence[Entry], room: float, most: float) -> Part | None:
    """Draw a legend within `room` inches, in the number of columns that makes it lowest.

    Its font is smaller if it would be taller than `most` inches. One series alone needs no legend: None.
    """
    if not entries or (len(entries) == 1 and not entries[0].group.startswith(PATTERN)):
        return None
    glued = [entry.name.replace(" + ", " +\N{NO-BREAK SPACE}") for entry in entries]  # a plus stays with the next name
    for size in LEGEND_SIZES:
        names, columns = _columns(glued, room, size)
        drawn = page.legend(
            [entry.sample for entry in entries],
            names,
            loc="lower left",
            ncols=columns,
            fontsize=size,
            frameon=False,
            handlelength=SAMPLE,
            handletextpad=TO_TEXT,
            columnspacing=BETWEEN,
            labelspacing=0.3,
            borderpad=0,
            borderaxespad=0,
        )
        tall = drawn.get_window_extent(renderer(page)).height / page.dpi
        if tall <= most or size == LEGEND_SIZES[-1]:
            break
        drawn.remove()
    return Part(drawn, tall)


def _columns(names: Sequence[str], room: float, size: float) -> tuple[list[str], int]:
    """Return the names, wrapped if that makes the legend lower, and the number of columns."""
    inset, between = (SAMPLE + TO_TEXT) * size / 72, BETWEEN * size / 72
    best, lowest = ([lines(name, room - inset, size) for name in names], 1), math.inf
    for wanted in range(min(MOST_COLUMNS, len(names)), 0, -1):
        columns = -(-len(names) // -(-len(names) // wanted))
        share = (room - (columns - 1) * between) / columns - inset
        for shown in (list(names), [lines(name, share, size) for name in names]):
            # Matplotlib makes the first columns longer by one.
            parts = [part.tolist() for part in np.array_split(np.array(shown, dtype=object), columns)]
            widths = [max(wide(line, size) for name in part for line in name.split("\n")) for part in parts]
            high = max(sum(1.3 + BROKEN * name.count("\n") for name in part) for part in parts)
            fits = sum(widths) + columns * inset + (columns - 1) * between <= room
            if fits and high < lowest and max(name.count("\n") for name in shown) < MOST_LINES:
                best, lowest = (shown, columns), high
    return best


def caption(page: Figure, text: str, room: float) -> Part | None:
    """Write the caption in lines of at most `room` inches; None without a caption."""
    if not text:
        return None
    broken = lines(text, room, CAPTION_SIZE)
    drawn = page.text(0, 0, broken, va="bottom", fontsize=CAPTION_SIZE)
    return Part(drawn, drawn.get_window_extent(renderer(page)).height / page.dpi)
