"""The chart, the answer and the labels of the trade-off, read from figures and tables."""

import math

import pandas as pd
import pytest
from hypothesis import strategies as draw_from

from core.findings.axes import PREFILL
from core.findings.best import ranking
from core.findings.best.budget import ACCURACY, PERPLEXITY, Budget, answers, ranked, winner
from core.findings.best.candidates import candidates
from core.findings.best.qualities import QUALITIES, quality_of
from core.findings.numbers.frame import tidy
from core.findings.pairs.paired import CANNOT
from core.findings.rows import points
from core.findings.rows.zeroshot import first_documents, scored_on
from core.store import bundled
from dashboard.charts import tradeoff
from dashboard.charts.elements.style import LIGHT, family_look, look
from tests.bundled import bundled_rows
from tests.dashboard.charts.drawn import PHONE, boxes, each_mark, overlapping
from tests.synthetic import curve, result

NO_LIMIT = Budget()
NOTHING = pd.DataFrame()


def table(results) -> pd.DataFrame:
    frame = tidy(results)
    return candidates(frame[frame["metric"] == "perplexity"], first_documents(scored_on(frame)))


@pytest.fixture(scope="module")
def every():
    more = [result("slimllm", 60.0, 0.5), result("sparsegpt", 25.0, 0.5, recovery="lora"), result("svd", 1e6, 0.3)]
    return table([*curve(), *more])


@pytest.fixture(scope="module")
def measured():
    frame = bundled_rows()
    rows = frame[(frame["metric"] == "perplexity") & (frame["dataset"] == "wikitext2") & (frame["window"] == 2048)]
    return candidates(rows, first_documents(scored_on(frame)))


def found_in(every, budget=NO_LIMIT, quality=PERPLEXITY, cost=tradeoff.PACKED, differences=None):
    return ranking.with_intervals(ranked(every, budget, cost.column, quality), differences, QUALITIES[quality])


def chart(
    every, budget=NO_LIMIT, quality=PERPLEXITY, cost=tradeoff.PACKED, theme=LIGHT, differences=None, estimated=NOTHING
):
    found = found_in(every, budget, quality, cost, differences)
    shown = quality_of(quality, "wikitext2")
    return tradeoff.tradeoff(found, every[points.is_dense(every)], estimated, cost, shown, budget, theme)


def marked(figure):
    """Return colour and symbol of each marker by its key."""
    found = {}
    for trace, place, row in each_mark(figure):
        symbol = trace.marker.symbol[place] if isinstance(trace.marker.symbol, tuple) else trace.marker.symbol
        found[row[0]] = trace.marker.line.color or trace.marker.color, symbol
    return found


def texts(figure):
    return [text for trace in figure.data if "text" in trace.mode for text in trace.text]


def key(every, chain):
    return every.loc[every["chain"] == chain, "key"].item()


def test_every_variant_has_one_marker_in_the_style_of_its_family(every):
    found = marked(chart(every))
    assert sorted(found) == sorted(every["key"])
    for chain in ("wanda@0.3", "wanda@4:8", "sparsegpt@0.5", "slimllm@0.5", "sparsegpt@0.5+lora"):
        style = family_look(every.set_index("chain").loc[chain, "family"], LIGHT)
        assert found[key(every, chain)] == (style.color, style.symbol)
    assert found[key(every, "dense")] == (LIGHT.text, "star")
    assert found[key(every, "svd@0.3")][1] == "triangle-up"  # in the band above the axis
    assert not chart(every, cost=tradeoff.DECODE).data
    found = marked(chart(every, quality=ACCURACY))
    assert set(found) == set(every.loc[every[ACCURACY].notna(), "key"])
    style = look("rtn", LIGHT)
    assert style.marker(LIGHT, "4bit")["color"] == style.color
    assert style.marker(LIGHT, "2:4")["color"] == LIGHT.paper
    names = [trace.name for trace in chart(every).data if trace.showlegend is not False]
    assert names == ["Pareto front", "Unstructured", "Structured", "Low rank", "Best within budget", "Dense"]


