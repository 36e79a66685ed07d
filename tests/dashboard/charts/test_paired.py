"""Paired differences as charts and tables show them, of made-up outcomes."""

import math

import numpy as np
import pandas as pd
import pytest

from core.analysis.differences import differences, over_seeds, shown_together
from core.analysis.frame import tidy
from core.analysis.paired import ALPHA
from core.analysis.seven import MEAN
from core.data.cards import SEVEN, TASKS
from dashboard.charts import dots, figures, paired, points
from dashboard.charts.comparison import comparison
from dashboard.charts.style import DARK, LIGHT, faded
from dashboard.exports.print_figures import draw
from tests.dashboard.synthetic import answered, result

UNTOLD = "no difference can be told"


@pytest.fixture(scope="module")
def kept():
    """Results with outcomes: dense, three variants at 50 % of which one is like dense, one at 30 %, and two seeds."""
    made = [
        answered(one, seed)
        for seed, one in enumerate(
            [
                result("dense", 20.0),
                result("magnitude", 400.0, 0.5),
                result("wanda", 44.0, 0.5),
                result("sparsegpt", 37.0, 0.5),
                result("sparsegpt", 22.0, 0.3),
                result("ria", 45.0, 0.5),
                result("ria", 46.0, 0.5, seed=1),
            ]
        )
    ]
    results, samples = [one for one, _ in made], {one.variant.key: frames for one, frames in made}
    dense, like_dense = results[0], results[3]
    same = [row for row in dense.measurements if row.metric != "perplexity"]
    results[3] = like_dense.model_copy(update={"measurements": (like_dense.measurements[0], *same)})
    samples[like_dense.variant.key] |= {row.identity: samples[dense.variant.key][row.identity] for row in same}
    return results, samples


@pytest.fixture(scope="module")
def without_wanda(kept):
    results, samples = kept
    return results, samples | {results[2].variant.key: {}}


def compared(one, other, samples):
    return differences([one], other, lambda key, number: samples[key].get(number.identity))


def told(kept):
    """(the frame of differences to dense, the frame of all numbers)."""
    results, samples = kept
    known, frame = {one.variant.key: one for one in results}, tidy(results)
    groups = [[known[key] for key in keys] for keys in points.by_seed(frame)]
    read = over_seeds(groups, lambda key, number: samples[key].get(number.identity))
    return differences([group[0] for group in groups], results[0], read), frame


def drawn(kept, at="50 %"):
    """(rows of the differences' chart, the differences they are of)."""
    found, frame = told(kept)
    here = points.at_amount(points.headline(frame), at)
    both = points.with_mean(points.accuracies(here), here)
    together = shown_together(paired.of_shown(found, both))
    return paired.of_tasks(together, both), together


def trace(figure, name):
    return [found for found in figure.data if found.name == name and found.customdata is not None]


def test_the_chart_draws_the_differences_of_the_frame_in_points(kept):
    rows, together = drawn(kept)
    rows = rows[rows["why"].isna()]
    assert set(rows["series"]) == {"Magnitude", "Wanda", "SparseGPT"} and len(rows) == 3 * 8
    order = list(dict.fromkeys(rows["task"]))
    figure = dots.difference_dots(rows, LIGHT, order)
    assert order[-1] == "Mean of seven" and list(figure.layout.yaxis.ticktext) == order
    values = together.set_index(["key", "dataset"])
    key = rows.loc[rows["series"] == "Magnitude", "key"].iloc[0]
    labels = {TASKS[name].label: name for name in SEVEN} | {"Mean of seven": MEAN}
    seen = 0
    for one in trace(figure, "Magnitude"):
        for x, after, before, custom in zip(
            one.x, one.error_x.array, one.error_x.arrayminus, one.customdata, strict=True
        ):
            wanted = values.loc[(key, labels[custom[1]])]
            assert x == pytest.approx(100 * wanted["difference"])
            assert (x - before, x + after) == pytest.approx((100 * wanted["low"], 100 * wanted["high"]))
            assert f"{wanted['verdict']}, p " in custom[3] and "after Holm over the 3 shown" in custom[3]
            seen += 1
    assert seen == 8
    (zero,) = [one for one in figure.data if one.name == "dense"]
    assert set(zero.x) == {0}


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_what_cannot_be_told_is_faded_and_the_legend_says_so(kept, theme):
    rows, _ = drawn(kept)
    rows = rows[rows["why"].isna()]
    assert not rows[rows["series"] == "SparseGPT"]["told"].any()  # it answers as dense does
    assert rows[(rows["series"] == "Magnitude") & (rows["task"] == "Mean of seven")]["told"].all()
    figure = dots.difference_dots(rows, theme, list(dict.fromkeys(rows["task"])))
    (same,) = trace(figure, "SparseGPT")
    color = theme.palette[2]
    assert same.marker.color == same.error_x.color == faded(color, theme) != color
    assert all(UNTOLD in custom[3] and "p = 1 after Holm" in custom[3] for custom in same.customdata)
    shades = {one.marker.color for one in trace(figure, "Magnitude")}
    assert theme.palette[0] in shades
    entries = {one.name: one.marker.color for one in figure.data if one.showlegend is not False}
    assert entries["SparseGPT"] == color  # the legend shows a series as it is
    assert dots.UNTOLD in entries
    told_apart = rows[rows["told"]]
    figure = dots.difference_dots(told_apart, theme, list(dict.fromkeys(told_apart["task"])))
    assert dots.UNTOLD not in {one.name for one in figure.data}
    assert len(draw(figure, "svg", "caption", 6, 6)) > 1000


