"""Documents of two variants: directions, choices and margins on made-up answers, and the tasks that are compared."""

import math

import pandas as pd
import pytest

from core.base.errors import UserError
from core.findings.inside.documents import (
    BOTH_RIGHT,
    BOTH_WRONG,
    COLUMNS,
    OTHER_WRONG,
    TO_RIGHT,
    TO_WRONG,
    UNKNOWN,
    answered,
    choice_by_length,
    compare_answers,
    compare_documents,
    exact_p,
    has_choices,
    task_name,
)
from core.findings.numbers.paired import Difference, difference, mean_difference
from core.results import Measurement
from tests.synthetic import result

RIGHT = [0, 1, 2, 0, 1]
BEFORE = [[-1, -2, -3], [-1, -2, -3], [-4, -5, -3], [-3, -2, -9], [-3, -9, -2]]
AFTER = [[-4, -2, -3], [-3, -1, -2], [-3, -5, -2], [-3, -1, -9], [-2, -9, -3]]
DIRECTIONS = [TO_WRONG, TO_RIGHT, BOTH_RIGHT, BOTH_WRONG, OTHER_WRONG]


def samples(likelihoods, right=RIGHT, metric="acc", correct=None):
    likeliest = [max(range(len(one)), key=one.__getitem__) for one in likelihoods]
    known = [float(one == target) for one, target in zip(likeliest, right, strict=True)]
    return pd.DataFrame(
        {
            "doc_id": range(len(right)),
            "target": pd.array(right, "Int16"),
            "loglikelihoods": [[float(value) for value in one] for one in likelihoods],
            metric: known if correct is None else correct,
        }
    )


def test_each_direction_with_its_choices_and_margins():
    rows = compare_documents("acc", samples(BEFORE), samples(AFTER))
    assert tuple(rows) == COLUMNS and rows["document"].tolist() == [1, 2, 3, 4, 5]
    assert rows["direction"].tolist() == DIRECTIONS
    assert rows["baseline_choice"].tolist() == [0, 0, 2, 1, 2]
    assert rows["variant_choice"].tolist() == [1, 1, 2, 1, 0]
    assert rows["baseline_margin"].tolist() == [1, -1, 1, -1, -7]
    assert rows["variant_margin"].tolist() == [-2, 1, 1, -2, -7]
    assert rows["margin_change"].tolist() == [-3, 2, 0, -1, 0]
    assert rows["variant_loglikelihoods"].tolist() == AFTER


def test_choices_may_differ_in_number_between_documents_but_not_variants():
    one = samples([[-1, -2], [-3, -2, -9, -1]], [0, 3])
    rows = compare_documents("acc", one, one)
    assert rows["baseline_margin"].tolist() == [1, 1] and rows["baseline_choice"].tolist() == [0, 3]
    with pytest.raises(UserError, match="different numbers of choices"):
        compare_documents("acc", samples(BEFORE), samples([one[:2] for one in AFTER], [0, 1, 1, 0, 1]))


def test_acc_norm_decides_the_direction_and_leaves_wrong_choices_unknown():
    pair = [samples(BEFORE, metric="acc_norm", correct=correct) for correct in ([1, 0, 1, 0, 0], [0, 0, 1, 1, 0])]
    rows = compare_documents("acc_norm", *map(lambda one: one.astype({"acc_norm": float}), pair))
    assert rows["direction"].tolist() == [TO_WRONG, BOTH_WRONG, BOTH_RIGHT, TO_RIGHT, BOTH_WRONG]
    assert rows["baseline_choice"].tolist() == [0, UNKNOWN, 2, UNKNOWN, UNKNOWN]
    assert rows["variant_choice"].tolist() == [UNKNOWN, UNKNOWN, 2, 0, UNKNOWN]
    assert rows["variant_margin"].tolist() == [1, -1, 1, -1, -7]
    assert choice_by_length([-10, -12], [10, 10]) == 0
    assert choice_by_length([-10, -12], [10, 20]) == 1


def test_unknown_choices():
    one = samples([[-1, -2], [-1, -2]], [0, 1], "acc_norm", [0.0, 0.0])
    rows = compare_documents("acc_norm", one, one)
    assert rows["baseline_choice"].tolist() == [1, 0] and set(rows["direction"]) == {BOTH_WRONG}
    rows = compare_documents("acc", samples(BEFORE, correct=[0.0] * 5), samples(AFTER))
    assert rows["baseline_choice"].tolist() == [UNKNOWN, 0, UNKNOWN, 1, 2]


