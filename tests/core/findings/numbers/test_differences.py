"""Paired differences of variants, or the reason if their answers were not stored."""

import math

import pandas
import pytest

from core.data.cards import SEVEN, TASKS
from core.findings.numbers.differences import (
    DIFFERENCE_COLUMNS,
    adjust_together,
    differences,
    differences_to_dense,
    over_seeds,
    paired_differences,
    tidy_with_differences,
)
from core.findings.numbers.frame import tidy
from core.findings.numbers.paired import baselines, difference, mean_difference
from core.findings.numbers.reporting import marked_verdict
from core.findings.numbers.seven import ABOVE_CHANCE, MEAN, chance_of, counted_tasks, counted_words
from core.findings.numbers.verdicts import holm
from core.results import Measurement
from core.specs import Stage, VariantSpec
from core.statistics.correlations import correlation_of
from core.statistics.longrun import inflation
from tests.core.factories import KEY, OTHER, WANDA, make, perplexity

THIRD = "c" * 64
DENSE = (Stage(method="dense"),)
BASE = make(stages=DENSE).variant.dense_key


def answered(dataset, right, metric="acc", limit=100):
    """A number and its samples, the first `right` of 100 documents right."""
    samples = pandas.DataFrame({"doc_id": range(100), metric: [1.0] * right + [0.0] * (100 - right)})
    protocol = {"limit": limit, "fewshot": 0, "dtype": "float32"}
    return Measurement(metric=metric, dataset=dataset, value=right / 100, n=100, protocol=protocol), samples


def stored(*variants):
    """Return results of (key, stages, numbers with samples), and a function that reads samples as `Store.samples`."""
    kept = {(key, row.identity): samples for key, _, numbers in variants for row, samples in numbers}
    results = [make(*(row for row, _ in numbers), key=key, stages=stages) for key, stages, numbers in variants]
    return results, lambda key, row: kept.get((key, row.identity))


def compared(first, *others):
    keys, stages = (BASE, OTHER, THIRD, "d" * 64, "e" * 64), (DENSE, *[(WANDA,)] * len(others))
    results, read = stored(*zip(keys, stages, (first, *others), strict=False))
    return differences(results, results[0], read)


def seven(right):
    return [answered(name, right + place, TASKS[name].metric) for place, name in enumerate(SEVEN)]


def test_p_values_are_adjusted_over_the_variants():
    first, second, third = (answered("piqa", right) for right in (60, 50, 57))
    found = compared([first], [second], [third])
    assert list(found["key"]) == [OTHER, THIRD]
    wanted = [difference("acc", first[1], other[1]) for other in (second, third)]
    for row, pair in zip(found.to_dict("records"), wanted, strict=True):
        assert {name: row[name] for name in ("difference", "stderr", "low", "high", "p")} == {
            name: getattr(pair, name) for name in ("difference", "stderr", "low", "high", "p")
        }
    assert list(found["p_adjusted"]) == holm([pair.p for pair in wanted])
    assert list(found["verdict"]) == ["worse", "not significant"] and list(found["comparisons"]) == [2, 2]
    assert list(found["reference"]) == [0.6, 0.6]
    assert found["unpaired_reason"].isna().all()


def test_mean_of_seven_uses_the_same_pairs_and_needs_all_answers():
    first, second = seven(60), seven(50)
    found = compared(first, second).set_index("dataset")
    assert list(found.index) == [*SEVEN, MEAN, ABOVE_CHANCE]
    pairs = [difference(row.metric, a, b) for (row, a), (_, b) in zip(first, second, strict=True)]
    assert found.loc[MEAN, "stderr"] == mean_difference(pairs).stderr
    assert found.loc[MEAN, "difference"] == pytest.approx(-0.1)
    assert found.loc[MEAN, "value"] == pytest.approx(0.53)
    assert found.loc[MEAN, "verdict"] == "worse"
    second[3] = (second[3][0], None)
    found = compared(first, second).set_index("dataset")
    for name in (SEVEN[3], MEAN, ABOVE_CHANCE):
        assert found.loc[name, "unpaired_reason"] == "cannot be paired: per-document answers were not stored"
        assert math.isnan(found.loc[name, "difference"])
        assert pandas.isna(found.loc[name, "verdict"])
        assert found.loc[name, "value"] < found.loc[name, "reference"]
    assert found.drop([SEVEN[3], MEAN, ABOVE_CHANCE])["unpaired_reason"].isna().all()


