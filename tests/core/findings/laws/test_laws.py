"""Compression laws: recovered exponents, leave-one-out errors, and no extrapolation."""

import math

import numpy as np
import pandas as pd
import pytest

from core.base.errors import UserError
from core.data.cards import SEVEN, TASKS
from core.findings.laws.fit import best_of, fit, fits
from core.findings.laws.forms import FORMS
from core.findings.laws.groups import COLUMNS, Group, across
from core.findings.laws.law import law
from core.findings.laws.limit import Limit
from core.findings.laws.measured import check_metric, means, select_groups
from core.findings.laws.papers import printed
from core.findings.laws.report import in_words, table
from core.findings.numbers.seven import chance_of
from core.store.bundled import published

FIRST, SECOND, THIRD = FORMS
RATIOS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


def group(value, models=(("m", 3.0, 100.0),), tokens=(0.0,), loss=True, noise=0.0, ratios=RATIOS):
    """Points of `value(L0, r, N0, D)` at every ratio, with noise of their logarithms, and each model's dense one."""
    drawn, rows = np.random.default_rng(1), []
    for model, dense, parameters in models:
        rows.append([model, "dense", "dense", 0.0, dense, dense, parameters, 0.0])
        for trained in tokens:
            for ratio in ratios:
                true = value(dense, ratio, parameters, trained) * math.exp(noise * drawn.normal())
                rows.append([model, "some", "wanda", ratio, true, dense, parameters, trained])
    return Group("m", "made up", "some", loss, pd.DataFrame(rows, columns=COLUMNS))


def first(dense, ratio, parameters, trained, a=1.0, b=1.7, c=0.0):
    return dense**a * (1 + ratio) ** b * (1 + 1 / (trained + 1)) ** c


def second(dense, ratio, parameters, trained, factor=0.97, a=0.6):
    return dense / (factor * (1 - ratio) ** a)  # of a loss: 1 / L falls


def third(dense, ratio, parameters, trained, factor=4.0, g=-2.5, d=0.3):
    return dense + factor * ratio**-g * parameters**-d


SEVERAL = tuple((f"m{size}", 4.5 - 0.3 * math.log(size), 100.0 * size) for size in (1, 3, 10, 30))


def values(found):
    return {name: exponent.value for name, exponent in found.exponents.items()}


@pytest.mark.parametrize(
    ("form", "made", "planted"),
    [
        (FIRST, group(first), {"b": 1.7}),  # one model does not determine the exponent of its dense loss
        (FIRST, group(lambda *of: first(*of, a=0.9), SEVERAL), {"a": 0.9, "b": 1.7}),
        (FIRST, group(lambda *of: first(*of, c=0.4), tokens=(0.0, 1.0, 25.0)), {"b": 1.7, "c": 0.4}),
        (SECOND, group(second), {"P0": 0.97, "a": 0.6}),
        (THIRD, group(lambda *of: third(*of, d=0.0)), {"C": 4.0, "g": -2.5}),
        (THIRD, group(third, SEVERAL), {"C": 4.0, "g": -2.5, "d": 0.3}),
        (THIRD, group(third, SEVERAL, ratios=[0.5]), {"C": 4.0 * 0.5**2.5, "d": 0.3}),
    ],
)
def test_fit_recovers_planted_exponents(form, made, planted):
    rows = made.rows[(made.rows["ratio"] > 0) | (form is not SECOND)]  # of dense P0 is 1
    assert values(fit(form, made._replace(rows=rows))) == pytest.approx(planted)


def test_accuracies_are_fitted_to_the_second_form_only():
    made = group(lambda dense, ratio, *_: dense * 0.97 * (1 - ratio) ** 0.6, (("m", 0.5, 1.0),), loss=False)
    by_name = {one.form: one for one in fits(made)}
    assert set(by_name) == {FIRST, SECOND}
    assert values(by_name[SECOND]) == pytest.approx({"P0": 0.97, "a": 0.6}, rel=0.05)  # the dense point gives P0 = 1
    assert best_of(fits(made)) is not None and best_of(fits(made)).form is SECOND


