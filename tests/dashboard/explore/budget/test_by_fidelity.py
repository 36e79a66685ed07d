"""The trade-off ranked by KL divergence and top-1 agreement."""

import json
import math
import random

import pandas as pd
import pytest
from scipy import stats

from core.analysis.budget import Budget, ranked
from core.notation.chain import format_chain
from core.results import AGREEMENT, KL
from dashboard import data
from dashboard.charts.elements.figures import AGREEMENT_TITLE, KL_TITLE
from dashboard.charts.frames.paired import CANNOT, INTERVAL
from dashboard.charts.qualities import QUALITIES, quality_of
from dashboard.charts.tradeoff import PACKED
from dashboard.charts.tradeoff_axes import Heights, percent_ticks
from dashboard.explore import missing
from dashboard.explore.budget.chart import pivots_of
from dashboard.explore.budget.pairs import differences_to_best
from tests.dashboard.explore.budget.test_tradeoff import open_tradeoff, table
from tests.dashboard.opened import charts, control, decoded, open_app, read
from tests.dashboard.synthetic import chained, compared, curve, result

LABELS = {KL: "KL divergence", AGREEMENT: "Top-1 agreement"}
TITLES = {KL: KL_TITLE, AGREEMENT: AGREEMENT_TITLE}
UNMEASURED = "wanda@0.1"


@pytest.fixture
def near(filled):
    """Store results with fidelity, in another order than their perplexities; dense and one variant have none."""
    draw = random.Random(0)
    for one in [*curve(), result("wanda", 44.5, 0.5, seed=1)]:
        kl, agreement = draw.uniform(0.01, 3), draw.uniform(0.2, 0.97)
        if format_chain(one.variant.stages) not in ("dense", UNMEASURED):
            filled.put(compared(one, kl, 3 * kl, agreement))
    filled.put(compared(result("sparsegpt", 20.3, 0.1), 0.0075, 0.03, 0.985))
    data.show_now()
    return filled


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
def test_the_list_is_in_the_order_of_the_stored_numbers(near, quality):
    shown = table(by(quality))
    expected = by_hand(quality)
    assert len(expected) > 20 and list(shown["Chain"])[: len(expected)] == expected
    assert shown[TITLES[quality]][: len(expected)].notna().all()
    assert shown[TITLES[quality]][len(expected) :].isna().all()
    assert list(shown)[2] == TITLES[quality] and {"Times dense", "Mean accuracy (%)"} <= set(shown)


@pytest.mark.parametrize(
    ("quality", "best", "axis", "dense"),
    [
        (
            KL,
            "has the lowest KL divergence: 0.0075 nats",
            "KL divergence on passages-eval (nats",
            "dense 0",
        ),
        (AGREEMENT, "has the highest top-1 agreement: 98.5 %", "Top-1 agreement on passages-eval (%", "dense 100"),
    ],
)
def test_answer_axis_and_captions_name_the_measure(near, quality, best, axis, dense):
    app = by(quality, limit_packed_mb=265)
    assert f"**SparseGPT, 10 %** {best} (unadjusted 95 % [" in read(app)
    figure = drawn(app)
    assert axis in figure["layout"]["title"]["text"].replace("<br>", " ")
    assert dense in json.dumps(figure) and QUALITIES[quality].name in json.dumps(figure["data"])
    captions = " ".join(one.value for one in app.caption)
    assert f"the best {QUALITIES[quality].name} first" in captions
    assert f"1 ({QUALITIES[quality].name} not measured)" in captions
    assert f"{INTERVAL}: interval of the mean over windows" in captions and not app.exception


@pytest.mark.parametrize("quality", LABELS)
def test_intervals_follow_from_the_standard_error_over_16_windows(near, quality):
    shown = table(by(quality)).set_index("Chain")
    value, written = (0.0075, "{:.3g}") if quality == KL else (98.5, "{:.1f}")
    half = stats.t.ppf(0.975, 3) * value / 20  # 3 cosines of 16 windows
    ends = value - half, min(100.0, value + half) if quality == AGREEMENT else value + half
    assert shown.loc["sparsegpt@0.1", INTERVAL] == f"[{written.format(ends[0])}, {written.format(ends[1])}]"
    assert pd.isna(shown.loc["wanda@0.5", INTERVAL])  # a mean of two seeds
    assert pd.isna(shown.loc["dense", INTERVAL])


@pytest.mark.parametrize("quality", LABELS)
def test_a_link_without_such_numbers_is_answered_with_the_usual_notice(filled, quality):
    app = by(quality)
    notice = f"This link asks for a quality that is not here: {LABELS[quality]}. Shown: Perplexity."
    assert notice in " ".join(one.value for one in app.info).replace("\\", "")
    assert control(app, "explore_quality").options == ["Perplexity", "Mean accuracy"] and not app.exception


