"""Two variants compared document by document, in each task that both answered under the same protocol."""

from typing import NamedTuple

import pandas as pd

from core.base.errors import UserError
from core.data.cards import TASKS, TaskCard
from core.findings.inside.documents import compare_documents, has_choices
from core.findings.numbers.differences import Samples
from core.findings.numbers.paired import Difference, difference, mean_difference
from core.results import Measurement, Result
from core.specs import ZERO_SHOT, Fewshot


class TaskFlips(NamedTuple):
    """The documents of one task under one protocol, and the paired difference of its accuracies."""

    measurement: Measurement  # of the variant
    documents: pd.DataFrame  # of `compare_documents`
    difference: Difference  # variant minus baseline


class Flips(NamedTuple):
    """The tasks in which two variants are compared, in the order of the catalogue."""

    tasks: tuple[TaskFlips, ...]
    without_choices: tuple[str, ...]  # labels of common tasks with one continuation, such as LAMBADA
    unpaired: tuple[str, ...]  # reasons why other common tasks cannot be compared

    @property
    def overall(self) -> Difference:
        """The difference of the unweighted mean accuracy over the tasks."""
        return mean_difference([task.difference for task in self.tasks])


def compare_answers(baseline: Result, variant: Result, samples: Samples) -> Flips:
    """Compare two variants in each task of the catalogue, under the common protocol with most documents.

    Of protocols with equally many documents, zero-shot and then float32 come first.
    """
    tasks: dict[str, TaskFlips] = {}
    without_choices, unpaired = dict[str, None](), dict[str, str]()
    for measurement in task_measurements(variant):
        twin, dataset = baseline.measurement(measurement), measurement.dataset
        if dataset in tasks or twin is None:
            continue
        first, second = samples(baseline.variant.key, twin), samples(variant.variant.key, measurement)
        if first is None or second is None:
            continue
        if not (has_choices(first) and has_choices(second)):
            without_choices[task_name(dataset)] = None
            continue
        try:
            paired = difference(measurement.metric, first, second)
            documents = compare_documents(measurement.metric, first, second)
        except UserError as error:
            unpaired[dataset] = f"{task_name(dataset)} cannot be compared: {error}"
            continue
        tasks[dataset] = TaskFlips(measurement, documents, paired)
    reasons = tuple(reason for dataset, reason in unpaired.items() if dataset not in tasks)
    order = list(TASKS)
    ordered = sorted(tasks.values(), key=lambda task: order.index(_card(task.measurement.dataset).id))
    return Flips(tuple(ordered), tuple(without_choices), reasons)


def exact_p(found: Difference) -> float | None:
    """Return the p value of McNemar's exact test: of flips in both directions with equal probability.

    Unlike the paired test of `found`, it needs no normal distribution, but it has no interval. None without flips.
    """
    from scipy.stats import binomtest

    gained, lost = int(found.gained or 0), int(found.lost or 0)
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else None


def task_measurements(result: Result) -> list[Measurement]:
    """Return the accuracies of the catalogue's tasks in the papers' metrics, those of preferred protocols first."""
    rows = (row for row in result.measurements if row.dataset.partition("@")[0] in TASKS)
    return sorted((row for row in rows if row.metric == _card(row.dataset).metric), key=_rank)


def answered(result: Result, samples: Samples) -> list[Measurement]:
    """Return the `task_measurements` whose answers are stored with the log-likelihoods of choices."""
    read = ((row, samples(result.variant.key, row)) for row in task_measurements(result))
    return [row for row, stored in read if stored is not None and has_choices(stored)]


def task_name(dataset: str) -> str:
    """Return the label of a task; documents other than the catalogue's have their digest in it: `PIQA (1a2b3c4d)`."""
    digest = dataset.partition("@")[2]
    return f"{_card(dataset).label} ({digest})" if digest else _card(dataset).label


def _card(dataset: str) -> TaskCard:
    return TASKS[dataset.partition("@")[0]]


def _rank(row: Measurement) -> tuple[int, bool, bool]:
    few_shot = Fewshot.from_protocol(row.protocol.get("fewshot")) != ZERO_SHOT
    return -row.n, few_shot, row.protocol.get("dtype") != "float32"
