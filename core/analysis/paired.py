"""Whether two variants differ on the same documents: paired differences, their intervals and tests.

Both variants answer the same documents, and most of what varies between documents varies alike for both, so the
differences document by document say more than two means with an error each (Miller, 2024, arXiv:2411.00640). Documents
count as independent of each other, the windows of a text do not (`core.longrun`). One statistic gives the interval and
p: of accuracies the adjusted one of `core.analysis.proportions`, of log-losses that of the paired t test.
`core.analysis.verdicts` judges differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pandas import ArrowDtype

from core.analysis.intervals import interval, t_test
from core.analysis.proportions import Counts, adjusted_mean
from core.correlations import ErrorOf
from core.errors import UserError, echo
from core.longrun import independent
from core.specs import Frozen

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ACCURACIES = ("acc", "acc_norm")


class Difference(Frozen):
    """The second variant minus the first: of an accuracy in [-1, 1], of a log-loss in nats (a word or a token).

    `low` and `high` bound the 95 % interval, not adjusted for other comparisons. They, `stderr` and `p` are None where
    one document or window tells nothing of the spread, or where a loss is not finite, in which case `difference` is
    infinite or NaN. `p` is two-sided and at most ALPHA exactly where the interval excludes zero.
    """

    n: int  # documents or windows; of a mean, all of its tasks'
    difference: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    # Of accuracies: documents that only the second variant, or only the first, has right.
    gained: int | None = None
    lost: int | None = None
    # Of log-losses: the second variant's perplexity / the first's, exp(difference), and exp of the bounds.
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


class Baselines(NamedTuple):
    """Accuracies in [0, 1] that need no model."""

    chance: float | None
    majority: float | None


def difference(metric: str, first: DataFrame, second: DataFrame, error: ErrorOf = independent) -> Difference:
    """Return how the second variant's outcomes differ from the first's, on the same documents in the same order.

    Both frames have a row a document or window, with `doc_id`, the metric's column and, of a task, `target`. acc and
    acc_norm are 0 or 1; perplexity is a log-likelihood in nats, and its difference is that of the mean log-losses.

    Of accuracies the standard error is the adjusted one (`core.analysis.proportions`), around whose mean the interval
    lies; interval and p take Student's t with n - 1 degrees of freedom, as there may be few documents. `error` gives
    error and degrees of freedom of log-losses: `core.correlations.error_of` those of the windows of a text. Where every
    window differs by the same, the interval is that one number: the sample has no spread to make one from.

    Raises UserError where the documents are not the same, or the metric has no outcomes to compare.
    """
    _check(metric, first, second)
    before, after = first[metric].to_numpy(float), second[metric].to_numpy(float)  # (n,)
    if metric not in ACCURACIES:
        return _of_losses(-before, -after, error)
    if not all(((outcomes == 0) | (outcomes == 1)).all() for outcomes in (before, after)):
        raise UserError(f"The outcomes of {metric} are not all 0 or 1, so that no document is right or wrong.")
    d = after - before  # (n,) of -1, 0, 1
    return _of_answers([Counts(int((d > 0).sum()), int((d < 0).sum()), len(d))])


def mean_difference(tasks: Sequence[Difference]) -> Difference:
    """Return the difference of the unweighted mean of several tasks' accuracies, from that of each task.

    The tasks are independent samples, so the variance is the sum of theirs / k^2; interval and p take Student's t with
    the degrees of freedom of Welch and Satterthwaite, which for one task are its own n - 1.

    Raises UserError where there is no task, or one is not of an accuracy.
    """
    if not tasks:
        raise UserError("There is no task to take a mean over; name at least one.")
    counts = [
        Counts(task.gained, task.lost, task.n) for task in tasks if task.gained is not None and task.lost is not None
    ]
    if len(counts) < len(tasks):
        raise UserError("Only differences of accuracies have a mean over tasks, not those of perplexities.")
    return _of_answers(counts)


def baselines(samples: DataFrame) -> Baselines:
    """Return what guessing, and always naming the most frequent gold choice, would score on a task's documents.

    Chance is the mean of 1 / the number of choices. The majority knows the gold choices of the documents that were
    scored. Both are None where a document has one continuation only, as in LAMBADA, and of a text in windows.
    """
    if "loglikelihoods" not in samples or samples.empty:
        return Baselines(None, None)
    listed = samples["loglikelihoods"]
    lengths = listed.list.len() if isinstance(listed.dtype, ArrowDtype) else listed.map(len)
    choices = lengths.to_numpy(int)  # (n,)
    if choices.min() < 2:
        return Baselines(None, None)
    targets = samples["target"].to_numpy(float)
    _, counts = np.unique(targets[~np.isnan(targets)], return_counts=True)
    return Baselines(float((1 / choices).mean()), float(counts.max() / counts.sum()))


def _check(metric: str, first: DataFrame, second: DataFrame) -> None:
    if metric not in (*ACCURACIES, "perplexity"):
        raise UserError(f"{echo(metric)} has no outcomes a document; {', '.join(ACCURACIES)} and perplexity have.")
    if metric not in first or metric not in second:
        raise UserError(f"The outcomes of both variants must have {metric}, and those of one have not.")
    if len(first) != len(second):
        raise UserError(
            f"The variants were scored on {len(first)} and {len(second)} documents or windows; "
            "only the same ones can be compared."
        )
    if first.empty:
        raise UserError("There is no document or window to compare the variants on; at least one is needed.")
    for column, what in (("doc_id", "documents or windows"), ("target", "right answers")):
        if (column in first) != (column in second) or (column in first and not _same(first[column], second[column])):
            raise UserError(
                f"The variants were scored on the same number of documents, but their {what} differ; "
                "only the same ones in the same order can be compared."
            )


def _same(first: Series, second: Series) -> bool:
    if first.array.equals(second.array):  # as it nearly always is, and much faster
        return True
    one, other = first.reset_index(drop=True).astype(object), second.reset_index(drop=True).astype(object)
    return bool(((one == other) | (one.isna() & other.isna())).all())


def _of_answers(tasks: Sequence[Counts]) -> Difference:
    """Of accuracies, or of their mean over tasks."""
    gained, lost, n = (sum(column) for column in zip(*tasks, strict=True))
    mean = sum((task.gained - task.lost) / task.n for task in tasks) / len(tasks)
    adjusted, stderr, freedom = adjusted_mean(tasks)
    low, high = (None if end is None else min(1.0, max(-1.0, end)) for end in interval(adjusted, stderr, freedom))
    p = t_test(adjusted, stderr, freedom)
    return Difference(n=n, difference=mean, stderr=stderr, low=low, high=high, p=p, gained=gained, lost=lost)


def _of_losses(before: np.ndarray, after: np.ndarray, error: ErrorOf) -> Difference:
    """Of log-losses (n,) in nats."""
    with np.errstate(all="ignore"):  # a diverged model's losses are infinite or NaN, and so is what is made of them
        d = after - before  # (n,)
        mean, (stderr, freedom) = float(d.mean()), error(d)
        low, high = interval(mean, stderr, freedom)
        ratio, ratio_low, ratio_high = (None if x is None else float(np.exp(x)) for x in (mean, low, high))
    return Difference(
        n=len(d),
        difference=mean,
        stderr=stderr,
        low=low,
        high=high,
        p=t_test(mean, stderr, freedom),
        ratio=ratio,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
    )
