"""The content of the charts, read from their figures."""

import math

import pandas as pd
import pytest

from core.findings import axes
from core.findings.best.budget import DIVERGED
from core.findings.curve import MAX_HIGHLIGHTED, default_series
from core.findings.numbers.differences import differences
from core.findings.numbers.frame import tidy
from core.findings.pairs.comparison import comparison
from core.findings.rows import choices, points, zeroshot
from dashboard.charts import scores
from dashboard.charts.curve import HALO, explained, perplexity_curve
from dashboard.charts.elements.drawing import SCREEN, log_ticks
from dashboard.charts.elements.style import LIGHT, look
from tests.bundled import bundled_rows
from tests.dashboard.charts.drawn import PHONE, boxes, overlapping, trace
from tests.synthetic import result

UNPAIRED = differences([], result("dense", 20.1), lambda key, number: None)


@pytest.fixture
def chart(perplexities):
    return perplexity_curve(*perplexities, axes.RATIO, LIGHT, "passages-eval")


def texts(figure):
    return [text for found in figure.data if "text" in found.mode for text in found.text]


def test_lines_connect_ratios_and_patterns_have_places_right_of_the_highest_ratio(chart, perplexities):
    line = trace(chart, "SparseGPT")
    assert list(line.x) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    hollow = [found for found in chart.data if found.name == "SparseGPT" and found.mode == "markers"]
    assert [list(found.marker.symbol) for found in hollow] == [["circle-dot", "circle"]]  # 4:8, then 2:4
    assert [sorted(found.y) for found in hollow] == [pytest.approx([37.0 * 1.6, 37.0 * 3])]
    assert hollow[0].marker.color == LIGHT.paper
    assert list(hollow[0].x) == pytest.approx([0.8, 0.9])
    axis = chart.layout.xaxis
    named = dict(zip(axis.ticktext, axis.tickvals, strict=True))
    assert list(named)[:8] == [f"{ratio} %" for ratio in range(0, 80, 10)]
    assert (named["4:8"], named["2:4"]) == pytest.approx((0.8, 0.9)) and axis.range[1] > 0.9
    packed = perplexity_curve(*perplexities, axes.PACKED, LIGHT, "x")
    assert "2:4" in texts(packed) and packed.layout.xaxis.ticktext is None


def test_seeds_collapse_to_mean_and_range_and_one_has_its_standard_error(chart, perplexities):
    description = points.describe_seeds(perplexities[0])
    assert description == " Wanda at 50 %: mean and range of 3 seeds."
    assert points.describe_seeds(perplexities[0][perplexities[0]["series_label"] != "Wanda"]) == ""
    wanda = trace(chart, "Wanda")
    middle = list(wanda.x).index(0.5)
    mean = (44.0 + 46.0 + 41.0) / 3
    assert wanda.y[middle] == pytest.approx(mean)
    assert wanda.error_y.array[middle] == pytest.approx(46 - mean)
    assert wanda.error_y.arrayminus[middle] == pytest.approx(mean - 41)
    line = trace(chart, "SparseGPT")
    assert line.error_y.array[0] == pytest.approx(20.3 * 0.02)


def test_the_caption_explains_only_the_drawn_markers(perplexities):
    found, dense = perplexities
    caption = explained(found, dense)
    assert caption.startswith(" Bars: one standard error, or the range over seeds. Hollow markers")
    assert caption.endswith(" Hollow markers: N:M sparsity. Grey band: diverged models.") and "Arrow" not in caption
    plain = found[found["pattern"].isna() & (found["value"] < 100) & (found["seeds"] == 1)]
    assert explained(plain, dense) == " Bars: one standard error."
    assert explained(plain.assign(low=plain["value"], high=plain["value"]), dense) == ""
    wanda = plain[plain["series_label"] == plain["series_label"].iloc[0]]
    tuned = wanda.assign(series_label="Tuned", parent_label=wanda["series_label"])
    assert explained(pd.concat([plain, tuned]), dense).endswith(
        "Arrows connect a pruned model to its reconstructed or fine-tuned version."
    )


def test_diverged_points_are_labelled_in_a_band_without_a_line(chart):
    mine = [found for found in chart.data if found.name == "Magnitude" and found.customdata is not None]
    (line,) = (found for found in mine if len(found.x) == 7)
    (diverged,) = (found for found in mine if "triangle-up" in found.marker.symbol and len(found.x) < 7)
    assert math.isnan(line.y[-1]) and not any(math.isnan(y) for y in line.y[:-1])
    assert list(diverged.marker.symbol) == ["triangle-up"] and diverged.mode == "markers"
    assert diverged.customdata[0][2] == pytest.approx(3.4e5)
    assert "3.4e5" in texts(chart)
    axis = chart.layout.yaxis
    assert axis.ticktext[-1] == "diverged" and axis.tickvals[-1] == pytest.approx(diverged.y[0])
    assert max(y for y in line.y[:-1]) < axis.tickvals[-1] < 10 ** axis.range[1] < DIVERGED * 100


