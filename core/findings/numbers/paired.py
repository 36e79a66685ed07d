"""Paired differences of two variants on the same documents, with confidence intervals and tests.

Most of the variation between documents is common to both variants. Paired differences are therefore more precise than
two means with separate errors (Miller, 2024, arXiv:2411.00640). Documents count as independent; consecutive windows of
a text do not (`core.statistics.longrun`). One statistic gives both the interval and p, so the interval excludes zero
exactly if p is at most ALPHA. For accuracies it is that of `adjusted_mean`, for log-losses, divergences and agreements
that of the paired t test.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pandas import ArrowDtype, DataFrame, Series

from core import metrics
from core.base.errors import UserError, echo
from core.findings.numbers.intervals import combined, count_interval, interval, t_test
from core.metrics import MEANS
from core.results import Measurement
from core.specs import Frozen
from core.statistics import longrun
from core.statistics.correlations import VALUES, ErrorOf, correlation_of
from core.statistics.longrun import independent

ACCURACIES = ("acc", "acc_norm")
PAIRED = (*ACCURACIES, *MEANS, "perplexity")  # metrics of documents or windows


class Difference(Frozen):
    """The second variant minus the first, of a share in [-1, 1], or of a log-loss or divergence in nats.

    Shares are accuracies and agreements. Nats are per word or token.

    `low` and `high` bound the 95 % interval, unadjusted for other comparisons. `p` is two-sided; it is at most ALPHA
    exactly if the interval excludes zero. All these and `stderr` are None for a single document or window, and for
    losses or divergences that are not finite, whose `difference` is infinite or NaN.
    """

    n: int  # documents or windows; for a mean, those of all its tasks
    difference: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    # For accuracies: documents that only the second (gained) or only the first variant (lost) answers correctly, each
    # with its unadjusted 95 % interval, in documents.
    gained: int | None = None
    gained_low: float | None = None
    gained_high: float | None = None
    lost: int | None = None
    lost_low: float | None = None
    lost_high: float | None = None
    # For log-losses: the second variant's perplexity / the first's, exp(difference), and exp of the bounds.
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


class Baselines(NamedTuple):
    """Accuracies in [0, 1] of guessing at random and of always choosing the most frequent answer."""

    chance: float | None
    majority: float | None


class Counts(NamedTuple):
    """Numbers of documents of a task."""

    gained: int  # correct only in the second variant
    lost: int  # correct only in the first variant
    n: int  # all


def difference(metric: str, first: DataFrame, second: DataFrame, error: ErrorOf = independent) -> Difference:
    """Compute the paired difference of two variants on the same documents in the same order.

    For accuracies, the interval is centred on the `adjusted_mean`. Interval and p use
    Student's t with n - 1 degrees of freedom, since documents may be few. If all windows differ by the same amount,
    the interval has no width.

    Args:
        metric: acc or acc_norm with outcomes 0 or 1; perplexity with log-likelihoods in nats, whose difference is that
            of the mean log-losses; or one of `MEANS`, the variants' distances to one dense model.
        first: A row per document or window, with `doc_id`, the metric and, for a task, `target`.
        second: The same documents, answered by the second variant.
        error: Gives the standard error and degrees of freedom of numbers other than accuracies; for the windows of a
            text, `core.statistics.correlations.error_of`.

    Raises:
        UserError: The documents differ, or the metric has no outcomes to compare.
    """
    _check(metric, first, second)
    before, after = first[metric].to_numpy(float), second[metric].to_numpy(float)  # (n,)
    if metric in MEANS:
        return _of_means(before, after, error)
    if metric not in ACCURACIES:
        return _of_losses(-before, -after, error)
    if not all(((outcomes == 0) | (outcomes == 1)).all() for outcomes in (before, after)):
        raise UserError(f"The outcomes of {metric} are not all 0 or 1; an accuracy needs 0 or 1 for each document.")
    d = after - before  # (n,) of -1, 0, 1
    return _of_answers([Counts(int((d > 0).sum()), int((d < 0).sum()), len(d))])


def mean_difference(tasks: Sequence[Difference]) -> Difference:
    """Compute the difference of the unweighted mean of several accuracies from the differences of the tasks.

    The tasks are independent samples, so the variance of the mean over k tasks is the sum of their variances / k^2.
    Interval and p use Student's t with the degrees of freedom of Welch and Satterthwaite; for one task these are n - 1.

    Raises:
        UserError: There is no task, or one is not of an accuracy.
    """
    if not tasks:
        raise UserError("There is no task to average; give at least one.")
    counts = [
        Counts(task.gained, task.lost, task.n) for task in tasks if task.gained is not None and task.lost is not None
    ]
    if len(counts) < len(tasks):
        raise UserError("Differences of perplexity have no mean over tasks; give differences of accuracy only.")
    return _of_answers(counts)


def baselines(samples: DataFrame) -> Baselines:
    """Return the accuracies of guessing and of always choosing the most frequent gold answer on a task's documents.

    Chance is the mean of 1 / the number of choices. Majority is the share of the most frequent gold answer among the
    scored documents. Both are None for windows of a text, and if a document has one continuation, as in LAMBADA.
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


