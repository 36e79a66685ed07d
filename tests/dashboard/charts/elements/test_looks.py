"""Colours, markers, dashes and swatches show methods, families and parameters, and a `Drawing` equals its figure."""

import re
import tomllib
from base64 import b64decode

import pandas as pd
import plotly.graph_objects as go
import pytest

from core.base.paths import PROJECT
from core.findings import axes
from core.methods.structured.experts import ExpertMethod
from core.methods.structured.slimllm import SlimLLM
from core.methods.unstructured.base import ScoreMethod
from core.registry import METHODS, STAGES
from core.store import bundled
from core.training.base import TrainPruneMethod
from dashboard.charts import papers, scores
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import (
    BARS,
    CORNERS,
    DARK,
    DASHES,
    LIGHT,
    OF_FAMILIES,
    MarkStyle,
    layout,
    look,
    style_of,
    swatch,
)


def test_each_pattern_has_its_own_marker():
    drawn = papers.by_task(papers.rows_of(bundled.published(), papers.TABLES[1]))
    published = scores.accuracy_dots(drawn, LIGHT, list(dict.fromkeys(drawn["task"])))
    marks = {one.name: one.marker.symbol for one in published.data}
    assert marks["SparseGPT, 4:8"] != marks["SparseGPT, 2:4"]


@pytest.mark.parametrize("family", ["unstructured", "structured"])
def test_markers_show_families_and_colours_show_methods(family):
    styles = [
        look(method.name, LIGHT)
        for method in METHODS
        if method.family == family and not issubclass(method, TrainPruneMethod | ExpertMethod)
    ]
    if family == "structured":
        experts = [look(method.name, LIGHT) for method in METHODS if issubclass(method, ExpertMethod)]
        assert len({style.color for style in experts}) == len(experts)  # which work on other models than most
    assert len({style.symbol for style in styles}) == 1
    assert len({style.color for style in styles}) == len(styles)
    assert look("wanda", LIGHT).dash == look("wanda", DARK).dash
    assert look("loraprune-trained", LIGHT) == look("loraprune+lora", LIGHT) != look("loraprune", LIGHT)


def test_series_of_different_parameters_have_shades_of_one_colour(perplexities):
    found, dense = perplexities
    other = found[found["series_label"] == "Wanda"].assign(series_label="Wanda (other)", series_chain="wanda@,other=1")
    lines = perplexity_curve(pd.concat([found, other], ignore_index=True), dense, axes.RATIO, LIGHT, "x").data
    looks = {trace.name: (trace.line.color, trace.line.dash) for trace in lines if trace.mode == "lines+markers"}
    assert looks["Wanda"][0] == look("wanda", LIGHT).color != looks["Wanda (other)"][0]
    assert looks["Wanda"][1] != looks["Wanda (other)"][1]


def test_a_plugin_looks_as_it_declares_or_else_like_its_family():
    plain = type("Plain", (ScoreMethod,), {"name": "plain"})
    own = type("Own", (ScoreMethod,), {"name": "own", "colour": 4, "marker": "star-square"})
    assert style_of(plain) == OF_FAMILIES["unstructured"]
    assert style_of(own) == MarkStyle(4, "star-square", OF_FAMILIES["unstructured"].dash)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_methods_have_stable_styles(theme):
    # A new method changes no other colour: published figures show these.
    fixed = {"magnitude": 0, "wanda": 1, "sparsegpt": 2, "slimllm": 8, "llm-pruner": 5, "svd-llm": 4}
    assert {name: theme.palette.index(look(name, theme).color) for name in fixed} == fixed


def picture(method, theme):
    (source,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', swatch(method, theme))
    return b64decode(source).decode()


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_method_has_its_own_swatch_in_its_colour(theme):
    drawn = {method.name: picture(method, theme) for method in STAGES}
    assert len(set(drawn.values())) == len(STAGES)
    assert all(look(name, theme).color in svg for name, svg in drawn.items())


def test_every_marker_and_dash_is_drawn():
    styles = [look(method.name, LIGHT) for method in STAGES]
    assert {style.symbol for style in styles} <= {*CORNERS, *BARS, "circle"} | {"square"}
    assert {style.dash for style in styles} <= {*DASHES, "solid"}
    assert "<circle" not in picture(SlimLLM, LIGHT)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_charts_and_pages_have_the_same_colours(theme):
    page = tomllib.loads((PROJECT / "dashboard" / ".streamlit" / "config.toml").read_text())["theme"][theme.name]
    assert (page["backgroundColor"], page["textColor"]) == (theme.paper, theme.text)
    assert tuple(page["chartCategoricalColors"]) == theme.palette


def test_a_drawing_equals_the_figure_built_with_plotly_and_shares_no_layout():
    drawing = Drawing(LIGHT, 300)
    drawing.scatter(x=[1, 2], y=[3, 4], mode="lines", line={"color": "#123456"})
    drawing.trace("heatmap", z=[[1, 2]])
    drawing.across(3, {"width": 2}, layer="below")
    drawing.across(4, {"width": 1}, name="there")
    drawing.lay_out(xaxis={"title": {"text": "Removed"}, "range": [0, 1]}, margin={"r": 70})
    drawing.write(text="words", x=0, y=1)
    figure = go.Figure(layout=layout(LIGHT, 300))
    figure.add_scatter(x=[1, 2], y=[3, 4], mode="lines", line={"color": "#123456"}, hoverinfo="skip", showlegend=False)
    figure.add_heatmap(z=[[1, 2]])
    figure.add_hline(y=3, line={"width": 2}, layer="below")
    figure.add_hline(y=4, line={"width": 1}, name="there")
    figure.update_xaxes(title_text="Removed", range=[0, 1])
    figure.update_layout(margin_r=70)
    figure.add_annotation(text="words", x=0, y=1)
    assert drawing.figure() == figure
    first, second = Drawing(LIGHT, 300), Drawing(LIGHT, 300)
    first.lay_out(xaxis={"range": [0, 1]})
    assert "range" not in first.layout["yaxis"] and "range" not in second.layout["xaxis"]