def test_a_task_counts_if_dense_is_significantly_above_chance_and_the_majority_class():
    dense = dict.fromkeys(SEVEN, (0.9, 0.02)) | {"piqa": (0.53, 0.02), "winogrande": (0.5, None)}
    assert counted_tasks(dense) == tuple(name for name in SEVEN if name not in ("piqa", "winogrande"))
    assert counted_words(dense).endswith("PIQA (53.0 % against 50.5 %) and WinoGrande (50.0 % against 50.4 %).")
    assert counted_tasks(dense | {"arc_easy": (0.3, None)}) == counted_tasks(dense)
    del dense["boolq"]
    assert counted_tasks(dense) == () and counted_words(dense) == ""


def test_a_pair_without_its_dense_model_has_no_mean_above_chance():
    stages = (WANDA,)
    (dense, *pair), read = stored((BASE, DENSE, seven(70)), (OTHER, stages, seven(50)), (THIRD, stages, seven(45)))
    assert ABOVE_CHANCE not in set(differences(pair, pair[0], read)["dataset"])
    assert ABOVE_CHANCE in set(differences(pair, pair[0], read, [dense])["dataset"])


def test_a_variant_with_one_answer_nearly_always_is_marked():
    (number, samples), (_, other) = answered("boolq", 60), answered("boolq", 60)
    yes, no = [-1.0, -2.0], [-2.0, -1.0]
    samples = samples.assign(target=0, loglikelihoods=[yes] * 50 + [no] * 50)
    other = other.assign(target=0, loglikelihoods=[yes] * 97 + [no] * 3)
    (row,) = compared([(number, samples)], [(number, other)]).to_dict("records")
    assert row["one_answer"] == 0.97 and marked_verdict(row) == "not significant, one answer in 97 %"


def test_other_documents_are_reported_and_other_protocols_not_compared():
    one, other = answered("piqa", 60), answered("piqa", 50)
    other[1]["doc_id"] += 1
    (row,) = compared([one], [other]).to_dict("records")
    assert row["unpaired_reason"].startswith("cannot be paired: The documents or windows of the variants differ")
    assert compared([answered("piqa", 60)], [answered("piqa", 50, limit=None)]).empty


def waves(number, n):
    """Return the difference of two variants with slowly varying losses, and that of independent losses."""
    losses = pandas.DataFrame({"doc_id": range(n), "perplexity": [-3.0 - math.sin(i) for i in range(n)]})
    more = losses.assign(perplexity=losses["perplexity"] - [0.1 + 0.02 * math.cos(i) for i in range(n)])
    (row,) = compared([(number, losses)], [(number, more)]).to_dict("records")
    return row, difference("perplexity", losses, more)


def test_interval_accounts_for_correlated_windows_and_not_for_independent_documents():
    row, independent = waves(perplexity(20.0), 16)
    factor = inflation(16, correlation_of("wikitext2", {"window": 2048, "windows": 16}, "differences"))
    assert row["stderr"] == pytest.approx(independent.stderr * math.sqrt(factor))
    assert row["high"] - row["low"] > 1.3 * (independent.high - independent.low)
    assert row["p"] > independent.p
    protocol = {"limit": 100, "fewshot": 0, "dtype": "float32"}
    number = Measurement(metric="perplexity", dataset="lambada_openai", value=20.0, n=100, protocol=protocol)
    row, independent = waves(number, 100)
    assert row["stderr"] == pytest.approx(independent.stderr)


def test_seeds_are_paired_by_their_mean_loss():
    numbers = [perplexity(value) for value in (20.0, 30.0, 32.0)]
    losses = [[-3.0, -2.9, -3.1], [-3.5, -3.3, -3.4], [-3.7, -3.2, -3.6]]
    frames = [pandas.DataFrame({"doc_id": range(3), "perplexity": drawn}) for drawn in losses]
    kept = dict(zip((KEY, OTHER, THIRD), frames, strict=True))
    dense, *seeds = (make(number, key=key) for number, key in zip(numbers, kept, strict=True))
    read = over_seeds([seeds], lambda key, _: kept.get(key))
    (row,) = differences(seeds[:1], dense, read).to_dict("records")
    mean = frames[1].assign(perplexity=(frames[1]["perplexity"] + frames[2]["perplexity"]) / 2)
    assert row["difference"] == pytest.approx(difference("perplexity", frames[0], mean).difference)
    del kept[THIRD]
    (row,) = differences(seeds[:1], dense, read).to_dict("records")
    assert row["unpaired_reason"].startswith("cannot be paired") and math.isnan(row["difference"])