@pytest.mark.parametrize(
    ("form", "value", "planted"),
    [
        (FIRST, first, {"b": 1.7}),
        (SECOND, lambda *of: second(*of, factor=1.0), {"P0": 1.0, "a": 0.6}),
        (THIRD, lambda *of: third(*of, d=0.0), {"C": 4.0, "g": -2.5}),
    ],
)
def test_intervals_cover_the_planted_value_and_widen_with_noise(form, value, planted):
    quiet, again, loud = (fit(form, group(value, noise=noise)) for noise in (0.005, 0.005, 0.03))
    assert quiet.exponents == again.exponents
    for name, true in planted.items():
        assert quiet.exponents[name].low <= true <= quiet.exponents[name].high
        wide = [found.exponents[name].high - found.exponents[name].low for found in (quiet, loud)]
        assert 0 < wide[0] < wide[1]


def test_leave_one_ratio_out_matches_the_manual_result():
    made = group(first, noise=0.05)
    rows = made.rows[made.rows["ratio"] > 0]
    errors = []
    for ratio, true, dense in zip(rows["ratio"], rows["value"], rows["dense"], strict=True):
        rest = rows[rows["ratio"] != ratio]
        x, y = np.log1p(rest["ratio"]), np.log(rest["value"] / rest["dense"])
        errors.append(dense * (1 + ratio) ** ((x @ y) / (x @ x)) - true)
    found = fit(FIRST, made).by_ratio
    assert found.percent == pytest.approx(100 * math.sqrt(np.mean((errors / rows["value"]) ** 2)))
    assert found.times == pytest.approx(math.exp(math.sqrt(np.mean(np.square(errors)))))


def test_leave_one_model_out_matches_the_manual_result():
    made = group(third, SEVERAL, ratios=[0.5], noise=0.002)
    rows = made.rows[made.rows["ratio"] > 0]
    errors = []
    for row in rows.itertuples():
        rest = rows[rows["model"] != row.model]
        slope, start = np.polyfit(np.log(rest["parameters"]), np.log(rest["value"] - rest["dense"]), 1)
        errors.append((row.dense + math.exp(start) * row.parameters**slope) / row.value - 1)
    found = fit(THIRD, made)
    assert found.by_ratio is None and in_words(law([found], Limit()))[0]["leave-one-ratio-out error"] == "one ratio"
    assert found.by_model.percent == pytest.approx(100 * math.sqrt(np.mean(np.square(errors))))
    assert fit(FIRST, group(first)).by_model is None


def test_third_form_skips_points_no_worse_than_dense():
    made = group(third)
    made.rows.loc[made.rows["ratio"] == 0.1, "value"] = 2.99
    found = fit(THIRD, made)
    assert found.points == len(RATIOS) - 1 and law([found], Limit()).left_out == {"not worse than dense": 1}
    assert found.by_ratio.percent > 0.1  # the rest lies on the law exactly
    assert table([law([found], Limit())])["without_place"].item() == 1


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_critical_ratio_inverts_the_law(form):
    value = {FIRST: first, SECOND: second, THIRD: third}[form]
    found = fit(form, group(value, noise=0.002))
    (critical, low, high), _ = found.critical(Limit(times=1.4))
    (loss,), *_ = found.curve(np.array([critical]))
    assert math.exp(loss) == pytest.approx(1.4 * math.exp(3.0))
    assert low < critical < high


def test_critical_ratio_of_the_first_form_uses_all_terms():
    found = fit(FIRST, group(lambda *of: first(*of, a=0.95, c=0.1), SEVERAL, tokens=(0.0, 5.0)))
    (critical, *_), model = found.critical(Limit(times=2))
    dense = dict((name, loss) for name, loss, _ in SEVERAL)[model]
    share = (dense + math.log(2)) / dense**0.95 * 2**-0.1  # not trained: D = 0
    assert critical == pytest.approx(share ** (1 / 1.7) - 1)
    assert dense == max(loss for _, loss, _ in SEVERAL)  # a multiple of its perplexity is least of its loss


def test_laws_are_not_extrapolated_beyond_the_largest_ratio():
    found = fit(FIRST, group(first))
    value, low, high = found.curve(np.array([0.0, 0.7, 0.71]))
    assert np.isnan([one[2] for one in (value, low, high)]).all() and not np.isnan(value[:2]).any()
    lax = Limit(times=1e4)
    assert math.isinf(found.critical(lax)[0].value)
    assert str(law([found], lax)).startswith("At 70 %, the largest ratio measured, the law stays below 10000 times")
    assert table([law([found], lax)])[["beyond", "largest"]].iloc[0].tolist() == [True, 0.7]


