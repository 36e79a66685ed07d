"""Styles of methods and pages: a method has the same colour, dash and marker on every chart.

Colours are from Okabe and Ito, then three from Tol (safe for colour-blind readers), lightened for dark pages. A marker
shows the family of a method. A small picture of a style is beside the name of a method or series.
"""

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import plotly.graph_objects as go

from core.methods.base import Method
from core.methods.terms import NEUTRAL
from core.notation.chain import DENSE
from core.registry import RECONSTRUCTIONS, RECOVERIES, STAGES
from core.specs import IMPORTED, PUBLISHED, sha256

Properties = dict[str, Any]  # Any: of a trace or a layout; plotly has no types
FONT = "Source Sans, Arial, Liberation Sans, Helvetica, DejaVu Sans, sans-serif"  # the first is the font of the pages
FADED, SHADE = 0.42, 0.55  # share of its own colour in a faded mark, and in another shade
LINES = ("solid", "dash", "dot", "dashdot", "longdash")
PATTERN_MARKS = {"4:8": "-dot"}  # suffixes of hollow markers by N:M amount
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


@dataclass(frozen=True)
class Theme:
    """Colours of a page or a print."""

    name: str
    text: str
    muted: str
    grid: str
    paper: str
    palette: tuple[str, ...]
    scale: str  # sequential colour scale of heat maps
    band: str  # background of diverged points
    chosen: str  # background of the chosen amount


LIGHT = Theme(
    "light",
    "#1f2933",
    "#5f6b76",
    "#e3e7eb",
    "#ffffff",
    ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#882255", "#999933", "#332288"),
    "Cividis",
    "#f1f3f5",
    "#d9e2ec",
)
DARK = Theme(
    "dark",
    "#e6e9ed",
    "#a3adb8",
    "#323a43",
    "#14181d",
    ("#F0B030", "#4FA8E0", "#2CC295", "#E39CC3", "#FF8A4C", "#8CCBF2", "#D9669C", "#C9C95A", "#9A8CF0"),
    "Cividis",
    "#1f252c",
    "#2f3b47",
)


@dataclass(frozen=True)
class SeriesStyle:
    """The style of a series: colour, dash of its line, plotly symbol of its marker."""

    color: str
    dash: str
    symbol: str

    def marker(self, theme: Theme, pattern: str | None = None, **extra: float) -> Properties:
        """Return a marker: filled, or hollow in the style of its N:M amount; imported series are always hollow."""
        mark: Properties = {"symbol": self.symbol_of(pattern), "size": 9, "color": self.color}
        if self.symbol.endswith("-open"):
            return mark | {"line": {"width": 2}} | extra
        if is_hollow(pattern):
            return mark | {"color": theme.paper, "line": {"width": 2, "color": self.color}} | extra
        return mark | {"line": {"width": 0}} | extra

    def symbol_of(self, pattern: str | None) -> str:
        """Return the name of the marker for an N:M amount."""
        return self.symbol + PATTERN_MARKS.get(pattern or "", "")


def is_hollow(pattern: str | float | None) -> bool:
    """Return whether an amount is N:M sparsity and not a ratio, bits per weight or a factor."""
    return isinstance(pattern, str) and ":" in pattern


class MarkStyle(NamedTuple):
    """The style of a method or family in any theme."""

    colour: int  # index in the palette
    marker: str
    dash: str


