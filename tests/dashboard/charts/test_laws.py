"""Charts of laws and of published tables: every point, the band, and no line beyond the largest ratio."""

import numpy as np
import pandas as pd
import pytest

from core.findings import axes
from core.findings.laws.fit import fits
from core.findings.laws.law import law
from core.findings.laws.limit import Limit
from core.findings.laws.measured import of_perplexities
from core.store import bundled
from dashboard.charts import papers, scores
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import DARK, LIGHT
from dashboard.charts.laws import law_chart, points
from tests.dashboard.charts.drawn import arrows, trace


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


@pytest.mark.parametrize("table", papers.TABLES, ids=lambda table: table.title)
def test_charts_of_published_tables_draw_every_value(table):
    rows = papers.rows_of(bundled.published(), table)
    read, scored = rows[rows["metric"] == "perplexity"], rows[rows["metric"] != "perplexity"]
    if table.by == "model":
        for corpus in ("wikitext2", "ptb", "c4"):
            part = read[read["dataset"] == corpus]
            models = list(dict.fromkeys(part["model"]))
            figure = papers.perplexity_by_model(papers.by_model(part), models, LIGHT, corpus)
            assert sum(len(one.y) for one in figure.data) == len(part) == 42
    if table.by == "ratio":
        part = read[(read["dataset"] == "wikitext2") & ~read["tuned"]]
        figure = perplexity_curve(*papers.by_ratio(part), axes.RATIO, LIGHT, "wikitext2")
        assert sum(len(one.y) for one in figure.data if one.customdata is not None) == len(part)
        both = read[read["dataset"] == "wikitext2"]
        figure = perplexity_curve(*papers.by_ratio(both), axes.RATIO, LIGHT, "wikitext2")
        assert len(arrows(figure)) == both["tuned"].sum() > 0
        drawn = papers.by_task(scored[scored["removed"].isin(["0 %", "50 %"])])
        figure = scores.accuracy_dots(drawn, LIGHT, list(dict.fromkeys(drawn["task"])))
        assert len(arrows(figure)) == drawn["recovery"].notna().sum() > 0
    if len(scored):
        shown = papers.by_task(scored[~scored["tuned"] & scored["removed"].isin(["0 %", "20 %", "50 %", "2:4", "4:8"])])
        assert shown["value"].between(0, 1).all()


def test_the_mean_of_a_published_table_equals_the_printed_mean():
    rows = papers.rows_of(bundled.published(), papers.TABLES[1])
    shown = papers.by_task(rows).set_index(["series_label", "task"])["value"]
    assert 100 * shown["Dense", "Mean of 5 tasks"] == pytest.approx(70.29, abs=0.01)
    assert 100 * shown["SparseGPT, 2:4", "Mean of 5 tasks"] == pytest.approx(69.11, abs=0.01)