def test_sentences_use_quantities_that_readers_know():
    found = fit(FIRST, group(first, noise=0.02))
    text = str(law([found], Limit(times=1.5)))
    assert text.startswith("To stay below 1.5 times the dense perplexity, 30.1, remove at most 8 %.")
    error = f"Its error at ratios outside the fit is a factor of {found.by_ratio.times:.2f} of the perplexity."
    assert law([found], Limit(times=1.5)).error_sentence == error
    assert law([found], Limit(times=1.01)).error_sentence.endswith("so measure before you rely on it.")
    (row,) = in_words(law([found], Limit(times=1.5)))
    assert row["below 1.5 x dense up to"] == "8 %"
    assert str(law([found], Limit(times=1.03))).endswith("remove at most 0.6 %.")
    frame = table([law([found], Limit(times=1.5))])
    assert frame["times_dense"].item() == 1.5 and frame["keep"].isna().all()
    made = group(lambda dense, ratio, *_: dense * (1 - ratio) ** 0.6, (("m", 0.5, 1.0),), loss=False)
    scores = law([fit(SECOND, made)], Limit())
    assert str(scores) == "To keep 90 % of the accuracy above chance, remove at most 16 %."
    assert scores.error_sentence == "Its error at ratios outside the fit is 0.0 % of the accuracy above chance."
    assert table([scores])["keep"].item() == 0.9


def test_critical_ratio_is_zero_if_any_removal_costs_too_much():
    found = fit(SECOND, group(lambda *of: second(*of, factor=0.5)))
    assert found.critical(Limit())[0].value == 0
    assert str(law([found], Limit())).startswith("By this law, no ratio stays below 1.1 times")
    better = fit(FIRST, group(lambda *of: first(*of, b=-0.2)))  # the more is removed, the better
    assert math.isinf(better.critical(Limit())[0].value)


def test_too_few_points_are_not_fitted_and_one_ratio_predicts_none():
    assert fit(THIRD, group(third, ratios=[0.2, 0.5])) is None
    assert fit(SECOND, group(second, ratios=[0.5])) is None
    found = fit(THIRD, group(third, SEVERAL, ratios=[0.5]))
    found = law([found], Limit())
    assert math.isnan(found.critical.value) and "single ratio does not predict" in str(found)


def test_groups_of_several_models_are_fitted_together():
    one = group(first)
    other = Group("n", one.metric, one.name, True, one.rows.assign(model="n"))
    (both,) = across([one, other, Group("n", one.metric, "alone", True, one.rows)])
    assert both.name == "some" and both.rows["model"].nunique() == 2


def test_published_opt_groups_by_size_and_llama_by_ratio():
    groups = {(one.of, one.metric, one.name): one for one in printed(published())}
    opt = groups["SparseGPT, table 1: OPT across sizes", "perplexity on WikiText-2", "SparseGPT 50 %"]
    assert len(opt.rows) == 18 and opt.rows["parameters"].nunique() == 9
    assert opt.rows["value"].iloc[0] == pytest.approx(math.log(27.66))
    by_form = {one.form: one for one in fits(opt)}
    assert set(by_form) == set(FORMS) and all(one.by_model and not one.by_ratio for one in by_form.values())
    assert "a" in by_form[FIRST].exponents and "d" in by_form[THIRD].exponents
    assert by_form[THIRD].points == 7  # the two largest are better than dense
    magnitude = groups["SparseGPT, table 1: OPT across sizes", "perplexity on WikiText-2", "Magnitude 50 %"]
    assert magnitude.left_out == 3
    mean = groups["SlimLLM, main table: LLaMA-7B", "mean above chance of the seven tasks", "Structured, tuned"]
    assert sorted(mean.rows["ratio"].unique()) == [0, 0.2, 0.5] and mean.rows["value"].between(0.02, 0.35).all()


