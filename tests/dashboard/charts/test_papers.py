"""Charts of published tables."""

import pytest

from core.findings import axes
from core.store import bundled
from dashboard.charts import papers, scores
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import LIGHT
from tests.dashboard.charts.drawn import arrows


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