def one_answer(samples: DataFrame) -> float | None:
    """Return the share of the documents that get the most frequent answer; None without stored choices."""
    if "loglikelihoods" not in samples or samples.empty:
        return None
    answers = [int(np.argmax(choices)) for choices in samples["loglikelihoods"]]
    return float(np.bincount(answers).max() / len(answers))


def _check(metric: str, first: DataFrame, second: DataFrame) -> None:
    if metric not in PAIRED:
        known = f"{', '.join(PAIRED[:-1])} or {PAIRED[-1]}"
        raise UserError(f"{echo(metric)} has no outcomes per document; choose {known}.")
    if metric not in first or metric not in second:
        raise UserError(f"One variant has no outcomes of {metric}; both need them.")
    if len(first) != len(second):
        raise UserError(
            f"The variants were scored on {len(first)} and {len(second)} documents or windows; "
            "a comparison needs the same ones."
        )
    if first.empty:
        raise UserError("The variants have no document or window to compare; score at least one.")
    for column, differing in (("doc_id", "documents or windows"), ("target", "correct answers")):
        if (column in first) != (column in second) or (column in first and not _same(first[column], second[column])):
            raise UserError(
                f"The {differing} of the variants differ; a comparison needs the same ones in the same order."
            )


def _same(first: Series, second: Series) -> bool:
    if first.array.equals(second.array):  # the fast check, which nearly always holds
        return True
    one, other = first.reset_index(drop=True).astype(object), second.reset_index(drop=True).astype(object)
    return bool(((one == other) | (one.isna() & other.isna())).all())


def _of_answers(tasks: Sequence[Counts]) -> Difference:
    """Return the difference of an accuracy, or of the mean accuracy over several tasks."""
    gained, lost, n = (sum(column) for column in zip(*tasks, strict=True))
    mean = sum((task.gained - task.lost) / task.n for task in tasks) / len(tasks)
    adjusted, stderr, freedom = adjusted_mean(tasks)
    low, high = (None if end is None else min(1.0, max(-1.0, end)) for end in interval(adjusted, stderr, freedom))
    p = t_test(adjusted, stderr, freedom)
    found = Difference(n=n, difference=mean, stderr=stderr, low=low, high=high, p=p, gained=gained, lost=lost)
    names = ("gained_low", "gained_high", "lost_low", "lost_high")
    ends = (*count_interval(gained, n), *count_interval(lost, n))
    return found.model_copy(update=dict(zip(names, ends, strict=True)))


def _of_losses(before: np.ndarray, after: np.ndarray, error: ErrorOf) -> Difference:
    """Return the difference of log-losses (n,) in nats, with the ratio of the perplexities."""
    found = _of_means(before, after, error)
    with np.errstate(all="ignore"):
        ends = (found.difference, found.low, found.high)
        ratio, ratio_low, ratio_high = (None if x is None else float(np.exp(x)) for x in ends)
    return found.model_copy(update={"ratio": ratio, "ratio_low": ratio_low, "ratio_high": ratio_high})


def _of_means(before: np.ndarray, after: np.ndarray, error: ErrorOf) -> Difference:
    """Return the difference of the means of numbers of windows or words, (n,)."""
    with np.errstate(all="ignore"):  # those of a diverged model are infinite or NaN
        d = after - before  # (n,)
        mean, (stderr, freedom) = float(d.mean()), error(d)
        low, high = interval(mean, stderr, freedom)
    p = t_test(mean, stderr, freedom)
    return Difference(n=len(d), difference=mean, stderr=stderr, low=low, high=high, p=p)


def distance_interval(row: Measurement) -> tuple[float | None, float | None]:
    """Return the unadjusted 95 % interval of a distance to the dense model, in its unit; None each if unknown.

    That of a mean follows from its standard error over windows, which may correlate. The metric's range bounds it.
    """
    one = metrics.metric(row.metric)
    if not one.mean:
        return row.details.get("low"), row.details.get("high")
    if row.n < 2:
        return None, None
    free = longrun.freedom(row.n, correlation_of(row.dataset, row.protocol, VALUES[row.metric]))
    least, most = one.ends
    low, high = (None if end is None else min(most, max(least, end)) for end in interval(row.value, row.stderr, free))
    return low, high


def adjusted_mean(tasks: Sequence[Counts]) -> tuple[float, float | None, float]:
    """Estimate the mean of the differences of at least one task.

    A document counts +1 if only the second variant answers it correctly, -1 if only the first one does, and 0
    otherwise. Bonett and Price (2012, doi:10.3102/1076998611411915) add one document of each sign before they estimate
    mean and variance; without these, intervals from few differing documents are far too narrow. Each of k tasks gets
    1 / k of the two added documents, so that the mean has the same adjustment as a single task.

    Returns:
        The adjusted mean in [-1, 1], its standard error (None if a task has one document), and the degrees of
        freedom of Student's t by Welch and Satterthwaite.
    """
    added = 1 / len(tasks)
    means: list[float] = []
    errors: list[tuple[float | None, int]] = []
    for task in tasks:
        n = task.n + 2 * added
        mean = (task.gained - task.lost) / n
        variance = (task.gained + task.lost + 2 * added) / n - mean**2
        means.append(mean)
        errors.append((float(variance / n) ** 0.5 if task.n > 1 else None, task.n))
    return sum(means) / len(means), *combined(errors)
