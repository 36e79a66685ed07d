"""The verdicts of the pages of results, and what predicts changed answers, on made-up results."""

import numpy as np
import pandas as pd
import pytest

from core.data.cards import SEVEN, TASKS
from core.results import KL, Measurement
from core.specs import Stage, TextWindows
from tests.core.factories import make, perplexity
from tools.report import points, significance
from tools.report.flips import LEAST, changed_answers, compared_chains, flips, predicted
from tools.report.points import MEANS, MODEL, RATIOS

TEXT = TextWindows.parse("c4-sample:16x2048")
N = 40  # documents a task


def stage(method, seed=0, **more):
    return Stage(method=method, calibration=TEXT, seed=seed, **more)


def pruned(method, seed=0, ratio=0.5):
    return (stage(method, seed, ratio=ratio),)


def variant(key, stages, right=30, loss=3.0, n=N, answers=True, model=points.MODEL, windows=16):
    """Return a made-up result of the seven tasks and a perplexity, and its answers, `right` of the first `N`."""
    protocol = {"limit": n, "fewshot": 0, "dtype": "float32"}
    kept, rows = {}, []
    for name in SEVEN:
        metric = TASKS[name].metric
        rows.append(Measurement(metric=metric, dataset=name, value=right / N, stderr=0.07, n=n, protocol=protocol))
        kept[rows[-1].identity] = pd.DataFrame(
            {
                "doc_id": range(n),
                "target": [0] * (3 * n // 5) + [1] * (n - 3 * n // 5),
                metric: (np.arange(n) % N < right).astype(float),
                "loglikelihoods": [[-1.0, -2.0]] * n,
            }
        )
    losses = loss + 0.01 * np.sin(np.arange(windows) * (1 + loss))
    rows.append(perplexity(float(np.exp(losses.mean())), windows=windows, stderr=1.0))
    kept[rows[-1].identity] = pd.DataFrame({"doc_id": range(windows), "perplexity": -losses})
    made = make(*rows, key=key * 64, stages=stages, model=model)
    if stages[0].method == "dense":
        made = made.model_copy(update={"variant": made.variant.model_copy(update={"key": made.variant.dense_key})})
    return made, (kept if answers else {})


def bundled(*variants):
    """Return the results, their points, and a function that reads their answers as `Store.samples` does."""
    found = [result for result, _ in variants]
    kept = {result.variant.key: answers for result, answers in variants}
    return found, significance.known(found), lambda key, row: kept[key].get(row.identity)


DENSE = variant("0", (Stage(method="dense"),))


def test_bundled_variants_are_compared_with_dense_and_each_other():
    slimllm, lorap = variant("1", pruned("slimllm"), 20, 3.5), variant("2", pruned("lorap"), 20, 4.0)
    _, known, kept = bundled(DENSE, slimllm, lorap, variant("3", pruned("llm-pruner"), 10, answers=False))
    table = significance.removed_apart(known, kept)
    assert table[["removed", "variant", "against"]].to_dict("split")["data"] == [
        ["50 %", "slimllm", "dense"],
        ["50 %", "lorap", "dense"],
        ["50 %", "lorap", "slimllm"],
    ]
    assert [cell.split(" [")[0] for cell in table[MEANS]] == ["-25.0", "-25.0", "+0.0"]
    assert [cell.split(": ")[1] for cell in table[MEANS]] == [*["worse"] * 2, "not significant"]
    assert [cell.split(" [")[0] for cell in table[RATIOS]] == ["x 1.65", "x 2.72", "x 1.65"]
    assert all(cell.endswith(": worse") for cell in table[RATIOS])


def test_a_fine_tuned_variant_is_compared_with_the_pruned_one():
    before, after = pruned("slimllm"), (*pruned("slimllm"), stage("lora"))
    _, known, kept = bundled(DENSE, variant("1", before, 20, 4.0), variant("2", after, 30, 3.5))
    (row,) = significance.trained_apart(known, kept).to_dict("records")
    assert (row["removed"], row["variant"], row["against"]) == ("50 %", "slimllm + lora", "slimllm")
    assert row[MEANS].startswith("+25.0 [") and row[MEANS].endswith(": better")
    assert row[RATIOS].startswith("x 0.61 [") and row[RATIOS].endswith(": better")


def test_verdicts_are_adjusted_over_the_whole_table():
    some, answers = variant("1", pruned("sparsegpt"))
    answers[some.measurements[0].identity].loc[:5, "acc"] = 0.0  # six documents lost: p = 2 / 2^6 of a single pair
    alone = significance.zeroed_apart(*bundled(DENSE, (some, answers))[1:])
    assert alone[MEANS][0].endswith(": worse")
    more = [variant(key, pruned(name)) for key, name in (("2", "wanda"), ("3", "ria"))]
    among = significance.zeroed_apart(*bundled(DENSE, (some, answers), *more)[1:])
    third = ": significant alone, not after Holm (6 comparisons)"
    assert among[MEANS][0].endswith(third) and ", adjusted p 0." in among[MEANS][0]


def test_tasks_have_chance_and_majority_baselines():
    words = Measurement(metric="acc", dataset="lambada_openai", value=0.3, n=2, protocol={"limit": 2, "fewshot": 0})
    answers = pd.DataFrame({"doc_id": [0, 1], "acc": [1.0, 0.0], "loglikelihoods": [[-1.0], [-2.0]]})
    dense = DENSE[0].model_copy(update={"measurements": (words, *DENSE[0].measurements)})
    _, known, kept = bundled((dense, DENSE[1] | {words.identity: answers}))
    table = significance.tasks(known, kept)
    assert list(table["task"]) == [TASKS[name].label for name in (*SEVEN, "lambada_openai")]
    assert list(table.iloc[-1]) == ["LAMBADA", "acc", "2", "", "", "30.0"]
    assert table.to_dict("records")[0] == {
        "task": "BoolQ",
        "metric": "acc",
        "documents": "40",
        "chance": "50.0",
        "majority": "60.0",
        "dense": "75.0",
    }


METHODS = ("wanda", "magnitude", "ria", "sparsegpt", "alps")


def compared(place, loss, right, kl):
    """Return a variant with a divergence; 30 answers of each task are right in the dense model."""
    method, ratio = METHODS[place % len(METHODS)], 0.1 + 0.1 * (place // len(METHODS))
    result, answers = variant(f"{place:x}", pruned(method, ratio=ratio), right=right, loss=loss)
    text = result.measurements[-1]
    more = text.model_copy(update={"metric": KL, "value": kl})
    return result.model_copy(update={"measurements": (*result.measurements, more)}), answers


def read(*made):
    kept = {result.variant.key: answers for result, answers in made}
    return [result for result, _ in made], lambda key, row: kept[key].get(row.identity)


@pytest.mark.full
def test_the_number_that_orders_the_flips_has_a_correlation_of_one():
    places = range(1, LEAST + 1)
    made = [compared(place, loss=3 + 0.01 * (place * 5 % 9), right=30 - place, kl=0.1 * place) for place in places]
    results, samples = read(DENSE, *made)
    found = predicted(results, samples, MODEL)
    assert [one.flips for one in found] == pytest.approx([place / 40 for place in places])
    assert [one.kl for one in found] == pytest.approx([0.1 * place for place in places])
    assert changed_answers(results, samples, found[3].chain) == "10 %"
    first, second = flips(results, samples).to_dict("records")
    assert (first["perplexity"], first["variants"]) == ("all", str(LEAST))
    divergence, perplexity, difference = list(first.values())[3:]
    assert divergence == "1.00 [1.00, 1.00]" and float(perplexity.split()[0]) < 1
    value, low, high = (float(part.strip("[],")) for part in difference.split())
    assert low <= value <= high and value == pytest.approx(1 - float(perplexity.split()[0]), abs=0.011)
    assert second["perplexity"] == "at most 1.5 times dense"
    assert compared_chains(results, MODEL).startswith("`alps@0.1`, `magnitude@0.1")
