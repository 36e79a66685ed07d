"""Where a curve's labels stand: beside their markers, on no other label and, where there is room, on no line.

Places are shares of the plot's width and height, (0, 0) at its lower left. They are worked out for a narrow screen or
a print of one column; a wider plot only has more room.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.words import number

Place = tuple[float, float]
WIDTH, HEIGHT = 0.074, 0.054  # of a label
MARKER = 0.015  # from a marker's middle to its edge
GAP = 0.024  # from a marker's middle to its label
LONGEST = 16  # letters of a line
STACKED = 0.12  # diverged points nearer than this stand under one stack of labels
ACROSS = {"right": GAP + WIDTH / 2, "left": -GAP - WIDTH / 2, "center": 0.0}
UP = {"middle": 0.0, "top": GAP + HEIGHT / 2, "bottom": -GAP - HEIGHT / 2}
SIDES = ("middle right", "middle left", "top right", "bottom right", "top left", "bottom left", "top center")


def over(points: pd.DataFrame, column: str, span: Place) -> pd.DataFrame:
    """Return diverged points with the `text` over each, its `side` and its `level` where several stand near."""
    points = points.sort_values(column)
    levels = _levels([(x - span[0]) / (span[1] - span[0]) for x in points[column]])
    parts = zip(points["pattern"], points["value"].map(number), strict=True)
    texts = [" ".join(part for part in both if isinstance(part, str)) for both in parts]
    raised = [text + "<br>&nbsp;" * level for text, level in zip(texts, levels, strict=True)]  # at any size of letters
    return points.assign(text=raised, side="top center", level=levels)


def beside(points: pd.DataFrame, column: str, span: Place, height: Place) -> pd.DataFrame:
    """Return the points with a pattern, which is their `text`, and the `side` with room for it, on a log axis.

    Where every side is taken by another label there is none: the marker says the pattern, too.
    """
    decades = math.log10(height[1] / height[0])
    across = (points[column] - span[0]) / (span[1] - span[0])
    up = points["value"].map(lambda value: math.log10(value / height[0]) / decades)
    places = pd.DataFrame({"x": across, "y": up})
    lines = points[points["pattern"].isna()].sort_values(column).groupby("series")
    others = [place for _, part in lines for place in _along(places.loc[part.index].to_numpy())]
    found = points[points["pattern"].notna()].sort_values("value")
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


def _sides(markers: Sequence[Place], lines: Sequence[Place]) -> list[str]:
    """Return the side of each marker on which its label is best seen, `lines` being places on lines; "" for none."""
    placed: list[Place] = []
    found: list[str] = []
    for marker in markers:
        places = [(marker[0] + ACROSS[across], marker[1] + UP[up]) for up, across in map(str.split, SIDES)]
        costs = [_cost(place, marker, markers, placed, lines) for place in places]
        best = costs.index(min(costs))
        if _near(placed, places[best], (WIDTH, HEIGHT)):
            found.append("")
            continue
        placed.append(places[best])
        found.append(SIDES[best])
    return found


def _cost(
    label: Place, marker: Place, markers: Sequence[Place], placed: Sequence[Place], lines: Sequence[Place]
) -> tuple[int, int]:
    """Return what is wrong with a label there, then what it covers: less is better."""
    outside = not WIDTH / 2 <= label[0] <= 1 - WIDTH / 2
    mistaken = min(markers, key=lambda other: math.dist(other, label)) != marker
    covered = _near([*markers, *lines], label, (WIDTH / 2 + MARKER, HEIGHT / 2 + MARKER))
    return outside + mistaken + _near(placed, label, (WIDTH, HEIGHT)), covered


def _near(places: Sequence[Place], middle: Place, reach: Place) -> int:
    return int((np.abs(np.array(places).reshape(-1, 2) - middle) < reach).all(axis=1).sum())


def _along(corners: np.ndarray, steps: int = 12) -> list[Place]:
    """Return places on the line through `corners` (n, 2)."""
    at = np.linspace(0, len(corners) - 1, steps * (len(corners) - 1) + 1)
    xs, ys = (np.interp(at, range(len(corners)), part) for part in corners.T)
    return list(zip(xs, ys, strict=True))
