"""How a table's columns share the width of a line: as many as fit side by side, the others in further tables."""

from __future__ import annotations

from collections.abc import Sequence

Row = dict[str, str]

BETWEEN = 2  # spaces between two columns
KEY_MOST = 40  # characters of a first column that is never wrapped
LONGEST_WORD = 20  # characters of a word that stays whole
BREAKS = "+,"  # signs of a chain that a line may end with
WIDEST = (24, 18, 13, 10)  # characters at which long cells may wrap, the roomiest first


def layout(rows: Sequence[Row], width: int) -> list[dict[str, int]]:
    """Return the tables that show all columns of rows within a width.

    Args:
        rows: The cells of each row by the name of its column, the same columns in each.
        width: Characters of a line.

    Returns:
        A table each: the widths of its columns, in characters, by name. It is one table where all columns fit when
        long cells wrap. Otherwise each has the first column, which says what a row is of, and as many others as fit.
    """
    names = list(rows[0])
    for widest in WIDEST:
        least = [_least(rows, name, widest, place == 0) for place, name in enumerate(names)]
        if _total(least) <= width:
            return [_spread(rows, names, least, width)]
    least = [_least(rows, name, WIDEST[0], place == 0) for place, name in enumerate(names)]
    tables: list[list[int]] = [[]]
    for place in range(1, len(names)):
        if tables[-1] and _total([least[one] for one in (0, *tables[-1], place)]) > width:
            tables.append([])
        tables[-1].append(place)
    return [_fitted(rows, names, least, [0, *table], width) for table in tables]


def folded(text: str, width: int) -> str:
    """Return a cell whose words longer than a width go on in the next line, if possible after a sign of `BREAKS`."""
    words = []
    for word in text.split(" "):
        lines = []
        while len(word) > width:
            end = max(word.rfind(sign, 0, width) for sign in BREAKS) + 1 or width
            lines.append(word[:end])
            word = word[end:]
        words.append("\n".join([*lines, word]))
    return " ".join(words)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + BETWEEN * (len(widths) - 1)


def _least(rows: Sequence[Row], name: str, widest: int, leads: bool) -> int:
    """Return the fewest characters that a column takes, which break no word of usual length."""
    cells = [row[name] for row in rows]
    if leads and not any(" " in cell for cell in cells):
        return min(max(map(len, [name, *cells])), KEY_MOST)  # one copies it
    word = max((len(word) for text in (name, *cells) for word in text.split()), default=1)
    return max(min(word, LONGEST_WORD), min(max(map(len, cells)), widest), 1)


def _spread(rows: Sequence[Row], names: Sequence[str], least: Sequence[int], width: int) -> dict[str, int]:
    """Return the widths of one table's columns, of which those with long cells share the characters that are left."""
    spare, widths = width - _total(least), {}
    for name, few in zip(names, least, strict=True):
        wanted = max(len(text) for text in (name, *(row[name] for row in rows)))
        more = min(max(wanted - few, 0), spare)
        widths[name], spare = few + more, spare - more
    return widths


def _fitted(
    rows: Sequence[Row], names: Sequence[str], least: Sequence[int], places: Sequence[int], width: int
) -> dict[str, int]:
    """Return the widths of a table's columns; the widest give way where even they do not fit."""
    few = [least[place] for place in places]
    while _total(few) > width and max(few) > 1:
        few[few.index(max(few))] -= 1
    return _spread(rows, [names[place] for place in places], few, width)
