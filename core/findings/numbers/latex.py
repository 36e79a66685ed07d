"""LaTeX tables that need only booktabs, in the largest font size that fits a page of two columns.

Widths are estimated from the letters of Computer Modern.
"""

import re
from collections.abc import Sequence

COLUMN, PAGE = 3.25, 6.75  # inches
POINTS = 72.27  # an inch
# Points of 1 em, and of the space on each side of a column.
SIZES = {r"\small": (9.25, 3), r"\footnotesize": (8.5, 3), r"\scriptsize": (7.97, 2.5)}
SMALLEST = next(reversed(SIZES))
TINY = 6.81  # points of 1 em in `\tiny`
LONGEST = 26  # characters of a line in a cell
BOLD = 1.15  # factor of bold letters
EMS = dict.fromkeys(" .,:;'()[]|!-ijlft", 0.33) | dict.fromkeys("mwMW%+=@<>", 0.8)
OTHER, CAPITAL = 0.5, 0.7  # ems
SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "∞": r"$\infty$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\to$",
    "−": "$-$",
    "–": "--",
    "\n": " ",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
BREAKS = re.compile(r"(?<=,)(?=[a-z])|(?<=\S\+)(?=[a-z])|(?<= )")
NESTED = re.compile(r"\\begin\{tabular\}\[.\]\{@\{\}.@\{\}\}|\\end\{tabular\}")
SIGN = re.compile(r"\$-\$|\\(?:pm|times|infty|to|text(?!bf)[a-z]+)\b")
COMMAND = re.compile(r"\\[a-zA-Z]+|[{}$\\]")


def escaped(text: str) -> str:
    """Escape the special characters of LaTeX."""
    return "".join(SIGNS.get(sign, sign) for sign in text)


def in_lines(text: str, longest: int = LONGEST, side: str = "l", place: str = "t") -> str:
    """Return a cell. A long text takes several lines; it breaks at spaces, commas and plus signs."""
    glued = text.replace(" + ", " +\N{NO-BREAK SPACE}")
    lines = [""]
    for part in BREAKS.split(glued):
        if lines[-1] and len((lines[-1] + part).rstrip()) > longest:
            lines.append(part)
        else:
            lines[-1] += part
    shown = [escaped(line.strip().replace("\N{NO-BREAK SPACE}", " ")) for line in lines]
    if len(shown) < 2:
        return "".join(shown)
    return rf"\begin{{tabular}}[{place}]{{@{{}}{side}@{{}}}}" + r" \\ ".join(shown) + r"\end{tabular}"


def headed(names: Sequence[str], rows: Sequence[Sequence[str]], columns: str) -> list[str]:
    """Return a table's header, a rule and its rows; a header with spaces wraps to the width of its column."""
    cells = list(zip(*rows, strict=True)) or [()] * len(names)
    longest = [max((len(plain) for cell in column for plain in _plain(cell)), default=0) for column in cells]
    wanted = [max(room, *map(len, name.split())) for name, room in zip(names, longest, strict=True)]
    head = [in_lines(*one, "b") for one in zip(names, wanted, columns, strict=True)]
    return [line(head), r"\midrule", *map(line, rows)]


def line(cells: Sequence[str]) -> str:
    """Join cells to a row of a table."""
    return " & ".join(cells) + r" \\"


def letters(lines: Sequence[str], room: float) -> str | None:
    """Return the largest font size at which a table fits into `room` inches; None if none fits."""
    return next((size for size in SIZES if width(lines, size) <= room), None)


def width(lines: Sequence[str], size: str) -> float:
    """Return the width of a table in a font size, in inches."""
    em, gap = SIZES[size]
    rows = [row.removesuffix(r" \\").split(" & ") for row in lines if row.endswith(r" \\") and "multicolumn" not in row]
    columns = zip(*rows, strict=True)
    return sum(2 * gap + max(_cell_width(cell, em) for cell in column) for column in columns) / POINTS


def tabular(lines: Sequence[str], columns: str, size: str) -> list[str]:
    """Return the whole table in a font size."""
    begin = rf"\begin{{tabular}}{{{columns}}}"
    space = rf"\setlength{{\tabcolsep}}{{{SIZES[size][1]}pt}}"
    return [size, space, begin, r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]


def _plain(cell: str) -> list[str]:
    """Return the lines of a cell without LaTeX commands."""
    return [COMMAND.sub("", SIGN.sub("m", one)) for one in NESTED.sub("", cell).split(r" \\ ")]


def _cell_width(cell: str, em: float) -> float:
    value, _, error = cell.partition(r"\tiny")
    bold = BOLD if r"\textbf" in value else 1.0
    return em * bold * max(map(_ems, _plain(value))) + TINY * max(map(_ems, _plain(error)))


def _ems(text: str) -> float:
    return sum(EMS.get(sign, CAPITAL if sign.isupper() else OTHER) for sign in text)
