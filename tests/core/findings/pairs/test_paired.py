"""Paired differences in charts and tables, on made-up outcomes."""

import math

import pandas as pd
import pytest

from core.data.cards import SEVEN, TASKS
from core.findings import axes
from core.findings.numbers.differences import adjust_together, differences, over_seeds
from core.findings.numbers.frame import tidy
from core.findings.numbers.reporting import marked_verdict
from core.findings.numbers.seven import ABOVE_CHANCE, chance_of, counted_tasks
from core.findings.pairs import paired
from core.findings.pairs.comparison import comparison
from core.findings.rows import naming, points, zeroshot
from dashboard.charts import scores
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import DARK, LIGHT, faded
from tests.synthetic import answered, result

NOT_SIGNIFICANT = "not significant"


@pytest.fixture(scope="module")
def kept():
    """Results with outcomes: dense, three variants at 50 % of which one is like dense, one at 30 %, and two seeds."""
    plain = [result("dense", 20.0), result("magnitude", 400.0, 0.5), result("wanda", 44.0, 0.5)]
    plain += [result("sparsegpt", 37.0, 0.5), result("sparsegpt", 22.0, 0.3)]
    plain += [result("ria", 45.0, 0.5), result("ria", 46.0, 0.5, seed=1)]
    made = [answered(one, seed) for seed, one in enumerate(plain)]
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


def compared(one, other, samples, dense=()):
    return differences([one], other, lambda key, number: samples[key].get(number.identity), dense)


def dense_differences(kept):
    """Return the frame of paired differences to dense, and the frame of all numbers."""
    results, samples = kept
    known, frame = {one.variant.key: one for one in results}, tidy(results)
    groups = [[known[key] for key in keys] for keys in points.by_seed(frame)]
    read = over_seeds(groups, lambda key, number: samples[key].get(number.identity))
    return differences([group[0] for group in groups], results[0], read), frame


def scored(kept):
    """Return the accuracies at 50 % with their baselines, and the differences to dense."""
    found, frame = dense_differences(kept)
    here = points.at_amount(zeroshot.headline(frame), "50 %")
    both = zeroshot.with_mean(zeroshot.accuracies(here), zeroshot.means_above_chance(here))
    return paired.with_baselines(both, found), found


def drawn(kept):
    """Return the rows of the chart of differences, and their differences."""
    both, found = scored(kept)
    together = adjust_together(paired.of_shown(found, both))
    return paired.of_tasks(together, both), together


def score_chart(kept, theme=LIGHT, difference=True, tasks=None, others=()):
    """Return figure, rows, differences and lines of the chart of scores; `others` are context series."""
    rows, together = drawn(kept)
    both, _ = scored(kept)
    lines, shown = paired.lines(both), [one for one in both["series_label"].unique() if one not in others]
    paired_rows = rows[rows["unpaired_reason"].isna() & rows["series_label"].isin(shown)]
    context = paired.with_context_series(paired_rows, both, lines, shown)
    rows = context if difference else paired.as_they_are(both, shown)
    return scores.score_chart(rows, lines, theme, tasks or list(lines.index), difference), rows, together, lines


def dots_of(figure, name):
    return [found for found in figure.data if found.name == name and found.customdata is not None]


def test_the_chart_draws_paired_differences_in_percentage_points(kept):
    figure, _, together, lines = score_chart(kept, others=["RIA"])
    assert len(lines) == 8 and len({one.xaxis for one in figure.data}) == 8  # a panel each
    values = together.set_index(["key", "dataset"])
    key = kept[0][1].variant.key
    labels = {TASKS[name].label: name for name in SEVEN} | {"Mean above chance": ABOVE_CHANCE}
    found = dots_of(figure, "Magnitude")
    assert [one.customdata[0][1] for one in found] == list(labels)
    for one in found:
        wanted = values.loc[(key, labels[one.customdata[0][1]])]
        assert one.x[0] == pytest.approx(100 * wanted["difference"])
        ends = one.x[0] - one.error_x.arrayminus[0], one.x[0] + one.error_x.array[0]
        assert ends == pytest.approx((100 * wanted["low"], 100 * wanted["high"]))
        assert f"<br>{marked_verdict(wanted)}<br>adjusted p " in one.hovertemplate
        assert "Holm over the 3 shown" in one.hovertemplate and "<br>unadjusted 95 % from " in one.hovertemplate
    assert {x for one in figure.data if one.name == "dense" for x in one.x} == {0}
    assert sum(one.showlegend is not False for one in figure.data if one.name == "dense") == 1


def test_the_mean_panel_has_a_row_per_variant_and_grey_context_series(kept):
    figure, rows, _, lines = score_chart(kept, tasks=["Mean above chance"], others=["RIA", "Wanda"])
    assert list(figure.layout.yaxis.ticktext) == ["Magnitude", "SparseGPT", scores.OTHERS]
    assert figure.layout.title.text == "Mean above chance, zero-shot minus dense, points (higher is better)"
    grey = [one for one in figure.data if one.name in ("RIA", "Wanda")]
    assert len(grey) == 2 and {one.y[0] for one in grey} == {0} and {one.marker.color for one in grey} != {LIGHT.text}
    assert not set(rows.loc[rows["highlighted"], "series_label"]) & {"RIA", "Wanda"}
    (majority,) = [one for one in figure.data if one.name == "majority class"]
    line = lines.loc["Mean above chance"]
    assert majority.x[0] == pytest.approx(line["majority"] - line["dense"])


