"""How methods and pages look, in one place: the same method has the same colour, dash and marker on every chart.

Colours are Okabe and Ito's, then three of Tol's (safe for colour-blind readers), lightened for dark pages. A method's
declaration says which of them it has, and its line and its marker, which shows the family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from core.methods.base import Method
from core.methods.terms import NEUTRAL
from core.registry import RECONSTRUCTIONS, RECOVERIES, STAGES
from core.specs import IMPORTED, PUBLISHED, sha256

FONT = "Source Sans, Arial, Liberation Sans, Helvetica, DejaVu Sans, sans-serif"  # the first is that of pages
FADED, SHADE = 0.42, 0.55  # the share of its own colour that a faded mark keeps, and one of another shade
LINES = ("solid", "dash", "dot", "dashdot", "longdash")
PATTERN_MARKS = {"4:8": "-dot"}  # added to the hollow marker of what was removed in an N:M pattern


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
    band: str  # behind what lies apart


LIGHT = Theme(
    "light",
    "#1f2933",
    "#5f6b76",
    "#e3e7eb",
    "#ffffff",
    ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#882255", "#999933", "#332288"),
    "Cividis",
    "#f1f3f5",
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
)


@dataclass(frozen=True)
class SeriesStyle:
    color: str
    dash: str
    symbol: str


@dataclass(frozen=True)
class MarkStyle:
    """How a method is drawn that does not declare it itself."""

    colour: int
    marker: str
    dash: str


IMPORTED_MARK, IMPORTED_DASH = "hexagon-open", "dashdot"  # of no method here, whatever the label
IMPORTED_COLOURS = (5, 6, 7, 8)  # those that fewest methods have
OTHER = MarkStyle(7, "circle-open", "dot")  # a method that this version does not have
MORE_MARKS = ("triangle-down", "triangle-left", "triangle-right")
ADDED = {found.name for found in (*RECONSTRUCTIONS, *RECOVERIES)}  # to what other stages have left
_KNOWN: dict[str, type[Method] | MarkStyle] = {found.name: found for found in STAGES}


def theme_named(name: str | None) -> Theme:
    """Return the theme of a page that reports itself as `light` or `dark`."""
    return DARK if name == "dark" else LIGHT


def look(parts: str, theme: Theme) -> SeriesStyle:
    """Return how a variant is drawn whose parts (`core.formatting.label_parts`) these are, such as `slimllm+lora`.

    It has the colour of the first that has one, and mark and line of the last; where it has more parts than that shows,
    a mark that says how many.
    """
    names = [_method(name) for name in parts.split("+")]
    known = [_drawn(name) for name in names]
    colour = next((one.colour for one in known if one.colour != NEUTRAL), NEUTRAL)
    trained = len(names) > 1 and names[-1] != names[0] and names[-1] in ADDED
    more = len(names) - 1 - trained
    mark = MORE_MARKS[min(more, len(MORE_MARKS)) - 1] if more else known[-1].marker
    return SeriesStyle(theme.text if colour == NEUTRAL else theme.palette[colour], known[-1].dash, mark)


def looks(made_of: Mapping[str, tuple[str, str | None]], theme: Theme) -> dict[str, SeriesStyle]:
    """Return the look of each series, by its parts and its chain, None where that is not told.

    Of several chains that are made of the same parts, and so differ in parameters, each after that with the fewest has
    another shade and another line, in turn nearer to the page and to its text.
    """
    chains: dict[SeriesStyle, list[str | None]] = {}
    found = {}
    for series, (parts, chain) in sorted(made_of.items(), key=lambda one: len(one[1][1] or "")):
        own = look(parts, theme)
        alike = chains.setdefault(own, [])
        if chain not in alike:
            alike.append(chain)
        found[series] = _twin(own, alike.index(chain), theme)
    return found


def of_lines(made_of: Mapping[str, str], theme: Theme) -> dict[str, SeriesStyle]:
    """Return the look of each series by its parts, where all are lines: no two have colour and line in common.

    Some methods share these, and are told by marks on other charts, which are too alike along lines.
    """
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for series, parts in made_of.items():
        own = look(parts, theme)
        found[series] = _twin(own, seen[own.color, own.dash], theme)
        seen[own.color, own.dash] += 1
    return found


def _twin(own: SeriesStyle, number: int, theme: Theme) -> SeriesStyle:
    """Return a look, 0, or another shade and line of it."""
    if not number:
        return own
    color = _mixed(own.color, theme.paper if number % 2 else theme.text, SHADE)
    return SeriesStyle(color, LINES[(LINES.index(own.dash) + number) % len(LINES)], own.symbol)


def _method(name: str) -> str:
    """Return a part; what a paper made has the name of the method here, as it is the paper's."""
    told, _, label = name.partition(":")
    return (_called(label) or name) if told == PUBLISHED else name


def _called(label: str) -> str | None:
    """Return the name of the stage that a label names."""
    return next((one.name for one in STAGES if label.casefold() in (one.name, one.label.casefold())), None)


def _drawn(name: str) -> type[Method] | MarkStyle:
    """Return how a part is drawn. An import has the colour of the method that its label names, or one of few."""
    told, _, label = name.partition(":")
    if told != IMPORTED:
        return _KNOWN.get(name, OTHER)
    alike, some = _called(label), int(sha256(label.casefold()), 16) % len(IMPORTED_COLOURS)
    colour = _KNOWN[alike].colour if alike else IMPORTED_COLOURS[some]
    return MarkStyle(colour, IMPORTED_MARK, IMPORTED_DASH)


def layout(theme: Theme, height: int) -> dict[str, Any]:
    """Return the layout all charts share: what is measured above, legend below, light grid."""
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
    """Return a colour `#rrggbb` mixed with that of the page, for what matters less; no part of it shines through."""
    return _mixed(color, theme.paper, FADED)


def _mixed(color: str, other: str, share: float) -> str:
    """Return a colour that has this share of one, and is the other for the rest."""
    parts = zip(*(bytes.fromhex(one[1:]) for one in (color, other)), strict=True)
    return "#" + "".join(f"{round(share * own + (1 - share) * beside):02x}" for own, beside in parts)
