"""How methods and pages look, in one place: the same method has the same colour, dash and marker on every chart.

Colours are Okabe and Ito's, then three of Tol's (safe for colour-blind readers), lightened for dark pages. A method's
declaration says which of them it has, and its line and its marker, which shows the family.
"""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from core.methods.base import NEUTRAL
from core.registry import STAGES

FONT = "Arial, Liberation Sans, Helvetica, DejaVu Sans, sans-serif"
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


LIGHT = Theme(
    "light",
    "#1f2933",
    "#5f6b76",
    "#e3e7eb",
    "#ffffff",
    ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#882255", "#999933", "#332288"),
    "cividis",
)
DARK = Theme(
    "dark",
    "#e6e9ed",
    "#a3adb8",
    "#323a43",
    "#14181d",
    ("#F0B030", "#4FA8E0", "#2CC295", "#E39CC3", "#FF8A4C", "#8CCBF2", "#D9669C", "#C9C95A", "#9A8CF0"),
    "cividis",
)


@dataclass(frozen=True)
class Look:
    color: str
    dash: str
    symbol: str


@dataclass(frozen=True)
class Drawn:
    """How a method is drawn that does not declare it itself."""

    colour: int
    mark: str
    dash: str


OTHER = Drawn(7, "circle-open", "dot")  # a method that this version does not have
_KNOWN = {found.name: found for found in STAGES}


def theme_named(name: str | None) -> Theme:
    """Return the theme of a page that reports itself as `light` or `dark`."""
    return DARK if name == "dark" else LIGHT


def look(method: str, theme: Theme, recovery: str | None = None) -> Look:
    """Return how a method is drawn; after a recovery with that one's mark and line."""
    found = _KNOWN.get(method)
    drawn = found or OTHER
    color = theme.text if drawn.colour == NEUTRAL else theme.palette[drawn.colour]
    trained = _KNOWN.get(recovery) if isinstance(recovery, str) else None
    return Look(color, (trained or drawn).dash, (trained or drawn).mark)


def layout(theme: Theme, height: int, **extra) -> go.Layout:
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
    base = go.Layout(
        height=height,
        font={"family": FONT, "size": 13, "color": theme.text},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 8, "r": 12, "t": 34, "b": 8, "autoexpand": True},
        title={"font": {"size": 13}, "x": 0, "xanchor": "left", "pad": {"l": 4, "t": 6}, "y": 1, "yanchor": "top"},
        legend={
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
        hoverlabel={"font": {"family": FONT, "size": 12}, "align": "left"},
        hovermode="closest",
        dragmode=False,
        xaxis=axis,
        yaxis=axis,
        template=go.layout.Template(),
    )
    base.update(extra)
    return base