def test_infinite_and_missing_perplexities_are_diverged(frame, perplexities):
    rows = frame[(frame["metric"] == "perplexity") & (frame["method"] == "wanda")].copy()
    rows.loc[rows["ratio"] == 0.7, "value"] = math.inf
    rows.loc[rows["ratio"] == 0.6, "value"] = math.nan
    broken = perplexity_curve(points.collapse(rows), perplexities[1], axes.RATIO, LIGHT, "x")
    assert texts(broken).count("∞") == 2
    (diverged,) = [found for found in broken.data if found.marker.symbol == ("triangle-up", "triangle-up")]
    assert all(math.isfinite(value) for value in diverged.y)


def test_context_series_are_grey_and_unlabelled(perplexities):
    found, dense = perplexities
    figure = perplexity_curve(found, dense, axes.RATIO, LIGHT, "x", bright=["SparseGPT"])
    assert [one.text[0] for one in figure.data if one.meta == SCREEN and one.text] == ["SparseGPT"]
    assert "3.4e5" not in texts(figure)
    (entry,) = [one for one in figure.data if one.name == "grey: other variants"]
    assert entry.line.color == trace(figure, "Magnitude").line.color
    assert not any(one.name == entry.name for one in perplexity_curve(found, dense, axes.RATIO, LIGHT, "x").data)
    grey = trace(figure, "Magnitude").line
    assert grey.color == trace(figure, "Wanda").line.color != LIGHT.palette[0]
    assert grey.width < trace(figure, "SparseGPT").line.width
    assert trace(figure, "Magnitude").customdata[0][0]  # has a hover and can be clicked
    assert trace(figure, "Magnitude").hoverlabel.bgcolor == look("magnitude", LIGHT).color  # as if highlighted


def test_dense_is_a_labelled_line_and_a_point_at_zero(chart, perplexities):
    (line,) = [found for found in chart.data if found.mode == "lines" and found.line.dash == "dot"]
    assert set(line.y) == {20.1} and tuple(line.x) == tuple(chart.layout.xaxis.range)
    assert "dense 20.1" in texts(chart)
    assert trace(chart, "Dense").x == (0.0,)
    nothing, dense = perplexities[0].iloc[:0], perplexities[1]
    assert not perplexity_curve(nothing, nothing, axes.RATIO, LIGHT, "x").data
    for axis in axes.AXES:
        assert "dense 20.1" in texts(perplexity_curve(nothing, dense, axis, LIGHT, "x"))


def labels_of(figure):
    """Return the boxes of the labels beside or over markers."""
    named = [one for one in figure.data if "text" in one.mode and one.meta != SCREEN]
    return boxes(figure, 7, [one for one in named if not one.text[0].startswith("dense")])


@pytest.mark.parametrize("axis", [axes.RATIO, axes.REMOVED, axes.PACKED, axes.PREFILL])
def test_labels_do_not_overlap(perplexities, axis):
    found, dense = perplexities
    nudge = found["method"].map({"magnitude": 0.0, "wanda": 0.4, "sparsegpt": 1.3})  # as packed sizes differ a little
    found = found.assign(packed_mb=found["packed_mb"] + nudge, prefill_ms=40 - 10 * found["ratio"] + nudge / 10)
    broken = found["ratio"] == 0.7
    found = found.assign(value=found["value"].mask(broken, 2e4 * (2 + nudge)), high=found["high"].mask(broken, 9e4))
    figure = perplexity_curve(found, dense.assign(prefill_ms=41.0), axis, LIGHT, "x")
    assert len(labels_of(figure)) == (3 if axis == axes.RATIO else 9)  # three diverged, six patterns
    assert overlapping(labels_of(figure)) == []
    assert max(top for *_, top in labels_of(figure)) <= PHONE[1]


def test_labels_without_room_are_omitted():
    frame = bundled_rows()
    rows = frame[(frame["metric"] == "perplexity") & (frame["dataset"] == "wikitext2") & (frame["window"] == 2048)]
    rows = choices.filter_by_text(rows, "c4-sample:16x2048", "c4-sample:2048x256")
    rows = rows[rows["family"].isin(["dense", "unstructured"])]
    dense, found = points.split_points(rows)
    highlighted = default_series(found)
    assert {"Magnitude", "Wanda", "SparseGPT", "RIA"} < set(highlighted)
    assert len(highlighted) <= MAX_HIGHLIGHTED + 2  # with the best with and without training
    figure = perplexity_curve(found, dense, axes.REMOVED, LIGHT, "wikitext2", bright=highlighted)
    found = found[found["series_label"].isin(highlighted)]
    patterns = found["pattern"].notna().sum()
    assert 5 <= len(labels_of(figure)) - 1 < patterns  # one is of a diverged point
    assert overlapping(labels_of(figure)) == []


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(15, 120, [20, 50, 100]), (18, 4000, [30, 100, 300, 1000, 3000]), (9, 1e5, None)]
)
def test_log_ticks_are_few_and_inside(low, high, expected):
    ticks = log_ticks(low, high)
    assert ticks == (expected or [10, 100, 1000, 10_000, 100_000])


