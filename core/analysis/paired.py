"""Whether two variants differ on the same documents: paired differences, their intervals and tests.

Both variants answer the same documents, and most of what varies between documents varies alike for both, so the
differences document by document say more than two means with an error each (Miller, 2024, arXiv:2411.00640). Documents
count as independent of each other, the windows of a text do not (`core.longrun`). Accuracies are tested by McNemar's
test (McNemar, 1947; for comparing learners: Dietterich, 1998), log-losses by the paired t test, several comparisons at
once by Holm's procedure (Holm, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from core.analysis.intervals import ALPHA, combined, interval, t_test
from core.correlations import ErrorOf
from core.errors import UserError, echo
from core.longrun import independent
from core.specs import Frozen

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ACCURACIES = ("acc", "acc_norm")
GRID = 2**14  # steps from zero to the furthest sum of a mean over tasks, whose distribution is computed in them

NO_DIFFERENCE: Final = "no difference can be told"
Verdict = Literal["better", "worse", "no difference can be told"]


class Difference(Frozen):
    """The second variant minus the first: of an accuracy in [-1, 1], of a log-loss in nats (a word or a token).

    `low` and `high` bound the 95 % interval; they and `stderr` are None where one document or window tells nothing of
    the spread, or where a loss is not finite, in which case `difference` is infinite or NaN. `p` is two-sided; None
    where nothing can be tested. An interval says how large a difference is and `p` whether there is one: close to
    ALPHA they may disagree, as each is made from a distribution of its own.
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

    The standard error of documents is sd(d) / sqrt(n) of the differences d, and the interval takes Student's t with
    n - 1 degrees of freedom, as there may be few. `error` gives both of log-losses: `core.correlations.error_of` those
    of the windows of a text. Where every document differs by the same, the interval is that one number: the sample has
    no spread to make one from. `p` is of the exact McNemar test, a fair coin for each document that only one variant
    has right, or of the paired t test.

    Raises UserError where the documents are not the same, or the metric has no outcomes to compare.
    """
    _check(metric, first, second)
    before, after = first[metric].to_numpy(float), second[metric].to_numpy(float)  # (n,)
    if metric not in ACCURACIES:
        return _of_losses(-before, -after, error)
    if not (np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all()):
        raise UserError(f"The outcomes of {metric} are not all 0 or 1, so that no document is right or wrong.")
    d = after - before  # (n,) of -1, 0, 1
    gained, lost, n = int((d > 0).sum()), int((d < 0).sum()), len(d)
    mean, stderr = (gained - lost) / n, independent(d).value
    low, high = interval(mean, stderr, n - 1)
    p = _mcnemar(gained, lost)
    return Difference(n=n, difference=mean, stderr=stderr, low=low, high=high, p=p, gained=gained, lost=lost)


def mean_difference(tasks: Sequence[Difference]) -> Difference:
    """Return the difference of the unweighted mean of several tasks' accuracies, from that of each task.

    The tasks are independent samples, so the standard error is sqrt(sum of squares) / k; the interval takes Student's
    t with the degrees of freedom of Welch and Satterthwaite, which for one task are its own n - 1.

    Where all tasks have as many documents, the mean is (gained - lost) / (k n) of all documents together, and `p` is of
    the exact McNemar test on these. Where they have not, a document of task t weighs 1 / (k n_t), and pooled counts
    would test another figure than the one shown. Then `p` is how often the mean would be as far from zero if each of
    the m_t documents of task t that one variant only has right were a fair coin, McNemar's null hypothesis; the mean's
    variance is then sum(m_t / n_t^2) / k^2. Its whole distribution is computed, as a normal one with that variance
    finds too much where few documents tell: of 4 in one task that all go one way p is 0.125, not 0.046. It is exact but
    for a grid, which only ever adds to p: 2 % to a p of 0.0016 over the papers' seven tasks. Below 1e-14 `p` may be 0.

    Raises UserError where there is no task, or one is not of an accuracy.
    """
    if not tasks:
        raise UserError("There is no task to take a mean over; name at least one.")
    counts = [(task.gained, task.lost, task.n) for task in tasks if task.gained is not None and task.lost is not None]
    if len(counts) < len(tasks):
        raise UserError("Only differences of accuracies have a mean over tasks, not those of perplexities.")
    gained, lost, n = (sum(column) for column in zip(*counts, strict=True))
    mean = sum(task.difference for task in tasks) / len(tasks)
    stderr, freedom = combined((task.stderr, task.n) for task in tasks)
    low, high = interval(mean, stderr, freedom)
    p = _mcnemar(gained, lost) if len({task.n for task in tasks}) == 1 else _weighted(counts)
    return Difference(n=n, difference=mean, stderr=stderr, low=low, high=high, p=p, gained=gained, lost=lost)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values adjusted for being shown together (Holm, 1979); None stays None and counts for nothing.

    Calling different what has an adjusted p of at most ALPHA is wrong anywhere among them at a rate of at most ALPHA.
    """
    known = sorted(((p, place) for place, p in enumerate(p_values) if p is not None))
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = adjusted[place] = max(highest, min(1.0, (len(known) - rank) * p))
    return adjusted