def test_perplexities_are_multiples_of_dense_from_1_to_5_with_a_band_for_higher_ones(measured):
    figure = chart(measured)
    axis = figure.layout.yaxis
    assert "times dense" in figure.layout.title.text
    assert list(axis.ticktext) == ["1", "1.5", "2", "3", "4", "5", "over 5"]
    low, high = (10**end for end in axis.range)
    assert 0.75 < low < 1 and 5 < axis.tickvals[-1] < high < 8
    heights = {row[0]: trace.y[place] for trace, place, row in each_mark(figure)}
    for name, times in measured.set_index("key")["times_dense"].items():
        assert heights[name] == pytest.approx(times if times <= 5 else axis.tickvals[-1])
    (band,) = [trace for trace in figure.data if trace.fill]
    assert sorted(set(band.y)) == pytest.approx([5, high]) and band.fillcolor == LIGHT.band


def test_only_the_front_is_named_and_the_best_is_always(measured):
    budgets = [NO_LIMIT, *(Budget(packed_mb=most) for most in (75, 120, 285)), Budget(times_dense=1.5)]
    for budget in budgets:
        for quality in (PERPLEXITY, ACCURACY):
            found = found_in(measured, budget, quality)
            if (best := winner(found)) is None or pd.isna(best[quality]):
                continue
            figure = chart(measured, budget, quality)
            named = {x for trace in figure.data if trace.legendgroup == "names" for x in trace.x}
            assert named <= {*found.loc[found["front"], "packed_mb"], best["packed_mb"]}, budget
            if best["family"] != "dense":
                assert best["packed_mb"] in named, budget
            (ring,) = [trace for trace in figure.data if trace.name == "Best within budget"]
            assert list(ring.x) == [best["packed_mb"]]


def test_bars_of_the_front_are_paired_intervals(every):
    front = found_in(every).query("front")
    differences = pd.DataFrame({"ratio_low": 1.1, "ratio_high": 1.3, "low": -0.03, "high": 0.01}, index=front["key"])
    for quality, low, high in ((PERPLEXITY, 1.1, 1.3), (ACCURACY, -3.0, 1.0)):
        figure = chart(every, quality=quality, differences=differences)
        found = found_in(every, quality=quality, differences=differences).query("front and interval_low.notna()")
        base = 0 if quality == PERPLEXITY else 100 * every.loc[every["chain"] == "dense", ACCURACY].item()
        seen = 0
        for trace, place, row in each_mark(figure):
            drawn = trace.error_y.array is not None and row[0] in set(found["key"])
            if drawn and trace.y[place] < (5 if quality == PERPLEXITY else 100):
                seen += 1
                assert trace.y[place] + trace.error_y.array[place] == pytest.approx(base + high)
                assert trace.y[place] - trace.error_y.arrayminus[place] == pytest.approx(base + low)
                assert "unadjusted 95 % [" in row[1]
        assert seen


def test_variants_over_budget_are_one_grey_trace(every):
    figure = chart(every, Budget(packed_mb=200))
    found = marked(figure)
    failing = [trace for trace in figure.data if trace.customdata is not None and trace.legendgroup == "rest"]
    assert len(failing) == 1
    too_big = set(every.loc[every["packed_mb"] > 200, "key"]) - {key(every, "dense")}
    assert {row[0] for row in failing[0].customdata} == too_big
    assert len({found[one][0] for one in too_big}) == 1
    assert found[key(every, "wanda@0.5")][0] == family_look("unstructured", LIGHT).color
    assert "200 MB packed" in texts(figure)
    hover = next(row[1] for row in failing[0].customdata if row[0] == key(every, "wanda@0.3"))
    assert (
        hover.startswith("<b>Wanda 30 %, passages</b><br>wanda@0.3<br>1.17 times dense<br>perplexity 23.5")
        and "MB packed over (" in hover
    )


def test_the_front_is_a_step_line_up_to_the_limit_if_anything_fits(every):
    budget = Budget(packed_mb=200, times_dense=2)
    figure = chart(every, budget)
    traces = {trace.name: trace for trace in figure.data if trace.mode == "lines" and trace.name}
    assert set(traces) == {"Pareto front of all variants", "Pareto front within budget"}
    line = traces["Pareto front within budget"]
    front = ranked(every, budget, "packed_mb", PERPLEXITY).query("front").sort_values("packed_mb")
    assert list(line.x[::2]) == list(front["packed_mb"]) and line.x[-1] == 200
    assert list(line.y[::2]) == list(line.y[1::2]) == list(front["times_dense"])
    assert list(line.y) == sorted(line.y, reverse=True)
    figure = chart(every, Budget(packed_mb=100, times_dense=1.1))
    nearest = ranked(every, Budget(packed_mb=100, times_dense=1.1), "packed_mb", PERPLEXITY).iloc[0]
    assert nearest["name"] in [one.replace("<br>", " ") for one in texts(figure)]
    assert not [trace for trace in figure.data if trace.name == "Pareto front within budget"]