IMPORTED_MARK, IMPORTED_DASH = "hexagon-open", "dashdot"  # not used by methods
IMPORTED_COLOURS = (5, 6, 7, 8)  # the least used ones
OTHER = MarkStyle(7, "circle-open", "dot")  # a method that this version lacks
OF_FAMILIES = {  # for charts of many methods, with the markers of their methods
    DENSE: MarkStyle(NEUTRAL, "star", "dot"),
    "unstructured": MarkStyle(1, "circle", "solid"),
    "structured": MarkStyle(0, "square", "solid"),
    "low rank": MarkStyle(2, "diamond", "solid"),
    "quantisation": MarkStyle(6, "hexagon", "solid"),
    "embedding": MarkStyle(5, "star-diamond", "solid"),
}
STYLES = {  # colour and line of each method, whose marker is its family's
    "dense": (NEUTRAL, "dot"),
    "magnitude": (0, "solid"),
    "wanda": (1, "dash"),
    "ria": (4, "longdash"),
    "sparsegpt": (2, "dashdot"),
    "obs": (6, "longdash"),
    "alps": (8, "solid"),
    "neuron-magnitude": (4, "solid"),
    "llm-pruner": (5, "dash"),
    "loraprune": (6, "dashdot"),
    "lorap": (7, "longdash"),
    "slimllm": (8, "solid"),
    "hywia": (0, "solid"),
    "flap": (1, "dash"),
    "shortgpt": (2, "longdash"),
    "slicegpt": (3, "dashdot"),
    "reap": (5, "dot"),
    "expert-frequency": (6, "dot"),
    "svd": (2, "solid"),
    "asvd": (3, "dash"),
    "svd-llm": (4, "dashdot"),
    "rtn": (3, "solid"),
    "hqq": (4, "dash"),
    "awq": (1, "longdash"),
    "gptq": (2, "dashdot"),
    "autoround": (5, "dot"),
    "tensor-train": (5, "solid"),
    "embedding-lowrank": (6, "dash"),
}
SPECIAL = {  # stages with markers of their own; training while pruning looks like a recovery after it
    "magnitude-trained": MarkStyle(0, "cross", "dot"),
    "loraprune-trained": MarkStyle(6, "cross", "dot"),
    "rotate": MarkStyle(NEUTRAL, "diamond-wide", "solid"),
    "adaprune": MarkStyle(3, "pentagon", "longdash"),
    "lora": MarkStyle(NEUTRAL, "cross", "dot"),
    "distill-white": MarkStyle(NEUTRAL, "x", "dot"),
    "distill-black": MarkStyle(NEUTRAL, "diamond-tall", "dot"),
}
MORE_MARKS = ("triangle-down", "triangle-left", "triangle-right")
ADDED = {found.name for found in (*RECONSTRUCTIONS, *RECOVERIES)}  # stages that may follow others


def style_of(method: type[Method]) -> MarkStyle:
    """Return the style of a method; that of a plug-in is its family's, where it declares no other."""
    if method.name in SPECIAL:
        return SPECIAL[method.name]
    like = OF_FAMILIES.get(method.family, OTHER)
    if method.name in STYLES:
        colour, dash = STYLES[method.name]
        return MarkStyle(colour, like.marker, dash)
    return MarkStyle(*(getattr(method, name, getattr(like, name)) for name in MarkStyle._fields))


_KNOWN = {found.name: style_of(found) for found in STAGES}


def theme_named(name: str | None) -> Theme:
    """Return the theme of a page that reports itself as `light` or `dark`."""
    return DARK if name == "dark" else LIGHT


def look(parts: str, theme: Theme) -> SeriesStyle:
    """Return the style of a variant with these parts (`core.notation.formatting.label_parts`), such as `slimllm+lora`.

    It has the colour of the first part with one, and the marker and line of the last. With more parts, a special marker
    shows their number.
    """
    names = [_method(name) for name in parts.split("+")]
    known = [_drawn(name) for name in names]
    colour = next((one.colour for one in known if one.colour != NEUTRAL), NEUTRAL)
    trained = len(names) > 1 and names[-1] != names[0] and names[-1] in ADDED
    more = len(names) - 1 - trained
    mark = MORE_MARKS[min(more, len(MORE_MARKS)) - 1] if more else known[-1].marker
    return SeriesStyle(theme.text if colour == NEUTRAL else theme.palette[colour], known[-1].dash, mark)


def family_look(family: str, theme: Theme) -> SeriesStyle:
    """Return the style of a family of methods; that of imported variants and of a plug-in's family is `OTHER`."""
    own = OF_FAMILIES.get(family, OTHER)
    return SeriesStyle(theme.text if own.colour == NEUTRAL else theme.palette[own.colour], own.dash, own.marker)


