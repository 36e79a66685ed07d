"""How methods and pages look, in one place: the same method has the same colour, dash and marker on every chart.

Colours are Okabe and Ito's, then three of Tol's (safe for colour-blind readers), lightened for dark pages. The
marker shows the family.
"""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from core.registry import METHODS

FONT = "Arial, Liberation Sans, Helvetica, DejaVu Sans, sans-serif"
SYMBOLS = {
    "dense": "star",
    "unstructured": "circle",
    "structured": "square",
    "low rank": "diamond",
    "quantisation": "triangle-up",
    "embedding": "hexagon",
}
TRAINED = "-trained"  # ends the names of methods that prune while they train: drawn as if trained afterwards
RECOVERED = {"lora": "cross", "distill-white": "x", "distill-black": "diamond-tall"}  # markers of what was trained
PATTERN_MARKS = {"4:8": "-dot"}  # added to the hollow marker of what was removed in an N:M pattern
DASHES = ("solid", "dash", "dashdot", "longdash")
# Methods that only papers report: (name, family), after the registry's own in each family.
PUBLISHED_ONLY = (("adaprune", "unstructured"),)
FAMILY_OFFSET = {"unstructured": 0, "structured": 4, "low rank": 2, "quantisation": 5, "embedding": 3}


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


def theme_named(name: str | None) -> Theme:
    """Return the theme of a page that reports itself as `light` or `dark`."""
    return DARK if name == "dark" else LIGHT


def family_of(method: str) -> str:
    """Return the family of a method's name, papers' methods included."""
    known = {found.name: found.family for found in METHODS} | dict(PUBLISHED_ONLY)
    return known.get(method, "structured")


def look(method: str, theme: Theme, recovery: str | None = None) -> Look:
    """Return how a method is drawn: marker by family, colour and dash by its place in it.

    After a recovery, and for methods that train themselves, the marker is the recovery's, and the line dotted.
    """
    if method.endswith(TRAINED):
        return look(method.removesuffix(TRAINED), theme, recovery or "lora")
    family = family_of(method)
    if family == "dense":
        return Look(theme.text, "dot", SYMBOLS["dense"])
    members = [found.name for found in METHODS if found.family == family and not found.name.endswith(TRAINED)]
    members += [name for name, its_family in PUBLISHED_ONLY if its_family == family and name not in members]
    place = members.index(method) if method in members else len(members)
    color = theme.palette[(FAMILY_OFFSET[family] + place) % len(theme.palette)]
    if isinstance(recovery, str):
        return Look(color, "dot", RECOVERED.get(recovery, "cross"))
    return Look(color, DASHES[place % len(DASHES)], SYMBOLS[family])


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