def tidied(ratios=(0.1, 0.3, 0.5, 0.7), **more):
    """Tidy rows of perplexities on one text, of one series and the dense model."""
    rows = [("d", "dense", math.nan, 20.0, "dense", "Dense")]
    rows += [(f"w{ratio}", "wanda", ratio, 20 * (1 + ratio), "unstructured", "Wanda") for ratio in ratios]
    found = pd.DataFrame(rows, columns=["key", "method", "ratio", "value", "family", "series_label"])
    same = {"model": "m", "metric": "perplexity", "dataset": "text", "protocol_id": "1", "protocol": "so"}
    same |= {"window": 8.0, "windows": 2.0, "rounded": False, "ratio_kind": "sparsity", "layers": None, "seed": 0}
    same |= {"pattern": None, "recovery": None, "calibration": "c:1x8", "train": None, "limit": math.nan}
    return found.assign(parts=found["method"], **same, **more)


def test_series_contain_pruning_ratios_of_one_calibration_only():
    rows = tidied()
    bits = rows.tail(1).assign(ratio=0.75, rounded=True, pattern="4bit", value=99.0)
    pattern = rows.tail(1).assign(ratio=0.5, pattern="2:4", value=99.0)
    layers = rows.tail(1).assign(layers="0:3", value=99.0)
    diverged = rows.tail(1).assign(ratio=0.9, value=1e6)
    seeds = rows.tail(1).assign(seed=1, value=36.0)
    family, series = select_groups(pd.concat([rows, bits, pattern, layers, diverged, seeds]), "perplexity")
    assert (family.name, series.name) == ("Unstructured", "Wanda")
    assert series.rows["ratio"].tolist() == [0, 0.1, 0.3, 0.5, 0.7] and series.left_out == 1
    assert series.rows["value"].iloc[-1] == pytest.approx(math.log(35))  # the mean of two seeds
    assert [one.name for one in select_groups(tidied((0.1, 0.5)), "perplexity") if one.enough] == ["Unstructured"]
    assert not select_groups(tidied()[1:], "perplexity")  # without the dense model there is no L0
    other = tidied()[1:].assign(calibration="d:1x8")
    found = select_groups(pd.concat([tidied(), other]), "perplexity")
    assert [one.name for one in found] == ["Unstructured", "Wanda, c:1x8", "Wanda, d:1x8"]


def test_mixed_family_group_uses_training_tokens():
    trained = tidied()[1:].assign(train="c:1000x500", series_label="Wanda + LoRA", recovery="lora", value=25.0)
    found = {one.name: one for one in select_groups(pd.concat([tidied(), trained]), "perplexity")}
    both = found["Unstructured and trained"]
    assert not found["Unstructured"].mixed and both.mixed
    assert sorted(both.rows["tokens"].unique()) == [0, 0.5]
    assert [one.form for one in fits(both)] == [FIRST] and "c" in fits(both)[0].exponents
    assert [one.form for one in fits(found["Wanda + LoRA"])] == [*FORMS]  # all of it was trained alike


def scored(rows):
    """The same variants' accuracies on the seven tasks, of rows of perplexities."""
    value = 0.9 - rows["ratio"].fillna(0.0)
    tasks = [
        rows.assign(dataset=name, metric=TASKS[name].metric, value=value * (1 + place / 10))
        for place, name in enumerate(SEVEN)
    ]
    return pd.concat(tasks).assign(limit=100.0, window=math.nan, fewshot=0.0, scoring="float32", stderr=math.nan)


def test_a_mean_above_chance_needs_all_tasks_that_count():
    rows = scored(tidied())
    found = means(rows)
    assert found["key"].tolist() == ["d", "w0.1", "w0.3", "w0.5", "w0.7"]
    assert found["value"].iloc[0] == pytest.approx(0.9 * 1.3 - chance_of(SEVEN))
    assert means(rows[(rows["dataset"] != "piqa") | (rows["key"] != "w0.3")])["key"].tolist()[1:3] == ["w0.1", "w0.5"]
    family, _ = select_groups(rows, "accuracy")
    assert family.metric.startswith("mean above chance of BoolQ, PIQA, ") and family.metric.endswith("100 documents")
    assert not family.loss
    assert select_groups(rows, "piqa")[0].metric == "acc of PIQA above chance, first 100 documents"


def test_an_unknown_metric_is_rejected():
    with pytest.raises(UserError, match="not perplexity, accuracy"):
        check_metric("speed")