@pytest.mark.parametrize(
    ("budget", "quality", "label", "height"),
    [
        (Budget(times_dense=1.5), PERPLEXITY, "1.5 times dense", 1.5),
        (Budget(above_chance=0.4), ACCURACY, "40 points above chance", 40),
    ],
)
def test_a_limit_of_the_quality_is_a_labelled_line(every, budget, quality, label, height):
    figure = chart(every, budget, quality)
    assert label in texts(figure)
    lines = [trace for trace in figure.data if trace.legendgroup == "limits" and trace.mode == "lines"]
    assert len(lines) == 1 and list(lines[0].y) == pytest.approx([height] * 2)
    low, high = figure.layout.yaxis.range
    assert low < (math.log10(height) if quality == PERPLEXITY else height) < high


@pytest.mark.parametrize("quality", [PERPLEXITY, ACCURACY])
@pytest.mark.parametrize(
    "budget", [NO_LIMIT, Budget(packed_mb=180, times_dense=2), Budget(packed_mb=230, above_chance=0.14)]
)
def test_labels_do_not_overlap_and_stay_inside(measured, budget, quality):
    figure = chart(measured, budget, quality)
    found = boxes(figure, 5.5, figure.data)
    assert len(found) >= 2 and overlapping(found) == []
    assert all(left >= -1 and right <= PHONE[0] + 1 for left, _, right, _ in found)


shares = draw_from.floats(0, 1)


def sentence(every, budget, quality=PERPLEXITY, differences=None, tests=None):
    found = found_in(every, budget, quality, differences=differences)
    return ranking.answer(found, budget, QUALITIES[quality], "toy", str, tests)


def to_dense(every, chain, **figures):
    return pd.DataFrame(figures, index=[key(every, chain)])


def test_the_answer_names_model_best_size_multiple_and_paired_interval(every):
    budget = Budget(packed_mb=200, times_dense=2)
    pairs = to_dense(every, "sparsegpt@0.5+lora", ratio_low=1.21, ratio_high=1.28)
    assert sentence(every, budget, differences=pairs) == (
        "Of 4 variants of toy with at most 200 MB packed and 2 times dense, **SparseGPT 50 % + LoRA #cfd2** has the "
        "lowest perplexity: 1.24 times dense (unadjusted 95 % [1.21, 1.28]), 176 MB packed, 13.7 points above chance."
    )
    assert "1.24 times dense (no paired interval), 176 MB packed" in sentence(every, budget)
    pairs = to_dense(every, "wanda@0.3", low=-0.03, high=-0.004)
    best = every.loc[every["chain"] == "wanda@0.3"].iloc[0]
    text = sentence(every[every["chain"].isin(["wanda@0.3", "wanda@0.5"])], NO_LIMIT, ACCURACY, pairs)
    points_lost = f"{abs(100 * best['accuracy_lost']):.1f} points below dense"
    expected = f"{100 * best[ACCURACY]:.1f} points ({points_lost}, unadjusted 95 % [-3.0, -0.4])"
    assert f"has the highest accuracy above chance: {expected}, 1.17 times dense" in text


def test_the_answer_without_a_limit_or_a_fitting_variant(every):
    text = sentence(every, NO_LIMIT)
    assert text.startswith(f"Of {len(every)} variants of toy, **Dense** has the lowest perplexity: 1.000 times dense, ")
    assert text.endswith("Set a limit to find the best variant within it.")
    answer = sentence(every, Budget(packed_mb=10)).split("\n")
    assert answer[0] == "No variant of toy fits the budget: at most 10 MB packed. Nearest:" and len(answer) in (4, 5)
    assert all("MB packed over (" in line and "times dense" in line for line in answer[1:])
    poor = every.assign(times_dense=every["times_dense"].mask(every["packed_mb"] < 200, 7.0))
    answer = sentence(poor, Budget(packed_mb=10)).split("\n")
    usable = poor[poor["times_dense"] < 5].sort_values(["packed_mb", PERPLEXITY]).iloc[0]
    assert answer[-1].startswith(f"- The nearest below 5 times dense is **{usable['name']}**: ")


