"""The best variants of a model within a budget: the question, the rows that it looks at, and the answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from core.findings.axes import PACKED, Axis
from core.findings.best import ranking
from core.findings.best.budget import ACCURACY, PERPLEXITY, Budget, answers, ranked, winner
from core.findings.best.candidates import accepted, candidates, without_perplexity
from core.findings.best.qualities import Quality
from core.findings.estimates import combinations, words
from core.findings.estimates.rule import RuleError, rule_error
from core.findings.files import WithFiles
from core.findings.finding import Number, Reader
from core.findings.numbers.differences import NUMBER, number_of
from core.findings.numbers.paired import ACCURACIES, distance_interval
from core.findings.numbers.reporting import UNADJUSTED
from core.findings.numbers.seven import ABOVE_CHANCE
from core.findings.rows import choices, points
from core.findings.sharing import shared
from core.metrics import MEANS

COMPARED = 20  # variants within the budget that are tested against the best
PAIRED = 100  # variants within the budget with intervals, besides the front; each reads the stored answers
Filters = Mapping[str, Sequence[str]]  # accepted values by column of `candidates`; an empty list accepts all

_candidates, _without_perplexity = shared(candidates), shared(without_perplexity)
_ranked, _with_intervals, _rule_error = shared(ranked), shared(ranking.with_intervals), shared(rule_error)
_combinations, _select = shared(combinations.combinations), shared(combinations.select)


class BudgetQuery(NamedTuple):
    """A question: which variants are best in a quality within a budget, and at which cost."""

    quality: Quality
    budget: Budget
    cost: Axis = PACKED


class Gathered(NamedTuple):
    """The rows of a model that a budget looks at."""

    rows: pd.DataFrame  # all tidy rows of the model
    measured: pd.DataFrame  # those of perplexities on one text
    scored: pd.DataFrame  # accuracies on some documents
    every: pd.DataFrame  # `candidates`; empty without a perplexity

    @property
    def dense(self) -> pd.DataFrame:
        """The dense model's candidate, or no row."""
        return _dense(self.every)

    def numbers(self, column: str) -> pd.DataFrame:
        """Return the tidy rows of a quality."""
        if column == ACCURACY:
            return self.scored
        corpus, protocol = self.measured[["dataset", "protocol_id"]].iloc[0]
        return choices.on_text(self.rows, corpus, protocol, (column,))


@dataclass(frozen=True)
class Within:
    """The answer; tests and estimates are computed where they are first needed."""

    query: BudgetQuery
    rows: pd.DataFrame  # accepted variants as of `core.findings.best.budget.ranked`, with their intervals
    gathered: Gathered
    filters: Filters
    reader: Reader
    with_files: WithFiles | None = None

    @cached_property
    def tests(self) -> pd.DataFrame | None:
        """The paired differences to the best, by key; None if it has none."""
        return differences_to_best(self.rows, self.gathered.numbers(self.query.quality.column), self.reader)

    @property
    def estimates(self) -> pd.DataFrame:
        """The estimated chains within the budget (rows of `combinations.select`)."""
        return self._estimated[0]

    @property
    def error(self) -> RuleError:
        """The error of the estimates."""
        return self._estimated[1]

    @cached_property
    def _estimated(self) -> tuple[pd.DataFrame, RuleError]:
        """The estimates and their error; only perplexities add up."""
        if self.query.quality.column != PERPLEXITY:
            return pd.DataFrame(), RuleError()
        found = _combinations(self.gathered.measured, self.gathered.dense)
        if self.with_files is not None and not found.empty:
            found = self.with_files(found)
        if not self.filters.keys() <= set(found) or found.empty:  # of amounts, which estimates do not have
            return found[:0], RuleError()
        first = self.gathered.measured.iloc[0]
        error = _rule_error(self.reader.rows(PERPLEXITY, [first["dataset"]]), first["window"])
        given = self.rows, self.query.budget, self.query.cost.column, error
        return _select(accepted(found, self.filters), *given), error

    @property
    def winner(self) -> pd.Series | None:
        """The best measured variant within the budget; None if none fits."""
        return winner(self.rows)

    def headline(self, model: str) -> str:
        """Return the answer as one plain sentence; `model` is its display name."""
        return ranking.headline(self.rows, self.gathered.dense, self.query.budget, self.query.quality, model)

    def known(self) -> list[str]:
        """Return in a few words what else is known of the winner: its rivals, and its interval."""
        if self.winner is None:
            return []
        rivals = int((self.rows["fits"] & self.rows["ranked"]).sum())
        interval = ranking.interval_of(self.winner, self.query.quality)
        return [f"best of {rivals}", *([f"{UNADJUSTED} {interval}"] if interval else [])]

    def sentences(self, model: str, shown: Callable[[str], str] = str) -> list[str]:
        """Return the answer in Markdown, and the sentence on an estimated chain that may be better, if there is one.

        `shown` escapes a name for Markdown.
        """
        answer = ranking.answer(self.rows, self.query.budget, self.query.quality, model, shown, self.tests)
        return [answer, *filter(None, [words.sentence(self.estimates, self.winner, shown)])]