def test_a_fine_tuned_variant_has_a_row_below_its_parent():
    rows = pd.DataFrame(
        {"series_label": ["Wanda", "SparseGPT + LoRA", "SparseGPT"], "parent_label": [None, "SparseGPT", None]}
    )
    names = scores.row_names(rows)
    assert list(names) == ["Wanda", "SparseGPT", "SparseGPT + LoRA"]
    assert list(names.values()) == ["Wanda", "SparseGPT", "↳ + LoRA"]
    alone = scores.row_names(rows[rows["series_label"] != "SparseGPT"])
    assert list(alone.values()) == ["Wanda", "SparseGPT + LoRA"]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_not_significant_pairs_are_faded(kept, theme):
    figure, rows, _, _ = score_chart(kept, theme)
    assert not rows[rows["series_label"] == "SparseGPT"]["significant"].any()  # it answers as dense does
    color = theme.palette[2]
    for same in dots_of(figure, "SparseGPT"):
        assert same.marker.color == same.error_x.color == faded(color, theme) != color
        assert NOT_SIGNIFICANT in same.hovertemplate and "adjusted p = 1, Holm over the 3" in same.hovertemplate
    assert dots_of(figure, "Magnitude")[-1].marker.color == theme.palette[0]
    assert faded("#000000", LIGHT) == "#949494" and faded(LIGHT.paper, LIGHT) == LIGHT.paper


def test_variants_with_one_answer_nearly_always_are_named(kept):
    rows, _ = drawn(kept)
    text = paired.one_answer_words(rows)
    assert text.startswith("One answer nearly always: Magnitude on BoolQ (100 % of the documents)")
    assert paired.one_answer_words(rows.assign(one_answer=0.9)) == ""


def test_unpaired_variants_are_named_with_the_reason(without_wanda, kept):
    rows, _ = drawn(without_wanda)
    assert set(rows.loc[rows["unpaired_reason"].isna(), "series_label"]) == {"Magnitude", "SparseGPT"}
    message = paired.unpaired(rows)
    assert "Wanda (per-document answers were not stored)" in message
    assert "RIA (a mean of 2 seeds)" in message and "Magnitude" not in message
    results, samples = kept
    key = results[1].variant.key
    some = {identity: frame for identity, frame in samples[key].items() if identity[1] != "piqa"}
    rows, _ = drawn((results, samples | {key: some}))
    assert "Magnitude in PIQA, Mean above chance (per-document answers" in paired.unpaired(rows)


def test_accuracies_have_both_baselines_of_the_scored_documents(kept):
    both, _ = scored(kept)
    figure = scores.accuracy_dots(both, LIGHT, list(dict.fromkeys(both["task"])))
    lines = {one.name: one for one in figure.data if one.mode == "lines"}
    assert set(lines) == {"chance", "majority class"}
    assert lines["chance"].line.dash != lines["majority class"].line.dash
    above = 0.5 - chance_of(counted_tasks(zeroshot.of_dense(zeroshot.headline(tidy(kept[0])))))
    chances = sorted({x for x in lines["chance"].x if x is not None})
    assert chances == pytest.approx([above, 0.5])  # two choices each, whatever the catalogue says
    results, samples = kept
    targets = [frame["target"] for frame in samples[results[0].variant.key].values() if "target" in frame]
    wanted = [max(values.mean(), 1 - values.mean()) for values in targets]
    seen = [x for x in lines["majority class"].x if x is not None][::2]
    assert seen[:-1] == pytest.approx(wanted)


def test_without_stored_answers_chance_comes_from_the_catalogue(kept):
    results, _ = kept
    both, _ = scored((results, {one.variant.key: {} for one in results}))
    assert both["majority"].isna().all()
    assert list(both.loc[both["task"] == "HellaSwag", "chance"].unique()) == [0.25]
    figure = scores.accuracy_dots(both, LIGHT, list(dict.fromkeys(both["task"])))
    assert "majority class" not in {one.name for one in figure.data}


def curve_of(kept):
    """Return the points, dense, and the differences of their perplexities."""
    found, frame = dense_differences(kept)
    rows = frame[frame["metric"] == "perplexity"]
    dense, curve = points.split_points(rows)
    return curve, dense, adjust_together(paired.of_shown(found[found["metric"] == "perplexity"], curve))


def test_the_hover_of_a_curve_shows_ratio_and_verdict(without_wanda):
    curve, dense, found = curve_of(without_wanda)
    figure = perplexity_curve(paired.of_curve(found, curve), dense, axes.RATIO, LIGHT, "x")
    hovers = {custom[0]: custom[3] for one in figure.data if one.customdata is not None for custom in one.customdata}
    results, _ = without_wanda
    key = results[1].variant.key
    row = found.set_index("key").loc[key]
    assert row["ratio"] == pytest.approx(results[1].measurements[0].value / results[0].measurements[0].value)
    assert f"<br>{row['ratio']:.3g} times dense<br>unadjusted 95 % from " in hovers[key]
    assert hovers[key].endswith("<br>worse<br>adjusted p < 0.001, Holm over the 4 shown")
    assert "dense" not in hovers[results[2].variant.key]  # its outcomes are not stored


