"""The trade-off ranked by KL divergence and top-1 agreement, and with estimated chains."""

import json
import math
import random

import pandas as pd
import pytest
from scipy import stats

from core.findings.best.budget import ACCURACY
from core.findings.best.candidates import candidates, without_perplexity
from core.findings.best.qualities import QUALITIES
from core.findings.estimates import combinations as estimates
from core.findings.estimates import words as estimate_words
from core.findings.numbers.frame import tidy
from core.findings.pairs.paired import CANNOT, INTERVAL
from core.findings.rows import choices
from core.metrics import metric
from core.notation.chain import format_chain
from core.results import AGREEMENT, KL
from dashboard import data
from dashboard.charts.tradeoff_axes import Heights, percent_ticks
from dashboard.explore import missing
from tests.dashboard.explore.given import open_tradeoff, ranked, table
from tests.dashboard.opened import captions, charts, control, decoded, read
from tests.synthetic import chained, compared, curve, result

LABELS = {KL: "KL divergence", AGREEMENT: "Top-1 agreement"}
TITLES = {KL: metric("kl").title, AGREEMENT: metric("agreement").title}
UNMEASURED = "wanda@0.1"


@pytest.fixture(scope="module")
def near(example):
    """Results with fidelity, in another order than their perplexities; dense and one variant have none."""
    draw = random.Random(0)
    for one in [*curve(), result("wanda", 44.5, 0.5, seed=1)]:
        kl, agreement = draw.uniform(0.01, 3), draw.uniform(0.2, 0.97)
        if format_chain(one.variant.stages) not in ("dense", UNMEASURED):
            example.put(compared(one, kl, 3 * kl, agreement))
    example.put(compared(result("sparsegpt", 20.3, 0.1), 0.0075, 0.03, 0.985))
    example.put(compared(result("magnitude", 3.4e5, 0.7), math.inf, math.inf, 0.21))
    example.put(chained("wanda@0.5", 30.0, corpus="wikitext2"))
    data.show_now()
    return example


def by_hand(quality) -> list[str]:
    """Return the chains with the quality, the best first, as means over seeds, and dense before them."""
    rows = data.frame("smollm2-135m")
    means = rows[rows["metric"] == quality].groupby("chain")["value"].mean()
    return ["dense", *sorted(means.index, key=lambda chain: means[chain] if quality == KL else -means[chain])]


def by(quality, **query):
    return open_tradeoff(quality=LABELS[quality], **query)


def drawn(app) -> dict:
    """Return the chart of the trade-off."""
    return json.loads(charts(app)[0].proto.spec)


@pytest.mark.parametrize("quality", LABELS)
def test_the_list_is_in_the_order_of_the_stored_numbers_with_their_intervals(near, quality):
    shown = ranked(quality).table
    expected = by_hand(quality)
    assert len(expected) > 20 and list(shown["Chain"])[: len(expected)] == expected
    assert shown[TITLES[quality]][: len(expected)].notna().all()
    assert shown[TITLES[quality]][len(expected) :].isna().all()
    assert list(shown)[2] == TITLES[quality] and {"Times dense", "Above chance (points)"} <= set(shown)
    shown = shown.set_index("Chain")
    value, written = (0.0075, "{:.3g}") if quality == KL else (98.5, "{:.1f}")
    half = stats.t.ppf(0.975, 3) * value / 20  # 3 cosines of 16 windows
    ends = value - half, min(100.0, value + half) if quality == AGREEMENT else value + half
    assert shown.loc["sparsegpt@0.1", INTERVAL] == f"[{written.format(ends[0])}, {written.format(ends[1])}]"
    assert pd.isna(shown.loc["wanda@0.5", INTERVAL])  # a mean of two seeds
    assert pd.isna(shown.loc["dense", INTERVAL])
    assert set(ranked(quality, packed_mb=265).table["Compared with the first"].dropna()) == {CANNOT}


@pytest.mark.parametrize(
    ("quality", "best", "axis", "dense"),
    [
        (KL, "has the lowest KL divergence: 0.0075 nats", "KL divergence on passages-eval (nats", "dense 0"),
        (AGREEMENT, "has the highest top-1 agreement: 98.5 %", "Top-1 agreement on passages-eval (%", "dense 100"),
    ],
)
def test_answer_axis_and_captions_name_the_measure(near, quality, best, axis, dense):
    app = by(quality, limit_packed_mb=265)
    assert f"**SparseGPT 10 %, passages** {best} (unadjusted 95 % [" in read(app)
    figure = drawn(app)
    assert axis in figure["layout"]["title"]["text"].replace("<br>", " ")
    assert dense in json.dumps(figure) and QUALITIES[quality].name in json.dumps(figure["data"])
    notes = captions(app)
    assert f"the best {QUALITIES[quality].name} first" in notes
    assert f"1 ({QUALITIES[quality].name} not measured)" in notes
    assert f"{INTERVAL}: interval of the mean over windows" in notes
    if quality == AGREEMENT:
        axis = figure["layout"]["yaxis"]
        assert axis["range"][1] > 100 and axis["ticktext"] == ["20", "40", "60", "80", "100"]
        return
    assert "Triangles in the grey band: infinite KL divergence." in notes
    assert "1 more variant fits: infinite KL divergence." in read(app)
    figure = drawn(app := by(KL))
    low, high = (10**end for end in figure["layout"]["yaxis"]["range"])
    assert "∞" in figure["layout"]["yaxis"]["ticktext"]
    star = next(trace for trace in figure["data"] if trace.get("name") == "Dense" and "customdata" in trace)
    (height,) = decoded(star["y"])
    assert low < height < 0.0075 < 3 < high
    assert "At the lower edge: below 0.0001 nats." in captions(app)
    box = next(one for one in app.selectbox if one.label == "Perplexity on")
    box.set_value(next(one for one in box.options if one.startswith("WikiText-2"))).run()
    assert not app.exception and control(app, "explore_quality").value == "Perplexity"
    assert metric("kl").title not in table(app)


def test_ticks_of_a_narrow_axis_end_at_100():
    assert [f"{tick:g}" for tick in percent_ticks(Heights(96.3, 101, 101))] == ["97", "98", "99", "100"]


def test_numbers_of_another_text_do_not_count():
    rows = tidy([*curve(), compared(chained("wanda@0.45", 30.0, corpus="wikitext2"), 0.001, 0.002, 0.999)])
    text = next(iter(choices.texts(rows).values()))
    measured, more = choices.on_text(rows, *text), choices.on_text(rows, *text, (KL, AGREEMENT))
    every = candidates(measured, rows[:0], unread=without_perplexity(rows, measured), compared=more)
    assert every.set_index("chain").loc["wanda@0.45", [KL, AGREEMENT]].isna().all()


def test_variants_without_the_numbers_are_offered_with_fidelity_but_the_dense_model_is_not(near):
    app = by(KL)
    assert "One variant is not ranked: KL divergence not measured" in [box.label for box in app.expander]
    app.session_state[missing.UNSCORED] = True
    app.run()
    app.button(key="explore_run_unscored").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.fidelity and not job.spec.tasks and not app.exception


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
