"""Estimated chains on the trade-off view: their sentence, their rows, their marks and their runs."""

import json

import pytest

from core.findings.best.budget import ACCURACY
from core.findings.estimates import combinations as estimates
from core.findings.estimates import words as estimate_words
from dashboard import data
from dashboard.explore import missing
from tests.dashboard.explore.given import open_tradeoff, ranked
from tests.dashboard.opened import captions, charts, read
from tests.synthetic import chained

TEXT = "BoolQ passages, 16 x 2048 tokens"
FIRST = "gptq@4bit+rtn@8bit,on=embedding"


@pytest.fixture
def parts(store):
    for chain, value in (("dense", 20.0), ("gptq@4bit", 24.0), ("rtn@8bit,on=embedding", 20.2), ("gptq@3bit", 40.0)):
        store.put(chained(chain, value, scored=False))
    return store


def listed(app):
    return app.dataframe[0].value.set_index("Chain")


def test_estimates_are_marked_in_the_list_and_hollow_on_the_chart_and_never_win(parts):
    app = open_tradeoff(text=TEXT, limit_packed_mb=260)
    shown = listed(app)
    assert shown.loc[FIRST, estimate_words.MEASURED] == estimate_words.NO
    measured = shown[estimate_words.MEASURED] == estimate_words.YES
    assert list(measured) == sorted(measured, reverse=True) and measured.iloc[0]
    assert "**GPTQ 4 bit + RTN (on embedding), 8 bit** has the lowest perplexity" not in read(app)
    (chart,) = charts(app)[:1]
    traces = json.loads(chart.proto.spec)["data"]
    hollow = [trace for trace in traces if trace.get("legendgroup") == "estimated" and trace.get("hovertext")]
    assert sum(len(trace["hovertext"]) for trace in hollow) == (~measured).sum()
    assert all(trace["marker"]["symbol"].endswith("-open") for trace in hollow)
    assert any(trace.get("name") == "Estimated, not measured" for trace in traces)
    assert "It has no interval, because 0 measured chains check it, and 5 are needed." in captions(app)
    app.session_state[missing.ESTIMATED] = True
    app.run()
    assert f"Measure all {(~measured).sum()} estimates" in app.button(key="explore_run_estimated").label
    app.button(key="explore_run_estimated").click().run()
    assert len(data.queue().jobs()) == (~measured).sum() == 2 and not app.exception


def test_an_estimate_that_is_likely_better_is_named_and_runs_with_the_data_of_its_parts(parts):
    parts.put(chained("gptq@4bit", 23.0, scored=False, calibration="passages-calibration:8x2048", seed=2))
    app = open_tradeoff(text=TEXT, limit_times_dense=1.9, only_method="GPTQ")
    assert "Not measured" not in read(app)  # the stored part alone is better and as small as the estimate
    app = open_tradeoff(text=TEXT, only_method="GPTQ", limit_packed_mb=260)
    app.session_state[missing.ESTIMATED] = True
    app.run()
    buttons = {button.key: button.label for button in app.button}
    assert buttons["explore_run_best"].startswith("Measure the best estimate")
    app.button(key="explore_run_best").click().run()
    (job,) = data.queue().jobs()
    stages = job.spec.variant.stages
    assert [stage.method for stage in stages] == ["gptq", "rtn"] and not app.exception
    assert (str(stages[0].calibration), stages[0].seed) == ("passages-calibration:8x2048", 2)
    assert [text.corpus for text in job.spec.perplexity] == ["passages-eval"]


def test_only_perplexities_and_sizes_are_estimated(parts):
    assert len(ranked().estimates) == 2 and ranked(ACCURACY).estimates.empty
    for limit in estimates.UNKNOWN:
        assert ranked(**{limit: 0.5}).estimates.empty
