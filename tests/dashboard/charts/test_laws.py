"""A law drawn over its points: the band, no line beyond the largest ratio, and the printed chart."""

import numpy as np
import pandas as pd
import pytest

from core.findings.laws.fit import fits
from core.findings.laws.law import law
from core.findings.laws.limit import Limit
from core.findings.laws.measured import of_perplexities
from dashboard.charts.elements.style import DARK, LIGHT
from dashboard.charts.laws import law_chart, points
from tests.dashboard.charts.drawn import trace


@pytest.fixture(scope="module")
def groups(frame):
    rows = frame[frame["metric"] == "perplexity"]
    return {one.name: one for one in of_perplexities(rows)}


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_lines_end_at_the_largest_ratio_and_the_best_has_a_band(groups, theme):
    found = law(fits(groups["SparseGPT"]), Limit())
    figure = law_chart(found, "Perplexity", theme)
    lines = [line for line in figure.data if line.mode == "lines" and not line.fill]
    assert [line.name.partition(",")[0] for line in lines] == ["1 + r", "1 - r", "P2"]
    assert {line.x[-1] for line in lines} == {0.7} and all(np.isfinite(line.y).all() for line in lines)
    (shown,) = [line for line in lines if line.name.endswith("predicts best")]
    assert shown.name.startswith(found.best.form.name) and shown.line.dash == "solid"
    band = trace(figure, "95 % band")
    steps = len(shown.x)
    low, high = np.array(band.y[:steps]), np.array(band.y[steps:][::-1])
    assert (low <= high).all() and max(band.x) == 0.7
    assert np.mean((low <= shown.y) & (shown.y <= high)) > 0.9


def test_points_are_the_measured_perplexities(groups):
    found = law(fits(groups["SparseGPT"]), Limit())
    figure = law_chart(found, "Perplexity", LIGHT)
    assert list(trace(figure, "SparseGPT").y) == pytest.approx([20.3, 20.9, 22.8, 26.5, 37.0, 75, 260])
    assert list(trace(figure, "Dense").x) == [0]
    low, high = figure.layout.yaxis.range
    assert figure.layout.yaxis.type == "log" and 10**low < 20.1 and 10**high > 260
    table = points(found)
    assert list(table["value"])[1:] == pytest.approx([20.3, 20.9, 22.8, 26.5, 37.0, 75, 260])
    assert list(table.columns) == ["series_label", "ratio", "value", "1 + r", "1 - r", "P2"]


def test_diverged_points_and_legend_entries_of_many_series_are_omitted(groups):
    assert groups["Magnitude"].left_out == 1 and groups["Magnitude"].largest == 0.6
    found = law(fits(groups["Unstructured"]), Limit())
    figure = law_chart(found, "Perplexity", LIGHT)
    assert trace(figure, "Magnitude").showlegend  # of three
    more = pd.concat([found.rows, found.rows.tail(1).assign(series="Another")], ignore_index=True)
    figure = law_chart(law(fits(found.group._replace(rows=more)), Limit()), "Perplexity", LIGHT)
    assert not trace(figure, "Magnitude").showlegend and trace(figure, "Dense").showlegend
