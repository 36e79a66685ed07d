"""Find traces, arrows and labels in a figure."""

import itertools
import math

import numpy as np

PHONE = (290, 250)  # px of the plot


def trace(figure, name):
    return next(found for found in figure.data if found.name == name)


def arrows(figure):
    return [found for found in figure.data if found.marker.angleref == "previous"]


def each_mark(figure):
    """Return (trace, place in the trace, custom data) of each mark that has such data."""
    traces = [one for one in figure.data if one.customdata is not None]
    return [(one, place, row) for one in traces for place, row in enumerate(one.customdata)]


def boxes(figure, letter, traces):
    """Return left, bottom, right, top in px of each label of the traces, on a phone; `letter` is the px of a letter."""
    ends, found = (figure.layout.xaxis.range, figure.layout.yaxis.range), []
    for one in (one for one in traces if "text" in one.mode):
        for x, y, text, side in zip(one.x, one.y, one.text, np.broadcast_to(one.textposition, len(one.x)), strict=True):
            places = zip((x, math.log10(y) if figure.layout.yaxis.type == "log" else y), ends, PHONE, strict=True)
            across, up = ((value - low) / (high - low) * pixels for value, (low, high), pixels in places)
            lines = text.split("<br>")
            seen = [line for line in lines if line != "&nbsp;"]  # below these a label is raised
            wide, high = letter * max(map(len, seen)), 13 * len(seen)
            vertical, horizontal = side.split()
            left = across + {"left": -7 - wide, "center": -wide / 2, "right": 7}[horizontal]
            bottom = up + {"bottom": -7 - high, "middle": -high / 2, "top": 7 + 13 * (len(lines) - len(seen))}[vertical]
            found.append((left, bottom, left + wide, bottom + high))
    return found


def overlapping(found):
    pairs = itertools.combinations(found, 2)
    return [(a, b) for a, b in pairs if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]]