def gather(
    rows: pd.DataFrame, corpus: str | None, protocol: str | None, scored: pd.DataFrame, first: Sequence[str] = ()
) -> Gathered:
    """Return the rows of a model that a budget looks at.

    `rows` are all tidy rows of the model, and `scored` accuracies as of `zeroshot.on_documents`. Variants with other
    calibration or training data than `first` come last.
    """
    measured = choices.on_text(rows, corpus, protocol)
    compared = choices.on_text(rows, corpus, protocol, list(MEANS))
    if measured.empty:
        return Gathered(rows, measured, scored, pd.DataFrame())
    every = _candidates(measured, scored, first, _without_perplexity(rows, measured), compared)
    return Gathered(rows, measured, scored, every)


def within(
    gathered: Gathered, query: BudgetQuery, filters: Filters, reader: Reader, with_files: WithFiles | None = None
) -> Within:
    """Return the accepted variants within a budget, the best first.

    `filters` are accepted values of columns. `with_files` adds the sizes of files to rows of `combinations`.
    """
    numbers = gathered.numbers(query.quality.column)
    found = rank(accepted(gathered.every, filters), gathered.dense, numbers, query, reader)
    return Within(query, found, gathered, filters, reader, with_files)


def small_size(dense: pd.DataFrame) -> float:
    """Return the megabytes that pages start with: a third of the dense model's packed size, with two digits.

    `dense` is the dense model's row of `candidates`.
    """
    return float(f"{dense[PACKED.column].iloc[0] / 3:.2g}")


def rank(
    accepted: pd.DataFrame, dense: pd.DataFrame, numbers: pd.DataFrame, query: BudgetQuery, reader: Reader
) -> pd.DataFrame:
    """Return the variants as of `core.findings.best.budget.ranked`, with their intervals.

    `accepted` are rows of `candidates`, `dense` is the dense model's one, if known, and `numbers` are tidy rows of the
    quality.
    """
    found = _ranked(accepted, query.budget, query.cost.column, query.quality.column)
    if query.quality.paired:
        return _with_intervals(found, _differences_to_dense(found, dense, numbers, reader), query.quality)
    return _with_intervals(found, _own_intervals(found, numbers, reader), query.quality)


@shared
def differences_to_best(found: pd.DataFrame, rows: pd.DataFrame, reader: Reader) -> pd.DataFrame | None:
    """Return paired differences to the best variant within the budget, by key; None if the best has none.

    They are of the quality in `rows`, for the first `COMPARED` variants, with Holm's correction over these.
    """
    best = winner(found)
    if best is None:
        return None
    fitting = answers(found).head(COMPARED)
    return _pairs([keys for keys in fitting["keys"] if keys[0] != best["key"]], best["keys"], rows, reader)


@shared
def numbers_of(rows: pd.DataFrame) -> list[Number]:
    """Return the distinct numbers of tidy rows, as the argument of `Reader.paired`."""
    return list(rows[list(NUMBER)].drop_duplicates().itertuples(index=False, name=None))


@shared
def _dense(every: pd.DataFrame) -> pd.DataFrame:
    return every[points.is_dense(every)]


@shared
def _own_intervals(found: pd.DataFrame, rows: pd.DataFrame, reader: Reader) -> pd.DataFrame:
    """Return the 95 % intervals of distances to the dense model, by key; none for several seeds."""
    single = found.loc[found["keys"].map(len) == 1, "key"]
    numbers = set(numbers_of(rows))
    ends = {
        key: distance_interval(row)
        for key, result in reader.results(single).items()
        for row in result.measurements
        if number_of(row) in numbers
    }
    return pd.DataFrame.from_dict(ends, orient="index", columns=["low", "high"], dtype=float)


@shared  # the stored answers change only with the rows of the same variants
def _differences_to_dense(
    found: pd.DataFrame, dense: pd.DataFrame, rows: pd.DataFrame, reader: Reader
) -> pd.DataFrame | None:
    """Return paired differences to the dense model in the quality of `rows`, by key.

    They are of the first `PAIRED` answers and of the front.
    """
    if dense.empty:
        return None
    listed = pd.concat([answers(found).head(PAIRED), found[found["front"]]]).drop_duplicates("key")
    seeds = [keys for keys in listed["keys"] if keys != dense["keys"].iloc[0]]
    return _pairs(seeds, dense["key"].iloc[0], rows, reader)


def _pairs(
    seeds: list[tuple[str, ...]], reference: str | tuple[str, ...], rows: pd.DataFrame, reader: Reader
) -> pd.DataFrame | None:
    """Return the paired differences of variants to a reference in the quality of `rows`, by key; None without any."""
    pairs = reader.paired(seeds, reference, numbers_of(rows))
    pairs = pairs[pairs["dataset"].eq(ABOVE_CHANCE) | ~pairs["metric"].isin(ACCURACIES)]  # no single tasks
    return None if pairs.empty else pairs.set_index("key")