def test_the_table_contains_intervals_and_verdicts(without_wanda):
    curve, dense, perplexities = curve_of(without_wanda)
    found, frame = dense_differences(without_wanda)
    accuracies = adjust_together(paired.of_shown(found[found["dataset"] == ABOVE_CHANCE], curve))
    table = comparison(curve, zeroshot.means_above_chance(zeroshot.headline(frame)), dense, perplexities, accuracies)
    table = table.set_index("Variant")
    results, _ = without_wanda
    row, figure = table.loc["Magnitude 50 %"], perplexities.set_index("key").loc[results[1].variant.key]
    assert row["Times dense"] == pytest.approx(figure["ratio"])
    assert row["Times dense, unadjusted 95 %"] == f"[{figure['ratio_low']:.3g}, {figure['ratio_high']:.3g}]"
    mean = accuracies.set_index("key").loc[results[1].variant.key]
    assert row["Accuracy vs dense"] == pytest.approx(100 * mean["difference"])
    assert row["Accuracy, unadjusted 95 %"] == f"[{100 * mean['low']:+.1f}, {100 * mean['high']:+.1f}]"
    assert (row["Perplexity is"], row["Accuracy is"]) == ("worse", mean["verdict"])
    ria = table.loc["RIA 50 %, passages"]
    seeds = paired.of_points(perplexities, curve[curve["series_label"] == "RIA"]).iloc[0]
    assert ria["Seeds"] == 2
    both = [math.log(one.measurements[0].value / results[0].measurements[0].value) for one in results[5:7]]
    assert seeds["ratio"] == pytest.approx(math.exp(sum(both) / 2))
    assert ria["Times dense, unadjusted 95 %"] == f"[{seeds['ratio_low']:.3g}, {seeds['ratio_high']:.3g}]"
    assert (ria["Perplexity is"], ria["Accuracy is"]) == ("worse", "a mean of 2 seeds")
    for column in ("Perplexity is", "Accuracy is"):
        assert table.loc["Wanda 50 %, passages", column] == "cannot be paired"
        assert pd.isna(table.loc["Dense", column])
    assert table.loc["SparseGPT 50 %, passages", "Accuracy is"] == NOT_SIGNIFICANT
    wanda = table.loc["Wanda 50 %, passages"]
    assert wanda["Times dense"] > 1 and not math.isnan(wanda["Accuracy vs dense"])
    assert pd.isna(wanda["Times dense, unadjusted 95 %"]) and wanda["Perplexity, adjusted p"] == ""


def test_two_variants_are_compared_metric_by_metric(without_wanda):
    results, samples = without_wanda
    found = compared(results[1], results[3], samples, results[:1])
    table = paired.comparison_table(found).set_index("Metric")
    assert list(table.index)[:2] == ["Perplexity on passages-eval", "Mean above chance"] and len(table) == 10
    assert table.loc["Perplexity on passages-eval", "Difference"].startswith("x ")
    row = found[found["dataset"] == "hellaswag"].iloc[0]
    shown = table.loc["HellaSwag (acc_norm)"]
    assert shown["Difference"] == f"{100 * row['difference']:+.1f}" and shown["First is"] == row["verdict"]
    assert (shown["First"], shown["Second"]) == (f"{100 * row['value']:.1f} %", f"{100 * row['reference']:.1f} %")
    assert row["p_adjusted"] == row["p"]  # of one pair
    assert paired.reasons(found) == []
    lost = compared(results[2], results[3], samples)
    assert set(paired.comparison_table(lost)["First is"]) == {"cannot be paired"}
    assert paired.reasons(lost) == ["Cannot be paired: per-document answers were not stored."]


def test_variants_have_their_short_names_the_dense_one_first():
    results = [
        result("wanda", 44.0, 0.5),
        result("dense", 20.0),
        result("wanda", 45.0, 0.5, seed=1),
        result("wanda", 45.0, 0.5, calibration="c4-sample:16x2048"),
        result("magnitude", 24.0, 0.3),
    ]
    names = list(naming.variant_names(tidy(results)).values())
    assert names[0] == "Dense" and "Magnitude 30 %" in names
    assert set(names[2:]) == {"Wanda 50 %, passages", "Wanda 50 %, passages, seed 1", "Wanda 50 %"}


def test_a_number_is_named_by_its_text_or_task():
    of = {"metric": "perplexity"}
    assert paired.number_name(of | {"dataset": "wikitext2"}) == "Perplexity on WikiText-2"
    assert paired.number_name(of | {"dataset": "lambada_openai"}) == "Perplexity on LAMBADA"
    assert paired.number_name({"metric": "acc", "dataset": "piqa"}) == "PIQA (acc)"