def test_a_choice_that_another_text_lacks_falls_back_to_perplexity(near):
    near.put(chained("wanda@0.5", 30.0, corpus="wikitext2"))
    app = by(KL)
    box = next(one for one in app.selectbox if one.label == "Perplexity on")
    box.set_value(next(one for one in box.options if one.startswith("WikiText-2"))).run()
    assert not app.exception and control(app, "explore_quality").value == "Perplexity"
    assert KL_TITLE not in table(app)


def test_numbers_of_another_text_do_not_count(near):
    near.put(compared(chained("wanda@0.45", 30.0, corpus="wikitext2"), 0.001, 0.002, 0.999))
    shown = table(by(KL)).set_index("Chain")
    assert pd.isna(shown.loc["wanda@0.45", KL_TITLE])


def test_variants_without_the_numbers_are_offered_with_fidelity_but_the_dense_model_is_not(near):
    app = by(KL)
    assert "One variant is not ranked: KL divergence not measured" in [box.label for box in app.expander]
    app.session_state[missing.UNSCORED] = True
    app.run()
    app.button(key="explore_run_unscored").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.fidelity and not job.spec.tasks and not app.exception


def test_a_divergence_that_is_infinite_or_zero_lies_at_an_edge_of_the_chart(near):
    near.put(compared(result("magnitude", 3.4e5, 0.7), math.inf, math.inf, 0.0))
    app = by(KL, limit_packed_mb=265)
    captions = " ".join(one.value for one in app.caption)
    assert "Triangles in the grey band: infinite KL divergence." in captions
    assert "1 more variant fits: infinite KL divergence." in read(app)
    figure = drawn(by(KL))
    low, high = (10**end for end in figure["layout"]["yaxis"]["range"])
    assert "∞" in figure["layout"]["yaxis"]["ticktext"]
    star = next(trace for trace in figure["data"] if trace.get("name") == "Dense" and "customdata" in trace)
    (height,) = decoded(star["y"])
    assert low < height < 0.0075 < 3 < high
    assert "At the lower edge: below 0.0001 nats." in " ".join(one.value for one in by(KL).caption)


def test_an_axis_of_agreement_has_no_ticks_above_100(near):
    axis = drawn(by(AGREEMENT))["layout"]["yaxis"]
    assert axis["range"][1] > 100 and axis["ticktext"] == ["20", "40", "60", "80", "100"]
    assert [f"{tick:g}" for tick in percent_ticks(Heights(96.3, 101, 101))] == ["97", "98", "99", "100"]


def test_pivots_have_the_measure_and_its_unit(near):
    rows = points_of(near)
    for quality, value in ((KL, 0.0075), (AGREEMENT, 98.5)):
        found = ranked(rows, Budget(), "packed_mb", quality)
        pivot, *_ = pivots_of(found, PACKED, quality_of(quality, "wikitext2"))
        assert pivot.title.startswith(LABELS[quality]) and "WikiText-2" in pivot.title
        assert pivot.lower_is_better == (quality == KL)
        cell = pivot.cells["SparseGPT", "10 %"]
        assert cell.value == pytest.approx(value) and cell.error == pytest.approx(value / 20)


def points_of(store) -> pd.DataFrame:
    from dashboard.charts.frames import choices
    from dashboard.charts.frames.candidates import candidates

    rows = data.frame("smollm2-135m")
    text = next(iter(choices.texts(rows).values()))
    more = choices.on_text(rows, *text, (KL, AGREEMENT))
    return candidates(choices.on_text(rows, *text), rows[:0], compared=more)


@pytest.mark.parametrize("quality", LABELS)
def test_paired_tests_against_the_best_are_those_of_the_measure(near, quality, monkeypatch):
    rows = data.frame("smollm2-135m")
    asked = []

    def paired(seeds, reference, numbers):
        asked.extend(numbers)
        return pd.DataFrame({"key": [keys[0] for keys in seeds], "metric": quality, "dataset": "passages-eval"})

    monkeypatch.setattr(data, "paired", paired)
    found = ranked(points_of(near), Budget(packed_mb=265), "packed_mb", quality)
    tests = differences_to_best(found, rows[rows["metric"] == quality])
    assert len(tests) == 19 and {metric for _, metric, _ in asked} == {quality}


def test_without_stored_answers_no_variant_is_tested(near):
    assert set(table(by(KL, limit_packed_mb=265))["Compared with the first"].dropna()) == {CANNOT}


def test_the_law_of_the_page_describes_no_fidelity(near):
    assert any(header.value == "Compression law" for header in open_app(explore_mode="Trade-off").header)
    assert not any(header.value == "Compression law" for header in by(KL).header)
