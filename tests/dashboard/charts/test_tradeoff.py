"""The chart, the answer and the labels of the trade-off, read from figures and tables."""

import itertools
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as draw_from

from core.analysis.budget import ACCURACY, PERPLEXITY, Budget, answers, ranked
from core.analysis.frame import tidy
from core.store import bundled
from dashboard.charts import tradeoff
from dashboard.charts.elements import labels, marks
from dashboard.charts.elements.figures import PREFILL
from dashboard.charts.elements.style import DARK, LIGHT, look
from dashboard.charts.frames import points, ranking
from dashboard.charts.frames.candidates import candidates, of_documents
from dashboard.charts.frames.paired import CANNOT
from dashboard.exports.print_figures import draw
from tests.dashboard.bundled import bundled_rows
from tests.dashboard.synthetic import curve, result

NO_LIMIT = Budget()
PHONE = (290, 250)  # px of the plot


def table(results) -> pd.DataFrame:
    frame = tidy(results)
    return candidates(frame[frame["metric"] == "perplexity"], next(iter(of_documents(frame).values())))


@pytest.fixture(scope="module")
def every():
    more = [result("slimllm", 60.0, 0.5), result("sparsegpt", 25.0, 0.5, recovery="lora"), result("svd", 1e6, 0.3)]
    return table([*curve(), *more])


@pytest.fixture(scope="module")
def measured():
    frame = bundled_rows()
    rows = frame[(frame["metric"] == "perplexity") & (frame["dataset"] == "wikitext2") & (frame["window"] == 2048)]
    return candidates(rows, next(iter(of_documents(frame).values())))


def chart(every, budget=NO_LIMIT, quality=PERPLEXITY, cost=tradeoff.PACKED, theme=LIGHT):
    found = ranked(every, budget, cost.column, quality)
    shown = tradeoff.quality_of(quality, "wikitext2")
    return tradeoff.tradeoff(found, every[points.is_dense(every)], cost, shown, budget, theme)


def marked(figure):
    """Return colour and symbol of each marker by its key."""
    found = {}
    for trace in (one for one in figure.data if one.customdata is not None):
        symbols = (
            trace.marker.symbol if isinstance(trace.marker.symbol, tuple) else [trace.marker.symbol] * len(trace.x)
        )
        colour = trace.marker.line.color or trace.marker.color
        found |= {row[0]: (colour, symbol) for row, symbol in zip(trace.customdata, symbols, strict=True)}
    return found


def texts(figure):
    return [text for trace in figure.data if "text" in trace.mode for text in trace.text]


def key(every, chain):
    return every.loc[every["chain"] == chain, "key"].item()


def test_every_variant_has_one_marker_in_the_style_of_its_method(every):
    found = marked(chart(every))
    assert sorted(found) == sorted(every["key"])
    for chain in ("wanda@0.3", "slimllm@0.5", "sparsegpt@0.5+lora"):
        style = look(every.set_index("chain").loc[chain, "parts"], LIGHT)
        assert found[key(every, chain)] == (style.color, style.symbol)
    assert found[key(every, "dense")] == (LIGHT.text, "star")
    assert found[key(every, "svd@0.3")][1] == "triangle-up"  # at the upper edge
    assert found[key(every, "wanda@4:8")][1] == "circle-dot"


def test_variants_over_budget_are_one_grey_trace(every):
    figure = chart(every, Budget(packed_mb=200))
    found = marked(figure)
    failing = [trace for trace in figure.data if trace.customdata is not None and trace.legendgroup == "rest"]
    assert len(failing) == 1
    too_big = set(every.loc[every["packed_mb"] > 200, "key"]) - {key(every, "dense")}
    assert {row[0] for row in failing[0].customdata} == too_big
    assert len({found[one][0] for one in too_big}) == 1
    assert found[key(every, "wanda@0.5")][0] == look("wanda", LIGHT).color
    assert "200 MB packed" in texts(figure)
    hover = next(row[1] for row in failing[0].customdata if row[0] == key(every, "wanda@0.3"))
    assert hover.startswith("<b>Wanda</b>, 30 %<br>perplexity 23.5") and "MB packed over (" in hover


