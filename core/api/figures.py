"""Figures of findings, as the pages draw them. The dashboard is imported when one is drawn, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from core.base.errors import UserError, unknown

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from core.findings.finding import Finding

Theme = Literal["light", "dark"]
WIDEST = 50.0  # inches


def plot(finding: Finding, theme: Theme = "light") -> Figure:
    """Draw an answer of `best`, `compare` or `curve` as its page does.

    Args:
        finding: The answer.
        theme: `light` or `dark`.

    Returns:
        A plotly figure, which notebooks show.

    Raises:
        UserError: The theme is unknown, or the answer has no chart.
    """
    from plotly.graph_objects import Figure

    from dashboard.charts.elements.style import theme_named
    from dashboard.charts.findings import draw

    if theme not in get_args(Theme):
        raise unknown("theme", str(theme), get_args(Theme))
    return Figure(draw(finding, theme_named(theme)))  # plotly validates it, so that each property has one type


def save(figure: Figure, path: str | Path, width: float = 3.25) -> Path:
    """Write a figure of `plot` in the form for print: exact width, embedded fonts, axes and series named.

    Args:
        figure: The figure.
        path: The file; its name ends in `.pdf`, `.svg` or `.png`. An existing file is replaced.
        width: Inches: 3.25 for one column of a paper, 6.75 for two.

    Returns:
        The path.

    Raises:
        UserError: The name's ending, the width or the folder is wrong.
    """
    from dashboard.exports import print_figures
    from dashboard.exports.files import IMAGES

    place = Path(path)
    form = place.suffix.removeprefix(".").lower()
    if form not in IMAGES:
        raise UserError(f"{place.name!r} names no format; let it end in .pdf, .svg or .png.")
    if not 1 <= width <= WIDEST:
        raise UserError(f"The width {width:g} is not between 1 and {WIDEST:g} inches; 3.25 is one column.")
    title = figure.layout.title.text or ""
    data = print_figures.save(print_figures.draw(figure, width), form, title, "")
    try:
        place.write_bytes(data)
    except OSError as error:
        raise UserError(f"Cannot write {place}: {error.strerror}.") from error
    return place