def test_a_faded_colour_lies_between_its_own_and_the_page_s():
    assert faded("#000000", LIGHT) == "#949494" and faded(LIGHT.paper, LIGHT) == LIGHT.paper


def test_what_has_no_pair_is_named_with_its_reason(without_wanda):
    rows, _ = drawn(without_wanda)
    assert set(rows.loc[rows["why"].isna(), "series"]) == {"Magnitude", "SparseGPT"}
    said = paired.unpaired(rows)
    assert "Wanda (what was answered, document by document, was not kept)" in said
    assert "RIA (a mean of 2 seeds)" in said and "Magnitude" not in said


def test_one_task_without_outcomes_is_named_alone(kept):
    results, samples = kept
    key = results[1].variant.key
    some = {identity: frame for identity, frame in samples[key].items() if identity[1] != "piqa"}
    rows, _ = drawn((results, samples | {key: some}))
    assert "Magnitude in PIQA, Mean of seven (what was answered" in paired.unpaired(rows)


def test_holm_counts_what_is_shown_only(kept):
    found, _ = told(kept)
    whole, part = found[found["dataset"] == MEAN], drawn(kept)[1]
    part = part[part["dataset"] == MEAN]
    part = part[part["why"].isna()]
    assert len(part) == 3 < len(whole)  # not the one at 30 %, nor the seeds
    again = shown_together(part)
    assert list(again["adjusted"]) == list(part["adjusted"])
    smallest = part["p"].astype(float).idxmin()
    assert part.loc[smallest, "adjusted"] == pytest.approx(min(1, 3 * part.loc[smallest, "p"]))
    assert set(part.loc[part["adjusted"] > ALPHA, "verdict"]) <= {UNTOLD}


def test_accuracies_have_both_baselines_of_the_documents_scored(kept):
    found, frame = told(kept)
    here = points.at_amount(points.headline(frame), "50 %")
    both = paired.with_baselines(points.with_mean(points.accuracies(here), here), found)
    figure = dots.accuracy_dots(both, LIGHT, list(dict.fromkeys(both["task"])))
    lines = {one.name: one for one in figure.data if one.mode == "lines"}
    assert set(lines) == {"chance", "majority class"}
    assert lines["chance"].line.dash != lines["majority class"].line.dash
    assert {x for x in lines["chance"].x if x is not None} == {0.5}  # two choices each, whatever the catalogue says
    results, samples = kept
    targets = [frame["target"] for frame in samples[results[0].variant.key].values() if "target" in frame]
    wanted = [max(values.mean(), 1 - values.mean()) for values in targets]
    seen = [x for x in lines["majority class"].x if x is not None][::2]
    assert seen == pytest.approx([*wanted, np.mean(wanted)])


def test_baselines_of_answers_that_were_not_kept_are_the_catalogue_s(kept):
    results, _ = kept
    found, frame = told((results, {one.variant.key: {} for one in results}))
    here = points.at_amount(points.headline(frame), "50 %")
    both = paired.with_baselines(points.with_mean(points.accuracies(here), here), found)
    assert both["majority"].isna().all()
    assert list(both.loc[both["task"] == "HellaSwag", "chance"].unique()) == [0.25]
    figure = dots.accuracy_dots(both, LIGHT, list(dict.fromkeys(both["task"])))
    assert "majority class" not in {one.name for one in figure.data}


def curve_of(kept):
    """(points, dense, the differences of their perplexities)."""
    found, frame = told(kept)
    rows = frame[frame["metric"] == "perplexity"]
    curve, dense = points.collapse(rows[~points.is_dense(rows)]), points.collapse(rows[points.is_dense(rows)])
    return curve, dense, shown_together(paired.of_shown(found[found["metric"] == "perplexity"], curve))