def test_the_legend_lists_families_and_stages(every):
    names = [trace.name for trace in chart(every).data if trace.showlegend is not False]
    assert names == ["Pareto front", "Unstructured", "Structured", "Low rank", "+ LoRA", "Dense"]


def test_the_pareto_front_is_a_step_line_up_to_the_limit(every):
    budget = Budget(packed_mb=200, times_dense=2)
    figure = chart(every, budget)
    traces = {trace.name: trace for trace in figure.data if trace.mode == "lines" and trace.name}
    assert set(traces) == {"Pareto front of all variants", "Pareto front within budget"}
    line = traces["Pareto front within budget"]
    front = ranked(every, budget, "packed_mb", PERPLEXITY).query("front").sort_values("packed_mb")
    assert list(line.x[::2]) == list(front["packed_mb"]) and line.x[-1] == 200
    assert list(line.y[::2]) == list(line.y[1::2]) == list(front["perplexity"])
    assert list(line.y) == sorted(line.y, reverse=True)


@pytest.mark.parametrize(
    ("budget", "quality", "label", "height"),
    [
        (Budget(times_dense=1.5), PERPLEXITY, "1.5 times dense", 1.5 * 20.1),
        (Budget(mean_accuracy=0.4), ACCURACY, "40 % mean accuracy", 40),
    ],
)
def test_a_limit_of_the_quality_is_a_labelled_line(every, budget, quality, label, height):
    figure = chart(every, budget, quality)
    assert label in texts(figure)
    lines = [trace for trace in figure.data if trace.legendgroup == "limits" and trace.mode == "lines"]
    assert len(lines) == 1 and list(lines[0].y) == pytest.approx([height] * 2)
    low, high = figure.layout.yaxis.range
    assert low < (math.log10(height) if quality == PERPLEXITY else height) < high


def test_if_nothing_fits_the_nearest_variant_is_labelled(every):
    figure = chart(every, Budget(packed_mb=100, times_dense=1.1))
    nearest = ranked(every, Budget(packed_mb=100, times_dense=1.1), "packed_mb", PERPLEXITY).iloc[0]
    assert f"{nearest['series_label']}<br>{nearest['amount_label']}" in texts(figure)
    assert not [trace for trace in figure.data if trace.name == "Pareto front within budget"]


def test_variants_without_cost_or_quality_are_not_drawn(every):
    assert not chart(every, cost=tradeoff.DECODE).data
    found = marked(chart(every, quality=ACCURACY))
    assert set(found) == set(every.loc[every[ACCURACY].notna(), "key"])


def test_the_same_input_gives_the_same_figure_and_it_prints(measured):
    one, two = (chart(measured, Budget(packed_mb=180), theme=DARK).to_json() for _ in range(2))
    assert one == two
    assert draw(chart(measured, Budget(packed_mb=180)), 3.25, "A caption").get_figwidth() == 3.25


def boxes(figure):
    """Left, bottom, right, top in px of each text, on a phone."""
    ends = figure.layout.xaxis.range, figure.layout.yaxis.range
    log = figure.layout.yaxis.type == "log"
    found = []
    for trace in (one for one in figure.data if "text" in one.mode):
        x, y = trace.x[0], math.log10(trace.y[0]) if log else trace.y[0]
        across, up = (
            (value - low) / (high - low) * pixels
            for value, (low, high), pixels in zip((x, y), ends, PHONE, strict=True)
        )
        lines = trace.text[0].split("<br>")
        wide, high = 5.5 * max(map(len, lines)), 13 * len(lines)
        vertical, horizontal = trace.textposition.split()
        left = across + {"left": -7 - wide, "center": -wide / 2, "right": 7}[horizontal]
        bottom = up + {"bottom": -7 - high, "middle": -high / 2, "top": 7}[vertical]
        found.append((left, bottom, left + wide, bottom + high))
    return found


@pytest.mark.parametrize("quality", [PERPLEXITY, ACCURACY])
@pytest.mark.parametrize(
    "budget",
    [NO_LIMIT, Budget(packed_mb=180, times_dense=2), Budget(packed_mb=230, mean_accuracy=0.42), Budget(packed_mb=120)],
)
def test_labels_do_not_overlap_and_stay_inside(measured, budget, quality):
    found = boxes(chart(measured, budget, quality))
    assert len(found) >= 3
    for one, other in itertools.combinations(found, 2):
        assert not (one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3])
    assert all(left >= -1 and right <= PHONE[0] + 1 for left, _, right, _ in found)


