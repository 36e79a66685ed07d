"""Rows of a family tree: their heights, and their names in the left margin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.family.places import Name

ROW, MORE = 24, 12  # px: height of a row, and of each further line of its name
LETTER, TEXT = 5.7, 11  # px: width and height of a letter
LEVEL, MOST_LEVELS = 11, 6  # px of a level, and levels that are indented further than the one before
LINE, LONGEST = 20, 24  # letters: of a line that ends at a space or a colon, and of any line
ASIDE = 8  # px between the longest name and the tree


class Rows:
    """The rows of a tree, from top to bottom."""

    def __init__(self, names: Sequence[Name]):
        self._texts = [_wrapped(name.text) for name in names]
        self._indents = [LEVEL * min(name.level, MOST_LEVELS) for name in names]
        pixels = [ROW + MORE * text.count("<br>") for text in self._texts]
        self._ends = list(accumulate(pixels))
        self.heights = [end - high / 2 for end, high in zip(self._ends, pixels, strict=True)]

    @property
    def pixels(self) -> int:
        """The height of all rows."""
        return self._ends[-1]

    def draw_names(self, drawing: Drawing) -> None:
        """Write the names into the left margin, indented by their level; prints have the labels of the axis."""
        letters = [max(map(len, text.split("<br>"))) for text in self._texts]
        ends = [LETTER * count + indent for count, indent in zip(letters, self._indents, strict=True)]
        left = round(max(ends)) + ASIDE
        axis = {"range": [self.pixels, 0], "tickvals": self.heights, "ticktext": self._texts, "showticklabels": False}
        drawing.lay_out(margin={"l": left}, yaxis=axis | {"showgrid": False, "showline": False, "ticks": ""})
        for text, indent, height in zip(self._texts, self._indents, self.heights, strict=True):
            drawing.write(
                text=text,
                xref="paper",
                x=0,
                xanchor="left",
                xshift=indent - left,
                y=height,
                yanchor="middle",
                align="left",
                showarrow=False,
                font={"size": TEXT},
            )


def _wrapped(text: str) -> str:
    """Wrap a name after spaces and colons; a seed stays with its number."""
    lines = [""]
    for part in re.findall(r"[^ :]+[ :]?|[ :]", text.replace("seed ", "seed\N{NO-BREAK SPACE}")):
        if lines[-1] and len(lines[-1] + part.rstrip()) > LINE:
            lines.append("")
        lines[-1] += part
    cut = (line.rstrip() for line in lines)
    return "<br>".join(line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in cut)