def test_margins_of_a_diverged_model_are_not_finite_and_its_accuracy_still_counts():
    broken = samples([[math.nan] * 3] * 3 + [[-math.inf] * 3] * 2, correct=[0.0] * 5)
    rows = compare_documents("acc", samples(BEFORE), broken)
    assert rows["variant_margin"].isna().all() and rows["margin_change"].isna().all()
    assert rows["direction"].tolist() == [TO_WRONG, BOTH_WRONG, TO_WRONG, BOTH_WRONG, OTHER_WRONG]


@pytest.mark.parametrize("column", ["target", "loglikelihoods"])
def test_samples_without_choices_are_recognised(column):
    assert has_choices(samples(BEFORE))
    assert not has_choices(samples(BEFORE).drop(columns=column))
    assert not has_choices(samples(BEFORE[:0], RIGHT[:0]))
    assert not has_choices(samples([[-1.0]] * 5).assign(target=0))
    assert not has_choices(samples(BEFORE).assign(target=pd.array([0, 1, 2, 0, None], "Int16")))
    assert not has_choices(samples(BEFORE).assign(target=[0, 1, 2, 0, 3]))


def measured(task, n, metric="acc", **protocol):
    protocol = {"limit": n, "fewshot": 0, "version": 1, "source": "a test", "dtype": "float32"} | protocol
    return Measurement(metric=metric, dataset=task, value=0.5, n=n, protocol=protocol)


def with_numbers(method, numbers, ratio=None):
    one = result(method, 20.0, ratio)
    return one.model_copy(update={"measurements": tuple(numbers)})


@pytest.fixture
def dense():
    numbers = [
        *(measured("piqa", 5, fewshot=4), measured("piqa", 2), measured("piqa", 5), measured("piqa", 5, "acc_norm")),
        *(measured("boolq", 5), measured("lambada_openai", 5), measured("winogrande", 5), measured("rte", 5)),
    ]
    return with_numbers("dense", numbers)


@pytest.fixture
def wanda(dense):
    return with_numbers("wanda", [row for row in dense.measurements if row.dataset != "rte"], 0.5)


def read(key, measurement):
    """Answers of the two variants above: WinoGrande's right choices differ, and those of BoolQ are not stored."""
    if measurement.dataset == "boolq":
        return None
    dense = key == result("dense", 20.0).variant.key
    one = samples(BEFORE if dense else AFTER).head(measurement.n)
    if measurement.dataset == "lambada_openai":
        return one.drop(columns="target")
    return one.assign(target=(one["target"] + 1) % 3) if measurement.dataset == "winogrande" and not dense else one


def test_the_zero_shot_protocol_of_both_variants_with_most_documents_is_compared(dense, wanda):
    found = compare_answers(dense, wanda, read)
    (task,) = found.tasks
    assert task.measurement == measured("piqa", 5)
    assert task.difference == difference("acc", samples(BEFORE), samples(AFTER))
    assert (task.difference.lost, task.difference.gained) == (1, 1)
    assert [(task.documents["direction"] == direction).sum() for direction in (TO_WRONG, TO_RIGHT)] == [1, 1]
    assert found.overall == mean_difference([task.difference])
    assert found.without_choices == ("LAMBADA",)
    (reason,) = found.unpaired
    assert reason.startswith("WinoGrande cannot be compared: The correct answers of the variants differ")
    fewer = wanda.model_copy(update={"measurements": (measured("piqa", 2), measured("piqa", 5, dtype="float16"))})
    (task,) = compare_answers(dense, fewer, read).tasks
    assert task.measurement == measured("piqa", 2) and len(task.documents) == 2
    assert compare_answers(dense, with_numbers("wanda", [measured("rte", 4)], 0.5), read).tasks == ()


def test_tasks_have_the_order_of_the_catalogue_and_other_documents_a_digest(dense):
    numbers = [measured("piqa@0123abcd", 5), measured("rte", 5), measured("piqa", 5)]
    one, other = with_numbers("dense", numbers), with_numbers("wanda", numbers, 0.5)
    names = [task_name(task.measurement.dataset) for task in compare_answers(one, other, read).tasks]
    assert names == ["PIQA (0123abcd)", "PIQA", "RTE"]


def test_answered_tasks_have_stored_answers_with_choices(dense):
    assert {row.dataset for row in answered(dense, read)} == {"piqa", "winogrande", "rte"}


@pytest.mark.parametrize(("gained", "lost", "p"), [(0, 5, 0.0625), (1, 9, 22 / 1024), (3, 3, 1.0), (0, 0, None)])
def test_the_exact_test_is_that_of_mcnemar(gained, lost, p):
    found = Difference(n=20, difference=(gained - lost) / 20, gained=gained, lost=lost)
    assert exact_p(found) == (p if p is None else pytest.approx(p))
