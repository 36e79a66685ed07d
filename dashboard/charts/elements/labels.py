"""Placement of labels next to their markers: never on another label and, if there is room, not on a line.

Places are shares of the plot's width and height, (0, 0) at its lower left. They are computed for a narrow screen or a
one-column print; a wider plot has more room.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.notation.formatting import format_number
from dashboard.charts.elements.style import is_hollow

Place = tuple[float, float]
LETTER, LINE = 0.0195, 0.054  # width of a letter, height of a line
PATTERN = (0.074, LINE)  # size of an N:M label
MARKER = 0.015  # from a marker's centre to its edge
GAP = 0.024  # from a marker's centre to its label
LONGEST = 16  # letters per line at the end of a curve
STACKED = 0.1  # diverged points closer than this share one stack of labels
ACROSS = {"right": 1, "left": -1, "center": 0}
UP = {"middle": 0, "top": 1, "bottom": -1}
SIDES = ("middle right", "middle left", "top right", "bottom right", "top left", "bottom left", "top center")


class Label(NamedTuple):
    """A label's place."""

    middle: Place
    size: Place

    def overlaps(self, other: Label) -> bool:
        """Return whether the labels overlap."""
        sides = zip(self.middle, other.middle, self.size, other.size, strict=True)
        return all(abs(a - b) < (one + two) / 2 for a, b, one, two in sides)


def place_diverged_labels(points: pd.DataFrame, column: str, span: Place) -> pd.DataFrame:
    """Return diverged points with the `text` above each, its `side`, and its `level` in a stack of close labels."""
    points = points.sort_values(column)
    levels = _levels([(x - span[0]) / (span[1] - span[0]) for x in points[column]])
    parts = zip(points["pattern"], points["value"].map(format_number), strict=True)
    texts = [f"{pattern} {value}" if is_hollow(pattern) else value for pattern, value in parts]
    raised = [text + "<br>&nbsp;" * level for text, level in zip(texts, levels, strict=True)]  # works at any font size
    return points.assign(text=raised, side="top center", level=levels)


def place_labels(points: pd.DataFrame, column: str, span: Place, height: Place) -> pd.DataFrame:
    """Return the N:M points with their `text` and the `side` with room for it, on a log axis.

    Points without a free side are dropped: their marker shows the N:M amount, too.
    """
    decades = math.log10(height[1] / height[0])
    across = (points[column] - span[0]) / (span[1] - span[0])
    up = points["value"].map(lambda value: math.log10(value / height[0]) / decades)
    places = pd.DataFrame({"x": across, "y": up})
    hollow = points["pattern"].map(is_hollow).astype(bool)
    lines = points[~hollow].sort_values(column).groupby("series_label")
    others = [place for _, part in lines for place in along(places.loc[part.index].to_numpy())]
    shown = points[hollow].sort_values("value")
    sides = _sides(list(places.loc[shown.index].itertuples(index=False, name=None)), others)
    shown = shown.assign(place=shown["value"], text=shown["pattern"], side=sides)
    return shown[shown["side"] != ""]


def spread(wanted: Sequence[float], tall: Sequence[float]) -> list[float]:
    """Return heights of labels at the right of the plot, close to the wanted ones, without overlap and in order.

    All heights, also those of the labels (`tall`), are shares of the plot's height.
    """
    from scipy.optimize import isotonic_regression  # slow to import

    order = np.argsort(wanted, kind="stable")
    high = np.array(tall, float)[order]
    below = np.cumsum(high) - high
    low = isotonic_regression(np.array(wanted, float)[order] - below - high / 2).x
    heights = np.empty(len(order))
    heights[order] = np.clip(low, 0.0, max(1 - high.sum(), 0.0)) + below + high / 2
    return [float(height) for height in heights]


def wrapped(name: str, longest: int = LONGEST) -> str:
    """Wrap a series' name into lines that fit next to a plot on a phone."""
    return "<br>".join(textwrap.wrap(name, longest, break_long_words=False, break_on_hyphens=False))