shares = draw_from.floats(0, 1)


@given(draw_from.lists(draw_from.tuples(shares, shares), max_size=8, unique=True))
def test_named_labels_never_overlap_and_fall_back_to_the_short_name(markers):
    names = [("A long name<br>50 %", str(place)) for place in range(len(markers))]
    found = labels.named(markers, names, [])
    placed = [labels.label_of(at, *one) for at, one in zip(markers, found, strict=True) if one[0]]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(placed, 2))
    assert all(text in (*mine, "") for (text, _), mine in zip(found, names, strict=True))
    if markers:
        assert found[0][0]  # the first one has room, whatever comes after it


def test_the_answer_names_the_best_and_counts_other_fitting_variants(every):
    budget = Budget(packed_mb=200, times_dense=2)
    found = ranked(every, budget, "packed_mb", PERPLEXITY)
    answer = ranking.answer(found, budget, PERPLEXITY)
    assert answer.startswith(
        "At most 200 MB packed and 2 times dense: **SparseGPT + LoRA, 50 %** (176 MB packed, 1.24 times dense"
    )
    assert found["fits"].sum() == 4 and answer.endswith("; 3 others fit.")
    impossible = Budget(packed_mb=10)
    found = ranked(every, impossible, "packed_mb", PERPLEXITY)
    answer = ranking.answer(found, impossible, PERPLEXITY).split("\n")
    assert answer[0] == "No variant fits the budget: at most 10 MB packed. Nearest:" and len(answer) == 4
    assert all("MB packed over (" in line for line in answer[1:])


def test_the_answer_names_not_significant_differences_to_the_best(every):
    budget = Budget(packed_mb=200, times_dense=2)
    found = ranked(every, budget, "packed_mb", PERPLEXITY)
    verdicts = ["worse alone, not after Holm", "worse", None]
    paired = pd.DataFrame(
        {"verdict": verdicts, "p_adjusted": [0.08, 0.001, None], "comparisons": 2.0, "unpaired_reason": "so"}
    )
    paired = paired.set_index(found["key"].iloc[1:4])
    answer = ranking.answer(found, budget, PERPLEXITY, differences=paired)
    tie = f"not significantly different from {ranking.name(found.iloc[1])} (Holm-adjusted)"
    assert f"mean accuracy, {tie}); 3 others fit." in answer
    shown = ranking.ranking(answers(found), budget, "packed_mb", [None] * 4, paired)["Compared with the first"]
    assert shown.isna().iloc[0] and shown[1:].tolist() == [
        "significant alone, not after Holm (2 comparisons), adjusted p 0.08",
        "worse, adjusted p 0.001",
        CANNOT,
    ]


def test_fitting_variants_without_the_quality_are_counted(every):
    budget = Budget(packed_mb=200)
    found = ranked(every[every["chain"] == "wanda@0.6"], budget, "packed_mb", ACCURACY)
    answer = ranking.answer(found, budget, ACCURACY)
    assert answer == "At most 200 MB packed: 1 variant fits, but mean accuracy not measured."


def test_the_table_has_a_column_of_every_limit_and_of_the_cost(every, measured):
    budget = Budget(bits_per_weight=9)
    rows = answers(ranked(measured, budget, "memory_mb", PERPLEXITY))
    footprints = [bundled.read_measured().results[key].footprint for key in rows["key"]]
    shown = ranking.ranking(rows, budget, "memory_mb", footprints)
    assert {"Bits per weight", "Peak memory (MB)", "fp16 MB", "fp32 MB", "Listed as"} <= set(shown)
    assert "Misses by" not in shown and PREFILL.title not in shown
    assert list(shown["#"]) == list(range(1, len(rows) + 1))


def test_only_sparsity_patterns_have_hollow_markers():
    style = look("rtn", LIGHT)
    assert marks.marker(style, LIGHT, "4bit")["color"] == style.color
    assert marks.marker(style, LIGHT, "2:4")["color"] == LIGHT.paper
