"""What names the parts of a printed chart: lines at their ends, a legend in columns, titles and a caption in lines.

Widths are those of the letters as drawn.
"""

from __future__ import annotations

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

from dashboard.charts.labels import spread
from dashboard.exports.print_traces import FONT_SIZE, FONTS, PATTERN, Entry

EDGE, GAP = 0.03, 0.08  # inches: around the page, and between its parts
MOST_NAMED = 6  # lines that may have their names at their ends
LINE_HEIGHT = 1.15 * FONT_SIZE / 72  # inches
ASIDE = 0.06  # inches from the plot to a line's name
MOVED = 0.6  # of a line's height: how far from its line's end a name may stand
CAPTION_SIZE = 7.5  # points
MOST_COLUMNS = 6
SAMPLE, TO_TEXT, BETWEEN = 2.4, 0.5, 1.2  # of a legend: lengths in letter heights
MOST_LINES, BROKEN = 3, 1.6  # of an entry, and what another line of it costs, where one alone costs 1.3
LEGEND_SIZES = (FONT_SIZE, 6.5, 5.0, 4.0)  # points


class Part(NamedTuple):
    """A part of the page under the plot, and how tall it is in inches."""

    artist: Legend | Text
    tall: float

    def place(self, x: float, y: float) -> None:
        """Put its lower left corner there, as shares of the page."""
        if isinstance(self.artist, Text):
            self.artist.set_position((x, y))
        else:
            self.artist.set_bbox_to_anchor((x, y))


def page_of(axes: Axes) -> Figure:
    """Return the page that axes are on."""
    return cast(Figure, axes.get_figure(root=True))


def renderer(page: Figure) -> RendererAgg:
    """Return what knows how wide letters are."""
    return cast(FigureCanvasAgg, page.canvas).get_renderer()


@lru_cache(maxsize=4096)
def wide(text: str, size: float = FONT_SIZE) -> float:
    """Return how wide a line of text is, in inches."""
    font = FontProperties(family=FONTS, size=size)
    return RendererAgg(1, 1, 72).get_text_width_height_descent(text, font, False)[0] / 72


def lines(text: str, room: float, size: float = FONT_SIZE) -> str:
    """Return a text broken into lines that are no wider than `room` inches, where it has spaces."""
    found = [""]
    for word in text.split(" "):
        longer = f"{found[-1]} {word}".lstrip()
        if found[-1] and wide(longer, size) > room:
            found.append(word)
        else:
            found[-1] = longer
    return "\n".join(found)


def break_title(text: str, room: float) -> str:
    """Return an axis' title, before its bracket in another line if it is longer than `room` inches."""
    if wide(text) <= room:
        return text
    return "\n".join(lines(part, room) for part in text.replace(" (", "\n(").split("\n"))


def keep_inside(axes: Axes) -> None:
    """Move the title of the x axis into the page, the chart's texts off the y axis, and ticks off one another."""
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
    """Write every second name along the x axis a line lower, where they would stand on each other."""
    names = [text.get_text() for text in axes.get_xticklabels()]
    if sum(wide(name) + 0.05 for name in names) > room:
        axes.set_xticks(axes.get_xticks(), ["\n" * (place % 2) + name for place, name in enumerate(names)])


def at_ends(axes: Axes, figure: go.Figure, entries: Sequence[Entry], room: float) -> set[str]:
    """Write the lines' names at their right ends, `room` inches wide at most; return the groups that need no legend.

    Those that end before the others keep their place in the legend. No name is written where there are many lines, or
    where names would stand on each other.
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
    return {entry.group for entry in named} | _said(figure, entries)


def _aside(axes: Axes) -> float:
    """Return how many inches right of the plot names begin: beyond what is written at its last points."""
    page, box = page_of(axes), axes.get_window_extent()
    page.draw_without_rendering()
    over = [text.get_window_extent(renderer(page)).x1 - box.x1 for text in axes.texts if text.get_text()]
    return max([0.0, *over]) / page.dpi + ASIDE


def _ends(figure: go.Figure) -> dict[str, tuple[float, float]]:
    """Return the right end of each line that has markers, by its group: what has diverged ends it, too."""
    found: dict[str, tuple[float, float]] = {}
    for trace in figure.data:
        line = trace.mode == "lines+markers" and not trace.marker.angleref
        if line or (trace.mode == "markers" and "triangle-up" in (trace.marker.symbol or "")):
            there = [
                (x, y) for x, y in zip(trace.x, trace.y, strict=True) if x is not None and y is not None and y == y
            ]
            group = trace.legendgroup or trace.name
            if there and not isinstance(there[0][0], str) and (line or group in found):
                found[group] = max(there) if line else max(found[group], max(there))
    return found


def _said(figure: go.Figure, entries: Sequence[Entry]) -> set[str]:
    """Return the groups whose name a text of the chart says already, such as the dense model's."""
    texts = [text for trace in figure.data if "text" in (trace.mode or "") for text in trace.text]
    return {entry.group for entry in entries if any(text.startswith(f"{entry.name.lower()} ") for text in texts)}


def legend(page: Figure, entries: Sequence[Entry], room: float, most: float) -> Part | None:
    """Draw a legend in the columns of `room` inches that make it lowest; None where there is nothing to tell apart.

    Its letters are smaller where it would be taller than `most` inches.
    """
    if not entries or (len(entries) == 1 and not entries[0].group.startswith(PATTERN)):
        return None
    glued = [entry.name.replace(" + ", " +\N{NO-BREAK SPACE}") for entry in entries]  # a line may begin with a plus
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
    """Return the names, broken into lines where that makes a lower legend, and in how many columns they stand."""
    beside, between = (SAMPLE + TO_TEXT) * size / 72, BETWEEN * size / 72
    best, lowest = ([lines(name, room - beside, size) for name in names], 1), math.inf
    for wanted in range(min(MOST_COLUMNS, len(names)), 0, -1):
        columns = -(-len(names) // -(-len(names) // wanted))
        share = (room - (columns - 1) * between) / columns - beside
        for shown in (list(names), [lines(name, share, size) for name in names]):
            # As matplotlib fills them: the first columns are longer by one.
            parts = [part.tolist() for part in np.array_split(np.array(shown, dtype=object), columns)]
            widths = [max(wide(line, size) for name in part for line in name.split("\n")) for part in parts]
            high = max(sum(1.3 + BROKEN * name.count("\n") for name in part) for part in parts)
            fits = sum(widths) + columns * beside + (columns - 1) * between <= room
            if fits and high < lowest and max(name.count("\n") for name in shown) < MOST_LINES:
                best, lowest = (shown, columns), high
    return best


def caption(page: Figure, text: str, room: float) -> Part | None:
    """Write the caption in lines of `room` inches; None where there is none."""
    if not text:
        return None
    broken = lines(text, room, CAPTION_SIZE)
    drawn = page.text(0, 0, broken, va="bottom", fontsize=CAPTION_SIZE)
    return Part(drawn, drawn.get_window_extent(renderer(page)).height / page.dpi)