def test_if_nothing_within_the_budget_is_usable_the_answer_names_the_best_nevertheless(every):
    bad = every["packed_mb"] < 200
    poor = every.assign(
        times_dense=every["times_dense"].where(~bad, 6 * every["times_dense"]),
        perplexity=every[PERPLEXITY].where(~bad, 6 * every[PERPLEXITY]),
    )
    answer = sentence(poor, Budget(packed_mb=200))
    best = poor[bad].sort_values(PERPLEXITY).iloc[0]
    start = "No variant of toy with at most 200 MB packed stays below 5 times the dense perplexity. The best of "
    assert answer.startswith(f"{start}{(poor['packed_mb'] <= 200).sum()} is **{best['name']}**: ")
    assert "The nearest below 5 times dense is **" in answer
    broken = poor.assign(perplexity=poor[PERPLEXITY].where(~bad, 1e6), times_dense=poor["times_dense"].where(~bad, 5e4))
    assert "times dense (diverged, no paired interval), " in sentence(broken, Budget(packed_mb=200))


def test_the_answer_names_not_significant_differences_to_the_best(every):
    budget = Budget(packed_mb=200, times_dense=2)
    found = found_in(every, budget)
    verdicts = ["worse alone, not after Holm", "worse", None]
    paired = pd.DataFrame(
        {"verdict": verdicts, "p_adjusted": [0.08, 0.001, None], "comparisons": 2.0, "unpaired_reason": "so"}
    )
    paired = paired.set_index(found["key"].iloc[1:4])
    answer = sentence(every, budget, tests=paired)
    assert answer.endswith(f"It is not significantly different from {found.iloc[1]['name']} (Holm-adjusted).")
    shown = ranking.ranking(answers(found), budget, "packed_mb", QUALITIES[PERPLEXITY], [None] * 4, paired)
    assert pd.isna(shown["Compared with the first"].iloc[0])
    assert shown["Compared with the first"][1:].tolist() == [
        "significant alone, not after Holm (2 comparisons)",
        "worse",
        CANNOT,
    ]
    assert shown["Adjusted p"][1:].tolist() == ["0.08", "0.001", ""]


def test_variants_that_are_not_ranked_are_counted_with_the_reason(every):
    budget = Budget(packed_mb=200)
    answer = sentence(every[every["chain"] == "wanda@0.6"], budget, ACCURACY)
    start = "1 variant of toy with at most 200 MB packed fits, but none can be ranked."
    assert answer == f"{start} 1 variant fits: mean above chance not measured."
    own = every.assign(own_grid=every["chain"] == "sparsegpt@0.5+lora")
    assert "1 more variant only restores the grid of the model's own file." in sentence(own, budget)
    assert "**SparseGPT + LoRA" not in sentence(own, budget)
    lacking = int((every[ACCURACY].isna() & (every["packed_mb"] <= 200)).sum())
    text = sentence(every, Budget(packed_mb=200, above_chance=0.05), ACCURACY)
    assert f"{lacking} more variants may fit: mean above chance not measured." in text
    some = every.assign(decode_ms=[30.0, 30.0, *[math.nan] * (len(every) - 2)])
    assert f"{len(every) - 2} more variants may fit: latency not measured." in sentence(some, Budget(decode_ms=40))


def test_the_table_has_a_column_of_every_limit_and_of_the_cost(every, measured):
    budget = Budget(bits_per_weight=9)
    rows = answers(found_in(measured, budget, PERPLEXITY, tradeoff.MEMORY))
    stored = [bundled.read_measured().results[key] for key in rows["key"]]
    shown = ranking.ranking(rows, budget, "memory_mb", QUALITIES[PERPLEXITY], stored)
    assert {"Bits per weight", "Peak memory (MB)", "GGUF (MB)", "Hugging Face (MB)", ranking.ON_FRONT} <= set(shown)
    assert "Misses by" not in shown and PREFILL.title not in shown