def test_a_curve_s_hover_says_the_ratio_and_the_verdict(without_wanda):
    curve, dense, found = curve_of(without_wanda)
    figure = figures.perplexity_curve(paired.of_curve(found, curve), dense, figures.RATIO, LIGHT, "x")
    said = {custom[0]: custom[3] for one in figure.data if one.customdata is not None for custom in one.customdata}
    results, _ = without_wanda
    key = results[1].variant.key
    row = found.set_index("key").loc[key]
    assert row["ratio"] == pytest.approx(results[1].measurements[0].value / results[0].measurements[0].value)
    assert f"<br>{row['ratio']:.3g} times dense, 95 % from " in said[key]
    assert said[key].endswith("<br>worse, p < 0.001 after Holm over the 4 shown")
    assert "dense" not in said[results[2].variant.key]  # its outcomes were not kept


def test_the_table_says_intervals_and_verdicts(without_wanda):
    curve, dense, perplexities = curve_of(without_wanda)
    found, frame = told(without_wanda)
    accuracies = shown_together(paired.of_shown(found[found["dataset"] == MEAN], curve))
    table = comparison(curve, points.seven_means(points.headline(frame)), dense, perplexities, accuracies)
    table = table.set_index(["Method", "Removed"])
    results, _ = without_wanda
    row, figure = table.loc[("Magnitude", "50 %")], perplexities.set_index("key").loc[results[1].variant.key]
    assert row["Ratio to dense"] == pytest.approx(figure["ratio"])
    assert row["Ratio, 95 %"] == f"[{figure['ratio_low']:.3g}, {figure['ratio_high']:.3g}]"
    mean = accuracies.set_index("key").loc[results[1].variant.key]
    assert row["Accuracy vs dense"] == pytest.approx(100 * mean["difference"])
    assert row["Accuracy, 95 %"] == f"[{100 * mean['low']:+.1f}, {100 * mean['high']:+.1f}]"
    assert (row["Perplexity is"], row["Accuracy is"]) == ("worse", mean["verdict"])
    ria, seeds = table.loc[("RIA", "50 %")], paired.of_points(perplexities, curve[curve["series"] == "RIA"]).iloc[0]
    both = [math.log(one.measurements[0].value / results[0].measurements[0].value) for one in results[5:7]]
    assert seeds["ratio"] == pytest.approx(math.exp(sum(both) / 2))
    assert ria["Ratio, 95 %"] == f"[{seeds['ratio_low']:.3g}, {seeds['ratio_high']:.3g}]"
    assert (ria["Perplexity is"], ria["Accuracy is"]) == ("worse", "a mean of 2 seeds")
    for column in ("Perplexity is", "Accuracy is"):
        assert table.loc[("Wanda", "50 %"), column] == "cannot be paired"
        assert pd.isna(table.loc[("Dense", "0 %"), column])
    assert table.loc[("SparseGPT", "50 %"), "Accuracy is"] == UNTOLD
    wanda = table.loc[("Wanda", "50 %")]
    assert wanda["Ratio to dense"] > 1 and pd.isna(wanda["Ratio, 95 %"]) and not math.isnan(wanda["Accuracy vs dense"])


def test_two_variants_stand_side_by_side_number_by_number(without_wanda):
    results, samples = without_wanda
    found = compared(results[1], results[3], samples)
    table = paired.beside(found).set_index("Number")
    assert list(table.index)[:2] == ["Perplexity, passages-eval", "Mean of seven"] and len(table) == 9
    assert table.loc["Perplexity, passages-eval", "Difference"].startswith("x ")
    row = found[found["dataset"] == "hellaswag"].iloc[0]
    shown = table.loc["HellaSwag (acc_norm)"]
    assert shown["Difference"] == f"{100 * row['difference']:+.1f}" and shown["This is"] == row["verdict"]
    assert (shown["This"], shown["Other"]) == (f"{100 * row['value']:.1f} %", f"{100 * row['reference']:.1f} %")
    assert row["adjusted"] == row["p"]  # of one pair
    assert paired.reasons(found) == []
    lost = compared(results[2], results[3], samples)
    assert set(paired.beside(lost)["This is"]) == {"cannot be paired"}
    assert paired.reasons(lost) == ["Cannot be paired: what was answered, document by document, was not kept."]


def test_variants_are_named_as_briefly_as_tells_them_apart():
    results = [
        result("wanda", 44.0, 0.5),
        result("dense", 20.0),
        result("wanda", 45.0, 0.5, seed=1),
        result("wanda", 45.0, 0.5, calibration="c4-sample:16x2048"),
        result("magnitude", 24.0, 0.3),
    ]
    names = list(points.variant_names(tidy(results)).values())
    assert names[0] == "Dense" and "Magnitude, 30 %" in names
    assert set(names[2:]) == {
        "Wanda, 50 %, passages-calibration:16x2048, seed 0",
        "Wanda, 50 %, passages-calibration:16x2048, seed 1",
        "Wanda, 50 %, c4-sample:16x2048",
    }