def _levels(xs: Sequence[float]) -> list[int]:
    """Return the level of each label above markers of equal height; 0 is the lowest."""
    found: list[int] = []
    for index, x in enumerate(xs):
        taken = {level for other, level in zip(xs[:index], found, strict=True) if abs(other - x) < STACKED}
        found.append(next(level for level in range(len(xs)) if level not in taken))
    return found


def named(
    markers: Sequence[Place],
    names: Sequence[str],
    sides: Sequence[str],
    taken: Sequence[Label] = (),
    others: Sequence[Place] = (),
    unnamed: Sequence[Place] = (),
) -> list[str]:
    """Return the side of each marker with room for its name; "" without room.

    The first of the `markers` is the most important, and the first of the `sides` the preferred one. `<br>` separates
    lines of a name. Labels that are `taken` already exist. A name may cover `others` if nothing better exists. From
    `unnamed` markers it keeps at least the distance that it has from its own.
    """
    there, found = list(taken), []
    for marker, text in zip(markers, names, strict=True):
        label, side, faults = _best(marker, size_of(text), [marker], there, [*markers, *others], sides)
        covered = _near([other for other in markers if other != marker], label.middle, _reach(label))
        if faults or covered or _near(unnamed, label.middle, _reach(label, GAP)):
            found.append("")
        else:
            there.append(label)
            found.append(side)
    return found


def label_of(marker: Place, text: str, side: str) -> Label:
    """Return the label of a text on a side of a marker."""
    return _next_to(marker, size_of(text), side)


def size_of(text: str) -> Place:
    """Return the size of a text of one or more lines."""
    lines = text.split("<br>")
    return LETTER * max(map(len, lines)), LINE * len(lines)


def _sides(markers: Sequence[Place], lines: Sequence[Place]) -> list[str]:
    """Return the best side for the N:M label of each marker, given places on lines; "" if no side is free."""
    taken: list[Label] = []
    found: list[str] = []
    for marker in markers:
        label, side, _ = _best(marker, PATTERN, markers, taken, lines, SIDES)
        if free := not any(map(label.overlaps, taken)):
            taken.append(label)
        found.append(side if free else "")
    return found


def _best(
    marker: Place,
    size: Place,
    markers: Sequence[Place],
    taken: Sequence[Label],
    others: Sequence[Place],
    sides: Sequence[str],
) -> tuple[Label, str, int]:
    """Place a label of a size next to a marker; return the best label, its side and the number of its faults."""
    places = [_next_to(marker, size, side) for side in sides]
    costs = [_cost(label, marker, markers, taken, others) for label in places]
    best = costs.index(min(costs))
    return places[best], sides[best], costs[best][0]


def _next_to(marker: Place, size: Place, side: str) -> Label:
    up, across = side.split()
    wide, high = size
    return Label((marker[0] + ACROSS[across] * (GAP + wide / 2), marker[1] + UP[up] * (GAP + high / 2)), size)


def _cost(
    label: Label, marker: Place, markers: Sequence[Place], taken: Sequence[Label], others: Sequence[Place]
) -> tuple[int, int]:
    """Return the number of a label's faults, then the number of places that it covers."""
    outside = any(not size / 2 <= at <= 1 - size / 2 for at, size in zip(label.middle, label.size, strict=True))
    mistaken = min(markers, key=lambda other: math.dist(other, label.middle)) != marker
    return outside + mistaken + sum(map(label.overlaps, taken)), _near([*markers, *others], label.middle, _reach(label))


def _reach(label: Label, distance: float = MARKER) -> Place:
    """Return how far a label extends from its centre, across and up, with a distance around it."""
    return label.size[0] / 2 + distance, label.size[1] / 2 + distance


def _near(places: Sequence[Place], middle: Place, reach: Place) -> int:
    return int((np.abs(np.array(places).reshape(-1, 2) - middle) < reach).all(axis=1).sum())


def along(corners: np.ndarray, steps: int = 12) -> list[Place]:
    """Return places on the line through `corners` (n, 2), with `steps` per segment."""
    at = np.linspace(0, len(corners) - 1, steps * (len(corners) - 1) + 1)
    xs, ys = (np.interp(at, range(len(corners)), part) for part in corners.T)
    return list(zip(xs, ys, strict=True))
