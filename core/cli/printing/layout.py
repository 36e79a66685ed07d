"""Column widths of a table; columns that exceed the width of a line follow in further tables."""

from collections.abc import Sequence

Row = dict[str, str]

BETWEEN = 2  # spaces between two columns
KEY_MOST = 40  # characters of a first column that is never wrapped
LONGEST_WORD = 20  # characters of a word that is not broken
BREAKS = "+,"  # signs in a chain that may end a line
WIDEST = (24, 18, 13, 10)  # characters at which long cells may wrap, widest first


def layout(rows: Sequence[Row], width: int) -> list[dict[str, int]]:
    """Return the tables that show all columns of rows within a width.

    Args:
        rows: The cells of each row by the name of its column, the same columns in each.
        width: Characters of a line.

    Returns:
        For each table its column widths, in characters, by name. All columns are in one table if they fit with wrapped
        cells. Otherwise each table has the first column, which identifies a row, and as many others as fit.
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
    """Break words of a cell that are longer than `width`, if possible after a sign in `BREAKS`."""
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
    """Return the minimum width of a column that breaks no word of usual length."""
    cells = [row[name] for row in rows]
    if leads and not any(" " in cell for cell in cells):
        return min(max(map(len, [name, *cells])), KEY_MOST)  # unwrapped, because users copy it
    word = max((len(word) for text in (name, *cells) for word in text.split()), default=1)
    return max(min(word, LONGEST_WORD), min(max(map(len, cells)), widest), 1)


def _spread(rows: Sequence[Row], names: Sequence[str], least: Sequence[int], width: int) -> dict[str, int]:
    """Return the column widths of a table; columns with long cells get the spare characters."""
    spare, widths = width - _total(least), {}
    for name, few in zip(names, least, strict=True):
        wanted = max(len(text) for text in (name, *(row[name] for row in rows)))
        more = min(max(wanted - few, 0), spare)
        widths[name], spare = few + more, spare - more
    return widths


def _fitted(
    rows: Sequence[Row], names: Sequence[str], least: Sequence[int], places: Sequence[int], width: int
) -> dict[str, int]:
    """Return the column widths of a table; narrow the widest columns until all fit."""
    few = [least[place] for place in places]
    while _total(few) > width and max(few) > 1:
        few[few.index(max(few))] -= 1
    return _spread(rows, [names[place] for place in places], few, width)
