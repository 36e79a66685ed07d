"""Colours, markers and dashes show methods, families and parameters."""

import pandas as pd
import pytest

from core.findings import axes
from core.methods.structured.experts import ExpertMethod
from core.methods.unstructured.base import ScoreMethod
from core.registry import METHODS
from core.store import bundled
from core.training.base import TrainPruneMethod
from dashboard.charts import papers, scores
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import DARK, LIGHT, OF_FAMILIES, MarkStyle, look, style_of


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