def looks(made_of: Mapping[str, tuple[str, str | None]], theme: Theme) -> dict[str, SeriesStyle]:
    """Return the style of each series by its parts and its chain (None: unknown).

    Chains with the same parts differ in parameters. The one with the shortest text has the plain style; each other one
    has another line and another shade, towards the page and towards its text in turn.
    """
    chains: dict[SeriesStyle, list[str | None]] = {}
    styles = {}
    for series, (parts, chain) in sorted(made_of.items(), key=lambda one: len(one[1][1] or "")):
        own = look(parts, theme)
        alike = chains.setdefault(own, [])
        if chain not in alike:
            alike.append(chain)
        styles[series] = _twin(own, alike.index(chain), theme)
    return styles


def hollow(style: SeriesStyle) -> SeriesStyle:
    """Return the style of a series with another text than the rest of its chart."""
    return SeriesStyle(style.color, "dot", f"{style.symbol.removesuffix('-open')}-open")


def of_lines(made_of: Mapping[str, str], theme: Theme) -> dict[str, SeriesStyle]:
    """Return the style of each series by its parts, for charts of lines: no two share both colour and line.

    Methods that share both differ by their markers on other charts, but markers are hard to distinguish along lines.
    """
    seen: Counter[tuple[str, str]] = Counter()
    styles = {}
    for series, parts in made_of.items():
        own = look(parts, theme)
        styles[series] = _twin(own, seen[own.color, own.dash], theme)
        seen[own.color, own.dash] += 1
    return styles


def _twin(own: SeriesStyle, number: int, theme: Theme) -> SeriesStyle:
    """Return a style, unchanged for number 0, else with another shade and line."""
    if not number:
        return own
    color = _mixed(own.color, theme.paper if number % 2 else theme.text, SHADE)
    return SeriesStyle(color, LINES[(LINES.index(own.dash) + number) % len(LINES)], own.symbol)


def _method(name: str) -> str:
    """Return the method of a part; a published part is drawn as the method that its label names."""
    origin, _, label = name.partition(":")
    return (_stage_labelled(label) or name) if origin == PUBLISHED else name


def _stage_labelled(label: str) -> str | None:
    """Return the name of the stage with this name or label."""
    return next((one.name for one in STAGES if label.casefold() in (one.name, one.label.casefold())), None)


def _drawn(name: str) -> MarkStyle:
    """Return the style of a part; an imported one has the colour of the method that its label names, or a rare one."""
    origin, _, label = name.partition(":")
    if origin != IMPORTED:
        return _KNOWN.get(name, OTHER)
    alike, some = _stage_labelled(label), int(sha256(label.casefold()), 16) % len(IMPORTED_COLOURS)
    colour = _KNOWN[alike].colour if alike else IMPORTED_COLOURS[some]
    return MarkStyle(colour, IMPORTED_MARK, IMPORTED_DASH)


def layout(theme: Theme, height: int) -> Properties:
    """Return the common layout of charts: metric above, legend below, light grid."""
    axis = {
        "gridcolor": theme.grid,
        "linecolor": theme.muted,
        "tickcolor": theme.muted,
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    return {
        "height": height,
        "font": {"family": FONT, "size": 13, "color": theme.text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 34, "b": 8, "autoexpand": True},
        "title": {"font": {"size": 13}, "x": 0, "xanchor": "left", "pad": {"l": 4, "t": 6}, "y": 1, "yanchor": "top"},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "tracegroupgap": 0,
            "itemsizing": "trace",
            "font": {"size": 12},
        },
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
        "hovermode": "closest",
        "dragmode": False,
        "xaxis": axis,
        "yaxis": axis,
        "template": go.layout.Template(),
    }


def faded(color: str, theme: Theme) -> str:
    """Mix a colour `#rrggbb` with the page's, for less important marks; the result is opaque."""
    return _mixed(color, theme.paper, FADED)


def _mixed(color: str, other: str, share: float) -> str:
    """Mix two colours; `share` is that of the first."""
    parts = zip(*(bytes.fromhex(one[1:]) for one in (color, other)), strict=True)
    return "#" + "".join(f"{round(share * own + (1 - share) * rest):02x}" for own, rest in parts)


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
