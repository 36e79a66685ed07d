"""Where labels stand: beside their markers, on no other label and, where there is room, on no line.

Places are shares of the plot's width and height, (0, 0) at its lower left. They are worked out for a narrow screen or
a print of one column; a wider plot only has more room.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.formatting import format_number
from dashboard.charts.marks import is_hollow

Place = tuple[float, float]
LETTER, LINE = 0.0195, 0.054  # of a label's text
PATTERN = (0.074, LINE)  # the size of a label that is a pattern
MARKER = 0.015  # from a marker's middle to its edge
GAP = 0.024  # from a marker's middle to its label
FEW_COVERED = 1  # places that a name may cover before a shorter one is better
LONGEST = 16  # letters of a line at the end of a curve
STACKED = 0.12  # diverged points nearer than this stand under one stack of labels
ACROSS = {"right": 1, "left": -1, "center": 0}
UP = {"middle": 0, "top": 1, "bottom": -1}
SIDES = ("middle right", "middle left", "top right", "bottom right", "top left", "bottom left", "top center")


class Label(NamedTuple):
    """Where a label is."""

    middle: Place
    size: Place

    def overlaps(self, other: Label) -> bool:
        """Whether the labels lie on each other."""
        apart = zip(self.middle, other.middle, self.size, other.size, strict=True)
        return all(abs(a - b) < (one + two) / 2 for a, b, one, two in apart)


def place_diverged_labels(points: pd.DataFrame, column: str, span: Place) -> pd.DataFrame:
    """Return diverged points with the `text` over each, its `side` and its `level` where several stand near."""
    points = points.sort_values(column)
    levels = _levels([(x - span[0]) / (span[1] - span[0]) for x in points[column]])
    parts = zip(points["pattern"], points["value"].map(format_number), strict=True)
    texts = [f"{pattern} {value}" if is_hollow(pattern) else value for pattern, value in parts]
    raised = [text + "<br>&nbsp;" * level for text, level in zip(texts, levels, strict=True)]  # at any size of letters
    return points.assign(text=raised, side="top center", level=levels)


def place_labels(points: pd.DataFrame, column: str, span: Place, height: Place) -> pd.DataFrame:
    """Return the points with a pattern, which is their `text`, and the `side` with room for it, on a log axis.

    Where every side is taken by another label there is none: the marker says the pattern, too.
    """
    decades = math.log10(height[1] / height[0])
    across = (points[column] - span[0]) / (span[1] - span[0])
    up = points["value"].map(lambda value: math.log10(value / height[0]) / decades)
    places = pd.DataFrame({"x": across, "y": up})
    hollow = points["pattern"].map(is_hollow).astype(bool)
    lines = points[~hollow].sort_values(column).groupby("series")
    others = [place for _, part in lines for place in along(places.loc[part.index].to_numpy())]
    found = points[hollow].sort_values("value")
    sides = _sides(list(places.loc[found.index].itertuples(index=False, name=None)), others)
    found = found.assign(place=found["value"], text=found["pattern"], side=sides)
    return found[found["side"] != ""]


def spread(wanted: Sequence[float], tall: Sequence[float]) -> list[float]:
    """Return the heights of labels at the plot's right, each as near to where it is `wanted` as the others let it be.

    No two overlap, each being `tall` (a share of the plot's height, as all heights are), and all keep their order.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    groups: list[list[int]] = []  # of labels that touch, lowest first

    def ends(group: list[int]) -> tuple[float, float]:
        whole = sum(tall[place] for place in group)
        middles, below = [], 0.0
        for place in group:
            middles.append(wanted[place] - below - tall[place] / 2)
            below += tall[place]
        low = min(max(sum(middles) / len(middles), 0.0), max(1 - whole, 0.0))
        return low, low + whole

    for place in order:
        groups.append([place])
        while len(groups) > 1 and ends(groups[-2])[1] > ends(groups[-1])[0]:
            last = groups.pop()
            groups[-1] += last
    found = dict.fromkeys(order, 0.0)
    for group in groups:
        low, _ = ends(group)
        for place in group:
            found[place] = low + tall[place] / 2
            low += tall[place]
    return [found[place] for place in range(len(wanted))]


def wrapped(name: str) -> str:
    """Return a series' name in lines short enough to stand beside a plot on a phone."""
    return "<br>".join(textwrap.wrap(name, LONGEST, break_long_words=False, break_on_hyphens=False))


def _levels(xs: Sequence[float]) -> list[int]:
    """Return the level of each label over markers that lie at one height: 0 is the lowest."""
    found: list[int] = []
    for index, x in enumerate(xs):
        taken = {level for other, level in zip(xs[:index], found, strict=True) if abs(other - x) < STACKED}
        found.append(next(level for level in range(len(xs)) if level not in taken))
    return found


def named(
    markers: Sequence[Place],
    names: Sequence[Sequence[str]],
    others: Sequence[Place],
    sides: Sequence[str] = SIDES,
    taken: Sequence[Label] = (),
    lesser: Sequence[Place] = (),
) -> list[tuple[str, str]]:
    """Return (text, side) of each marker: the first of its names for which a side has room, ("", "") where none has.

    The first markers, names and sides come first. `taken` are labels that are there, `others` places that only a last
    name may cover where there is nothing better, and `lesser` ones any. A name may have several lines, parted by
    `<br>`.
    """
    there, found = list(taken), []
    for marker, mine in zip(markers, names, strict=True):
        chosen = "", ""
        for text in mine:
            every = [*markers, *others, *lesser]
            label, side, wrong = _best(marker, size_of(text), [marker], there, every, sides)
            free = not _near([other for other in markers if other != marker], label.middle, _reach(label))
            covered = _near(others, label.middle, _reach(label))
            if not wrong and free and (text == mine[-1] or covered <= FEW_COVERED):
                there.append(label)
                chosen = text, side
                break
        found.append(chosen)
    return found


def label_of(marker: Place, text: str, side: str) -> Label:
    """Return where the label of a text is on a side of a marker."""
    return _beside(marker, size_of(text), side)


def size_of(text: str) -> Place:
    """Return the room that a text of one or more lines takes."""
    lines = text.split("<br>")
    return LETTER * max(map(len, lines)), LINE * len(lines)


def _sides(markers: Sequence[Place], lines: Sequence[Place]) -> list[str]:
    """Return the side of each marker on which its pattern is best seen, `lines` being places on lines; "" for none."""
    taken: list[Label] = []
    found: list[str] = []
    for marker in markers:
        label, side, _ = _best(marker, PATTERN, markers, taken, lines, SIDES)
        if _overlaps(label, taken):
            found.append("")
            continue
        taken.append(label)
        found.append(side)
    return found


def _best(
    marker: Place,
    size: Place,
    markers: Sequence[Place],
    taken: Sequence[Label],
    others: Sequence[Place],
    sides: Sequence[str],
) -> tuple[Label, str, int]:
    """Return the best label of a size beside a marker, its side, and what is wrong there."""
    places = [_beside(marker, size, side) for side in sides]
    costs = [_cost(label, marker, markers, taken, others) for label in places]
    best = costs.index(min(costs))
    return places[best], sides[best], costs[best][0]


def _beside(marker: Place, size: Place, side: str) -> Label:
    up, across = side.split()
    wide, high = size
    return Label((marker[0] + ACROSS[across] * (GAP + wide / 2), marker[1] + UP[up] * (GAP + high / 2)), size)


def _cost(
    label: Label, marker: Place, markers: Sequence[Place], taken: Sequence[Label], others: Sequence[Place]
) -> tuple[int, int]:
    """Return what is wrong with a label there, then how many places it covers."""
    wide = label.size[0]
    outside = not wide / 2 <= label.middle[0] <= 1 - wide / 2
    mistaken = min(markers, key=lambda other: math.dist(other, label.middle)) != marker
    return outside + mistaken + _overlaps(label, taken), _near([*markers, *others], label.middle, _reach(label))


def _reach(label: Label) -> Place:
    """Return how far from a label's middle markers must be, across and up, so as not to be covered."""
    return label.size[0] / 2 + MARKER, label.size[1] / 2 + MARKER


def _overlaps(label: Label, taken: Sequence[Label]) -> int:
    """Return how many of the labels that are there a label would lie on."""
    return sum(map(label.overlaps, taken))


def _near(places: Sequence[Place], middle: Place, reach: Place) -> int:
    return int((np.abs(np.array(places).reshape(-1, 2) - middle) < reach).all(axis=1).sum())


def along(corners: np.ndarray, steps: int = 12) -> list[Place]:
    """Return places on the line through `corners` (n, 2), `steps` from each to the next."""
    at = np.linspace(0, len(corners) - 1, steps * (len(corners) - 1) + 1)
    xs, ys = (np.interp(at, range(len(corners)), part) for part in corners.T)
    return list(zip(xs, ys, strict=True))
