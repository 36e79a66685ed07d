"""What demonstrations change, against the same figures by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from core.findings.numbers.fewshot import MEAN, WORDS, describe_prompt, fewshot_table
from core.findings.numbers.paired import difference
from core.results import Measurement
from core.specs import Fewshot
from tests.core.factories import make

RNG = np.random.default_rng(0)
DENSE, OTHER = "d" * 64, "e" * 64
TASKS = {"piqa": "acc", "openbookqa": "acc_norm"}


def row(task, how, value, n=60, limit=60):
    shots = Fewshot.parse(how)
    protocol = {"limit": limit, "fewshot": how if shots.non_defaults else shots.k, "dtype": "float32"}
    return Measurement(metric=TASKS[task], dataset=task, value=value, stderr=0.1, n=n, protocol=protocol)


def both(hows, tasks=tuple(TASKS), n=60):
    """Return dense, another variant, and their samples, with random answers."""
    answers = {
        (key, task, how): RNG.integers(0, 2, n).astype(float)
        for key in (DENSE, OTHER)
        for task in tasks
        for how in hows
    }

    def result(key):
        made = [row(task, how, one.mean(), n) for (of, task, how), one in answers.items() if of == key]
        return make(*made, key=key)

    def samples(key, measurement):
        how = str(measurement.protocol["fewshot"])
        found = answers[key, measurement.dataset, how]
        return pd.DataFrame({"doc_id": range(n), "target": 0, measurement.metric: found})

    return result(DENSE), result(OTHER), samples, answers


def test_each_prompt_is_compared_with_dense_and_with_zero_shot():
    dense, other, samples, answers = both(["0", "4", "4,selector=nearest"])
    found = fewshot_table([other], dense, samples).set_index(["key", "dataset", "k", "prompts"])
    assert len(found) == 2 * 3 * 3  # variants, prompts, two tasks and their mean
    for task, metric in TASKS.items():
        for how, place in (("0", (0, "")), ("4", (4, "")), ("4,selector=nearest", (4, "selector=nearest"))):
            entry = found.loc[(OTHER, task, *place)]
            expected = difference(metric, *(samples(key, row(task, how, 0)) for key in (DENSE, OTHER)))
            assert entry[["difference", "low", "high", "p"]].tolist() == [
                *(expected.difference, expected.low, expected.high, expected.p)
            ]
            assert found.loc[(DENSE, task, *place)][["difference", "growth_difference"]].isna().all()
            lost = answers[OTHER, task, how] - answers[DENSE, task, how]
            before = answers[OTHER, task, "0"] - answers[DENSE, task, "0"]
            if how == "0":
                assert np.isnan(entry["growth_difference"])
                continue
            test = stats.ttest_rel(lost, before)
            ends = test.confidence_interval()
            assert entry["growth_difference"] == pytest.approx((lost - before).mean())
            assert entry[["growth_low", "growth_high", "growth_p"]].tolist() == pytest.approx(
                [ends.low, ends.high, test.pvalue]
            )


def test_mean_covers_the_tasks_that_all_prompts_share():
    dense, other, samples, answers = both(["0", "4"])
    kept = tuple(one for one in other.measurements if one.identity != row("piqa", "4", 0).identity)
    fewer = other.model_copy(update={"measurements": kept})
    found = fewshot_table([other], dense, samples)
    mine = found[(found["dataset"] == MEAN) & (found["key"] == OTHER) & (found["k"] == 4)].iloc[0]
    grown = [
        (answers[OTHER, task, "4"] - answers[DENSE, task, "4"])
        - (answers[OTHER, task, "0"] - answers[DENSE, task, "0"])
        for task in TASKS
    ]
    assert mine["tasks"] == 2 and mine["value"] == pytest.approx(np.mean([answers[OTHER, task, "4"] for task in TASKS]))
    assert mine["growth_difference"] == pytest.approx(np.mean(grown))
    half = np.sqrt(sum(one.var(ddof=1) / 60 for one in grown)) / 2
    assert (mine["growth_high"] - mine["growth_difference"]) / half == pytest.approx(1.98, abs=0.02)
    lacking = fewshot_table([fewer], dense, samples)
    assert MEAN not in set(lacking["dataset"]) and set(lacking["dataset"]) == set(TASKS)


def test_variants_without_few_shot_examples_are_left_out():
    dense, other, samples, _ = both(["0", "4"])
    kept = tuple(one for one in other.measurements if one.protocol["fewshot"] == 0)[:1]
    variant = other.variant.model_copy(update={"key": "f" * 64})
    zero = other.model_copy(update={"variant": variant, "measurements": kept})
    assert fewshot_table([other, zero], dense, samples).equals(fewshot_table([other], dense, samples))
    dense, other, samples, _ = both(["0"])
    assert fewshot_table([other], dense, samples).empty
    dense, other, _, _ = both(["0", "4"])
    found = fewshot_table([other], dense, lambda key, measurement: None)
    assert len(found) == 12 and found["value"].notna().all() and found["difference"].isna().all()


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ("", "drawn at random"),
        ("order=similar-last", "drawn at random, most similar last"),
        ("selector=likely", "of the lowest perplexity"),
        ("template=reasoning", "with reasoning before the answer"),
    ],
)
def test_prompts_are_described(prompts, expected):
    assert describe_prompt(prompts) == expected


def test_every_choice_has_a_description():
    assert {name: tuple(words) for name, words in WORDS.items()} == Fewshot.choices()
