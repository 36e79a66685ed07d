"""Small picture of a style in charts, shown next to the name of a method or series."""

from __future__ import annotations

import math
from base64 import b64encode

from core.methods.base import Method
from dashboard.charts.elements.style import SeriesStyle, Theme, look

WIDTH, HEIGHT, RADIUS = 36, 16, 5.5  # pixels
DASHES = {"dot": "1.5 3", "dash": "5 3", "dashdot": "5 2.5 1.5 2.5", "longdash": "8 3"}
CORNERS = {  # of a marker: (number, angle of the first in degrees, relative radius of every second)
    "square": (4, 45, 1.0),
    "diamond": (4, 0, 1.0),
    "diamond-tall": (4, -90, 0.6),
    "diamond-wide": (4, 0, 0.6),
    "pentagon": (5, -90, 1.0),
    "hexagon": (6, -90, 1.0),
    "star": (10, -90, 0.45),
    "star-diamond": (8, -90, 0.45),
    "triangle-down": (3, 90, 1.0),
    "triangle-left": (3, 180, 1.0),
    "triangle-right": (3, 0, 1.0),
}
BARS = {"cross": 0, "x": 45}  # two crossed bars, with their rotation in degrees


def swatch(method: type[Method], theme: Theme) -> str:
    """Return an HTML image of a method's line and marker in the colours of a page.

    Streamlit's HTML sanitiser allows SVG only as an image.
    """
    return f'<img src="{picture(look(method.name, theme))}" width="{WIDTH}" height="{HEIGHT}" alt="">'


def picture(drawn: SeriesStyle) -> str:
    """Return the address of a picture of a line with its marker, which contains the picture itself."""
    dash = DASHES.get(drawn.dash)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    middle = HEIGHT / 2
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<path d="M1 {middle}H{WIDTH - 1}" stroke="{drawn.color}" stroke-width="2"{dashes}/>{_marker(drawn)}</svg>'
    )
    return f"data:image/svg+xml;base64,{b64encode(drawing.encode()).decode()}"


def _marker(drawn: SeriesStyle) -> str:
    x, y = WIDTH / 2, HEIGHT / 2
    symbol = drawn.symbol.removesuffix("-open")
    fill = f'fill="{drawn.color}"'
    if symbol != drawn.symbol:
        fill = f'fill="none" stroke="{drawn.color}" stroke-width="2"'
    if symbol in BARS:
        arms = f"M{x - RADIUS} {y}H{x + RADIUS}M{x} {y - RADIUS}V{y + RADIUS}"
        turned = f"rotate({BARS[symbol]} {x} {y})"
        return f'<path d="{arms}" transform="{turned}" stroke="{drawn.color}" stroke-width="4"/>'
    if symbol not in CORNERS:
        return f'<circle cx="{x}" cy="{y}" r="{RADIUS}" {fill}/>'
    count, start, second = CORNERS[symbol]
    corners = []
    for corner in range(count):
        angle = math.radians(start + 360 * corner / count)
        far = RADIUS * (second if corner % 2 else 1.0)
        corners.append(f"{x + far * math.cos(angle):.1f},{y + far * math.sin(angle):.1f}")
    return f'<polygon points="{" ".join(corners)}" {fill}/>'
