"""Answers of two variants: documents with directions of change, log-likelihoods and margins, and equal tokens."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas import DataFrame

from core.base.errors import UserError
from core.data.cards import TASKS, TaskCard
from core.findings.numbers.differences import Samples
from core.findings.numbers.paired import Difference, difference, mean_difference
from core.results import Measurement, Result
from core.specs import ZERO_SHOT, Fewshot

TO_WRONG, TO_RIGHT = FLIPS = ("right to wrong", "wrong to right")
BOTH_RIGHT, BOTH_WRONG = "both right", "both wrong"
OTHER_WRONG = "both wrong, choice changed"  # only where both choices are known
DIRECTIONS = (*FLIPS, BOTH_RIGHT, BOTH_WRONG, OTHER_WRONG)
BY_LENGTH = "acc_norm"  # the metric that divides each log-likelihood by the length of its choice
UNKNOWN = -1  # a choice that the stored answers do not determine
COLUMNS = (
    *("document", "direction", "right", "baseline_choice", "variant_choice"),
    *("baseline_margin", "variant_margin", "margin_change", "baseline_loglikelihoods", "variant_loglikelihoods"),
)


def has_choices(samples: DataFrame) -> bool:
    """Return whether samples have the log-likelihoods of at least two choices per document, one of which is right."""
    if not {"target", "loglikelihoods"} <= set(samples) or samples.empty or samples["target"].isna().any():
        return False
    pairs = zip(samples["target"], samples["loglikelihoods"], strict=True)
    return all(
        likelihoods is not None and len(likelihoods) > 1 and 0 <= target < len(likelihoods)
        for target, likelihoods in pairs
    )


def compare_documents(metric: str, baseline: DataFrame, variant: DataFrame) -> DataFrame:
    """Compare the answers of two variants to the same documents in the same order.

    The stored accuracy decides the direction. Margins are of plain log-likelihoods, also for acc_norm. The lengths
    that acc_norm divides by are not stored, so a wrong choice among three or more stays unknown there.

    `metric` is acc or acc_norm. `baseline` and `variant` are samples for which `has_choices` is true.

    Returns:
        `COLUMNS`, one row per document. Documents count from 1, choices from 0; `UNKNOWN` is -1. Log-likelihoods (one
        per choice) and margins are in nats. A margin is the log-likelihood of the right choice minus the highest other.

    Raises:
        UserError: A document has different numbers of choices.
    """
    pair = baseline, variant
    lists = [[[float(one) for one in likelihoods] for likelihoods in one["loglikelihoods"]] for one in pair]
    if list(map(len, lists[0])) != list(map(len, lists[1])):
        raise UserError("The variants have different numbers of choices; a comparison needs the same choices.")
    right = baseline["target"].to_numpy(int)  # (n,)
    correct = [one[metric].to_numpy(float) == 1 for one in pair]
    choices = [_choices(metric, *answers, right) for answers in zip(lists, correct, strict=True)]
    margins = [_margins(_padded(likelihoods), right) for likelihoods in lists]
    with np.errstate(invalid="ignore"):  # those of a diverged model are infinite or NaN
        change = margins[1] - margins[0]
    documents = baseline["doc_id"].to_numpy(int) + 1
    values = documents, _directions(correct, choices), right, *choices, *margins, change, *lists
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def choice_by_length(likelihoods: Sequence[float], lengths: Sequence[int]) -> int:
    """Return the choice of acc_norm: the one with the highest log-likelihood per character."""
    return int(np.argmax(np.array(likelihoods) / np.array(lengths, float)))


def _padded(lists: Sequence[Sequence[float]]) -> np.ndarray:
    """Return log-likelihoods as an array (n, most choices); places without a choice are -inf."""
    padded = np.full((len(lists), max(map(len, lists))), -np.inf)
    for row, likelihoods in zip(padded, lists, strict=True):
        row[: len(likelihoods)] = likelihoods
    return padded


def _margins(likelihoods: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the margins (n,) of log-likelihoods (n, choices)."""
    at = np.arange(len(right)), right
    others = likelihoods.copy()
    others[at] = -np.inf
    with np.errstate(invalid="ignore"):
        margins: np.ndarray = likelihoods[at] - others.max(axis=1)
    return margins


def _choices(metric: str, lists: Sequence[Sequence[float]], correct: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the choices (n,) that agree with the stored accuracy."""
    counts = np.array([len(likelihoods) for likelihoods in lists])
    wrong = np.full(len(right), UNKNOWN)
    if metric != BY_LENGTH:
        likeliest = _padded(lists).argmax(axis=1)
        wrong = np.where(likeliest == right, UNKNOWN, likeliest)
    wrong = np.where(counts == 2, 1 - right, wrong)
    return np.where(correct, right, wrong)


def _directions(correct: Sequence[np.ndarray], choices: Sequence[np.ndarray]) -> np.ndarray:
    """Return the direction (n,) of each document."""
    before, after = correct
    changed = (choices[0] != choices[1]) & (choices[0] != UNKNOWN) & (choices[1] != UNKNOWN)
    cases = [before & ~after, ~before & after, before & after, ~changed]
    return np.select(cases, DIRECTIONS[:-1], OTHER_WRONG)


class Agreement(NamedTuple):
    """The tokens at the start of an answer that equal those of the dense model's answer."""

    equal: int  # before the first difference
    dense: int  # tokens of the dense model's answer
    differs: bool  # whether a token differs; False if both are equal as far as both go

    @property
    def share(self) -> float:
        """The equal tokens as a share of the dense model's answer; 1 for an empty answer."""
        return self.equal / self.dense if self.dense else 1.0

    @property
    def place(self) -> int | None:
        """The index of the first token that differs."""
        return self.equal if self.differs else None


def agreement(dense: Sequence[int], other: Sequence[int]) -> Agreement:
    """Compare the tokens of an answer with those of the dense model's answer, up to the first difference."""
    equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(dense, other, strict=False)))
    return Agreement(equal, len(dense), equal < min(len(dense), len(other)))


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
