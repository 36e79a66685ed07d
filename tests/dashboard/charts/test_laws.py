"""A law drawn over its points: the band, no line beyond the largest ratio, and the printed chart."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.findings.laws.fit import best_of, fits
from core.findings.laws.measured import means, of_accuracies, of_perplexities
from dashboard.charts.elements.style import DARK, LIGHT
from dashboard.charts.laws import law_chart, points
from tests.dashboard.charts.drawn import trace


@pytest.fixture(scope="module")
def groups(frame):
    rows = frame[frame["metric"] == "perplexity"]
    return {one.name: one for one in of_perplexities(rows)}


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_lines_end_at_the_largest_ratio_and_the_best_has_a_band(groups, theme):
    fitted = fits(groups["SparseGPT"])
    best = best_of(fitted)
    figure = law_chart(fitted, "Perplexity", theme)
    lines = [found for found in figure.data if found.mode == "lines" and not found.fill]
    assert [found.name.partition(",")[0] for found in lines] == ["1 + r", "1 - r", "P2"]
    assert {found.x[-1] for found in lines} == {0.7} and all(np.isfinite(found.y).all() for found in lines)
    (shown,) = [found for found in lines if found.name.endswith("predicts best")]
    assert shown.name.startswith(best.form.name) and shown.line.dash == "solid"
    band = trace(figure, "95 % band")
    steps = len(shown.x)
    low, high = np.array(band.y[:steps]), np.array(band.y[steps:][::-1])
    assert (low <= high).all() and max(band.x) == 0.7
    assert np.mean((low <= shown.y) & (shown.y <= high)) > 0.9


def test_points_are_the_measured_perplexities(groups):
    fitted = fits(groups["SparseGPT"])
    figure = law_chart(fitted, "Perplexity", LIGHT)
    assert list(trace(figure, "SparseGPT").y) == pytest.approx([20.3, 20.9, 22.8, 26.5, 37.0, 75, 260])
    assert list(trace(figure, "Dense").x) == [0]
    low, high = figure.layout.yaxis.range
    assert figure.layout.yaxis.type == "log" and 10**low < 20.1 and 10**high > 260
    table = points(fitted)
    assert list(table["value"])[1:] == pytest.approx([20.3, 20.9, 22.8, 26.5, 37.0, 75, 260])
    assert list(table.columns) == ["series_label", "ratio", "value", "1 + r", "1 - r", "P2"]


def test_diverged_points_and_legend_entries_of_many_series_are_omitted(groups):
    assert groups["Magnitude"].left_out == 1 and groups["Magnitude"].largest == 0.6
    fitted = fits(groups["Unstructured"])
    figure = law_chart(fitted, "Perplexity", LIGHT)
    assert trace(figure, "Magnitude").showlegend  # of three
    rows = fitted[0].group.rows
    more = pd.concat([rows, rows.tail(1).assign(series="Another")], ignore_index=True)
    figure = law_chart(fits(replace(fitted[0].group, rows=more)), "Perplexity", LIGHT)
    assert not trace(figure, "Magnitude").showlegend and trace(figure, "Dense").showlegend


def test_accuracies_are_in_percent(frame):
    fitted = fits(of_accuracies(means(frame), "mean")[0])
    figure = law_chart(fitted, "Accuracy", LIGHT)
    assert figure.layout.yaxis.type is None and all(20 < value < 60 for value in trace(figure, "Dense").y)