def test_accuracy_shows_chance_every_task_and_the_mean_above_chance(frame):
    rows = points.at_amount(zeroshot.headline(frame), "50 %")
    shown = zeroshot.with_mean(zeroshot.accuracies(rows), zeroshot.means_above_chance(rows))
    order = list(dict.fromkeys(shown["task"]))
    figure = scores.accuracy_dots(shown, LIGHT, order)
    assert len(order) == 8 and order[-1] == "Mean above chance"
    assert sorted({x for x in trace(figure, "chance").x if x is not None}) == [0.25, 0.5]
    dense = trace(figure, "Dense")
    assert len(dense.x) == 8
    assert dense.x[-1] == pytest.approx((0.68 + 0.43 + 0.55 - 0.5 - 0.25 - 0.25) / 3)  # the others are near chance
    assert dense.error_x.array[-1] == pytest.approx(0.04 / math.sqrt(3))


def test_a_fine_tuned_dense_model_is_not_the_dense_model():
    frame = tidy([result("dense", 19.0, recovery="lora"), result("dense", 20.1), result("magnitude", 24.0, 0.3)])
    frame = frame[frame["metric"] == "perplexity"]
    assert list(frame.loc[points.is_dense(frame), "value"]) == [20.1]
    assert list(points.at_amount(frame, "30 %")["value"]) == [20.1, 24.0]


@pytest.mark.parametrize(("bits", "drawn"), [(16.0, False), (4.3, True)])
def test_dense_has_no_marker_far_from_the_other_points(perplexities, bits, drawn):
    found, dense = perplexities
    found = found.assign(bits_per_weight=4 - found["ratio"])
    figure = perplexity_curve(found, dense.assign(bits_per_weight=bits), axes.BITS, LIGHT, "x")
    assert ("Dense" in {trace.name for trace in figure.data}) == drawn and "dense 20.1" in texts(figure)
    assert (figure.layout.xaxis.range[1] > bits) == drawn


def test_the_table_averages_accuracy_over_scored_seeds_and_has_dense_as_baseline(frame, perplexities):
    found = points.collapse(frame[(frame["metric"] == "perplexity") & (frame["method"] == "wanda")])
    means = zeroshot.means_above_chance(zeroshot.headline(frame))
    seeds = means[(means["series_label"] == "Wanda") & (means["amount_label"] == "50 %")]["mean"]
    assert len(seeds) == 3
    dropped = means.drop(index=seeds.index[0]).assign(mean=lambda kept: kept["mean"] + 0.01)
    table = comparison(found, dropped, found.iloc[:0], UNPAIRED, UNPAIRED)
    row = table[table["Amount"] == "50 %"].iloc[0]
    assert row["Above chance (points)"] == pytest.approx(100 * (seeds.iloc[1:].mean() + 0.01))
    table = comparison(perplexities[0], means, perplexities[1], UNPAIRED, UNPAIRED)
    assert table.iloc[0]["Variant"] == "Dense" and table.iloc[0]["Times dense"] == 1
    row = table[table["Variant"] == "SparseGPT 30 %, passages"].iloc[0]
    assert row["Times dense"] == pytest.approx(22.8 / 20.1)
    assert row["Accuracy vs dense"] < 0 and row["Packed size (MB)"] < table.iloc[0]["Packed size (MB)"]


def test_the_chosen_amount_and_the_winners_are_marked(perplexities):
    found, dense = perplexities
    here = found[found["amount_label"] == "50 %"]
    best = here.loc[here["value"].idxmin()]

    def marked(axis):
        drawn = perplexity_curve(found, dense, axis, LIGHT, "x", at="50 %", winners=[best["key"]])
        traces = [trace for trace in drawn.data if trace.meta == SCREEN]
        (label,) = (trace for trace in traces if trace.text == ("<b>50 %</b>",))
        (area,) = (trace for trace in traces if trace.fillcolor == LIGHT.chosen)
        (halo,) = (trace for trace in traces if trace.marker.size == HALO)
        return label, area, halo

    label, area, halo = marked(axes.RATIO)
    assert label.x[0] == 0.5 and min(area.x) < 0.5 < max(area.x) and max(area.x) - min(area.x) < 0.02
    assert (halo.x[0], halo.y[0]) == (0.5, best["value"])
    _, area, halo = marked(axes.PACKED)
    assert min(area.x) <= here["packed_mb"].min() and here["packed_mb"].max() <= max(area.x)
    assert halo.x[0] == best["packed_mb"]
    plain = perplexity_curve(found, dense, axes.RATIO, LIGHT, "x")
    assert LIGHT.chosen not in {trace.fillcolor for trace in plain.data}
