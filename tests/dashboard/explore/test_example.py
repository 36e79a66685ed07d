"""Explore on a store of made-up results, which these tests only read."""

import pytest

from core.findings.pairs.paired import CANNOT
from core.metrics import metric
from tests.dashboard.opened import captions, charts, control, open_app, read
from tests.synthetic import curve

pytestmark = pytest.mark.usefixtures("example")
ACCURACIES = "zero-shot, points (higher is better)"


def test_the_curve_follows_amount_axis_and_methods():
    app = open_app()
    assert (
        [title.value for title in app.title] == ["At 50 % pruning, SparseGPT has 1.84 times the dense perplexity"]
        and len(charts(app)) == 2
        and not app.error
    )
    assert "passages-eval: window 2048" in captions(app)
    table = app.dataframe[0].value
    assert len(table) == len(curve())
    assert {"GMACs", "Peak memory (MB)", metric("kl").title, metric("agreement").title}.isdisjoint(
        table
    )  # nobody measured them
    control(app, "explore_at").set_value("30 %").run()
    start = "smollm2-135m at a pruning ratio of 30 %, without training: **SparseGPT** has the lowest perplexity of 3 "
    assert start in read(app) and "No variant with training is measured" in read(app)
    assert " times dense" in read(app) and " MB (dense: " in read(app)
    control(app, "explore_at").set_value("2:4").run()
    assert "smollm2-135m with 2:4 sparsity, without training: **SparseGPT** has" in read(app)
    control(app, "explore_at").set_value("40 %").run()
    assert "No zero-shot accuracy at 40 %" in app.info[0].value
    app.selectbox(key="explore_x").set_value("decode latency").run()
    assert "have no latency" in app.info[0].value
    app.multiselect(key="explore_methods").set_value([]).run()
    assert "at least one method" in app.info[0].value and not app.exception


def test_without_pairs_accuracies_are_shown_with_the_reason():
    app = open_app()
    drawn = " ".join(one.proto.spec for one in charts(app))
    assert ACCURACIES in drawn and "zero-shot minus dense" not in drawn
    assert "Differences to dense are unavailable: per-document answers were not stored." in captions(app)
    assert "explore_as" not in {group.key for group in app.get("button_group")}
    control(app, "explore_tasks").set_value("Task by task").run()
    assert "Chance: a random choice" in captions(app) and "Majority" not in captions(app)
    assert set(app.dataframe[0].value["Perplexity is"].dropna()) == {CANNOT}
    assert "Holm" not in captions(app) and not app.exception


def test_few_shot_without_results_shows_a_message():
    app = open_app(explore_mode="Few-shot")
    assert "No task has few-shot results yet" in app.info[0].value and not charts(app)