def test_pairs_with_several_references_are_adjusted_together():
    rights = ((KEY, 60), (OTHER, 50), (THIRD, 57))
    (first, second, third), read = stored(*((key, (WANDA,), [answered("piqa", right)]) for key, right in rights))
    pairs = [(KEY, OTHER), (KEY, THIRD), (OTHER, THIRD)]
    found = paired_differences([(first, second), (first, third), (second, third)], read)
    assert list(zip(found["reference_key"], found["key"], strict=True)) == pairs
    assert list(found["p_adjusted"]) == holm(list(found["p"]))
    assert list(found["verdict"]) == ["worse", "not significant", "better"]
    assert list(found["comparisons"]) == [3, 3, 3]


def test_significant_alone_rows_count_their_comparisons():
    dense, *others = (answered("piqa", right) for right in (60, 54, 60, 60, 60))
    others[3][1]["acc"] = float("nan")  # which cannot be paired, and counts for nothing
    found = compared([dense], *([one] for one in others))
    assert list(found["verdict"][:3]) == ["worse alone, not after Holm", "not significant", "not significant"]
    assert list(found["comparisons"][:3]) == [3, 3, 3] and found["comparisons"][3:].isna().all()
    first = found.iloc[0]
    assert first["high"] < 0 and first["p"] <= 0.05 < first["p_adjusted"] == pytest.approx(3 * first["p"])
    assert adjust_together(found.iloc[:1])["verdict"].tolist() == ["worse"]


def test_tasks_and_their_mean_have_baselines():
    first, second = seven(60), seven(50)
    for _, samples in first:
        samples["target"], samples["loglikelihoods"] = [0] * 70 + [1] * 30, [[-1.0, -2.0, -3.0, -4.0]] * 100
    for (_, one), (_, other) in zip(first, second, strict=True):
        other["target"] = one["target"]
    found = compared(first, second).set_index("dataset")
    assert list(found["chance"])[:8] == [0.25] * 8 and list(found["majority"])[:8] == pytest.approx([0.7] * 8)
    assert found.loc[ABOVE_CHANCE, "majority"] == pytest.approx(0.7 - chance_of(SEVEN[1:]))  # BoolQ does not count
    assert baselines(first[0][1]) == (0.25, 0.7)
    assert "version" not in found.loc[MEAN, "protocol"]


def with_samples(*variants):
    """Return `stored` of one model, whose keys follow from their stages."""
    keys = [VariantSpec(model="m", revision="r", stages=stages).key for stages, _ in variants]
    return stored(*((key, *one) for key, one in zip(keys, variants, strict=True)))


def test_each_variant_is_compared_with_its_own_dense_model():
    dense, wanda = (DENSE, [answered("piqa", 60)]), ((WANDA,), [answered("piqa", 50), answered("boolq", 50)])
    found = differences_to_dense(*with_samples(dense, wanda))
    assert list(found["dataset"]) == ["piqa"] and list(found["verdict"]) == ["worse"]
    assert differences_to_dense(*with_samples(wanda)).empty
    reason = "cannot be paired: no dense result under this protocol"
    assert list(tidy_with_differences(*with_samples(wanda))["unpaired_reason"]) == [reason] * 2
    assert tidy_with_differences([], lambda *_: None).empty


def test_tidy_table_has_differences_to_dense_or_a_reason():
    old = (answered("arc_easy", 50)[0], None)
    dense = (DENSE, [answered("piqa", 60), answered("arc_easy", 60)])
    results, samples = with_samples(dense, ((WANDA,), [answered("piqa", 50), answered("boolq", 50), old]))
    frame = tidy_with_differences(results, samples)
    plain = tidy(results)
    assert list(frame.columns) == [*plain.columns, *DIFFERENCE_COLUMNS.values()]
    pandas.testing.assert_frame_equal(frame[plain.columns], plain)
    rows = frame.set_index(["method", "dataset"])
    paired = rows.loc[("wanda", "piqa")]
    assert (paired["difference"], paired["verdict"]) == (pytest.approx(-0.1), "worse")
    assert paired["comparisons"] == 1 and paired["p_adjusted"] == paired["p"]
    assert pandas.isna(paired["unpaired_reason"])
    assert paired["difference_low"] < -0.1 < paired["difference_high"] < 0
    assert rows.loc[("wanda", "boolq"), "unpaired_reason"] == "cannot be paired: no dense result under this protocol"
    assert rows.loc[("wanda", "arc_easy"), "unpaired_reason"].endswith("answers were not stored")
    assert rows.loc["dense", ["difference", "p", "verdict", "unpaired_reason"]].isna().all(axis=None)