def verdict(found: Difference, adjusted: float | None) -> Verdict:
    """Return what can be said of the second variant at an adjusted p; of log-losses, the lower is the better one.

    That one's losses are infinite needs no test.
    """
    told = math.isinf(found.difference) or (adjusted is not None and adjusted <= ALPHA)
    if not told or not found.difference:
        return NO_DIFFERENCE
    lower_is_better = found.ratio is not None
    return "better" if (found.difference < 0) == lower_is_better else "worse"


def baselines(samples: DataFrame) -> Baselines:
    """Return what guessing, and always naming the most frequent gold choice, would score on a task's documents.

    Chance is the mean of 1 / the number of choices. The majority knows the gold choices of the documents that were
    scored. Both are None where a document has one continuation only, as in LAMBADA, and of a text in windows.
    """
    if "loglikelihoods" not in samples or samples.empty:
        return Baselines(None, None)
    choices = samples["loglikelihoods"].map(len)
    if choices.min() < 2:
        return Baselines(None, None)
    return Baselines(float((1 / choices).mean()), float(samples["target"].value_counts(normalize=True).max()))


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


def _mcnemar(gained: int, lost: int) -> float:
    """The exact test: binomial, of the documents that one variant only has right."""
    from scipy.special import bdtr  # `scipy.stats` takes six times as long to import

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def _weighted(counts: Sequence[tuple[int, int, int]]) -> float:
    """p of a mean over tasks of unequal size, from (gained, lost, n) of each.

    Task t adds (2 X_t - m_t) / n_t to the sum, X_t binomial; the distribution of a sum is the product of spectra.
    """
    from scipy.stats import binom

    told = [(gained - lost, gained + lost, n) for gained, lost, n in counts if gained + lost]
    if not told:
        return 1.0
    step = sum(m / n for _, m, n in told) / GRID
    spectrum = np.ones(2 * GRID + 1, complex)
    for _, m, n in told:
        sums = np.arange(-m, m + 1, 2)  # (m + 1,)
        places = np.rint(sums / n / step).astype(int) % (4 * GRID)  # (m + 1,), those below 0 from the end
        weights = binom.pmf(np.arange(m + 1), m, 0.5)  # (m + 1,)
        spectrum *= np.fft.rfft(np.bincount(places, weights, 4 * GRID))  # (2 GRID + 1,)
    density = np.fft.irfft(spectrum)  # (4 GRID,), from 0 on, then from -2 GRID on
    distance = np.minimum(np.arange(4 * GRID), np.arange(4 * GRID, 0, -1))  # (4 GRID,) of each place from 0
    seen = abs(sum(d / n for d, _, n in told)) / step
    p = density[distance >= seen - len(told) / 2].sum()  # each task's place is off by half a step at most
    return float(np.clip(p, 0, 1))
