"""The certificate of a search: the winner, judged on a text that no trial has read, and its rivals.

What the search expects of a chain before its trial is a mean over all stored texts, perhaps that of the judge, too.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import pandas as pd
from pydantic import AliasChoices, Field

from core.base.errors import UserError
from core.data.cards import TASKS
from core.findings.best.budget import ROUNDED
from core.findings.numbers.differences import NUMBER, number_of, number_of_mean, paired_differences
from core.findings.numbers.reporting import interval_words, listed
from core.findings.numbers.seven import accuracies_of, by_protocol, counted_tasks, mean_above_chance
from core.findings.seeds import Seeds
from core.notation.chain import format_chain, parse
from core.registry import on_own_grid
from core.request.stages import variant_spec
from core.results import Result
from core.search.question import DOCUMENTS, Prepared
from core.search.trials import Compute, Tried, one_result, perplexity_on
from core.specs import Frozen, Perplexity, Scalar
from core.statistics.correlations import DIFFERENCES, WIDENED, interval_note
from core.store.store import Store

WINNER, RUNNER_UP, STORED, DENSE = "winner", "runner-up", "best stored before", "dense"
SEARCHED = "best of the search"  # where the winner was stored before
LISTED = 3  # stored variants of a text
NOTE = f"The best {LISTED} on each text, written CORPUS@WINDOW:WINDOWS. Perplexities compare on one text only."


class Paired(Frozen):
    """A comparison of the winner with another variant, with its paired 95 % interval."""

    value: float
    low: float | None
    high: float | None

    def words(self, number: Callable[[float], str]) -> str:
        """Return the comparison with its interval."""
        return " ".join(filter(None, [number(self.value), interval_words(self.low, self.high, number)]))


class Judged(Frozen):
    """A variant of the certificate on the text and the tasks of the judgement."""

    role: str
    chain: str
    key: str
    megabytes: float = Field(validation_alias=AliasChoices("megabytes", "packed_mb"))  # the latter in older ones
    perplexity: float
    accuracy: float | None = None  # mean above chance
    # Perplexity of the winner over that of this variant, and its accuracy minus that of this one; None for the winner.
    ratio: Paired | None = None
    gain: Paired | None = None


class StoredFit(NamedTuple):
    """A stored variant within the budget, on a text."""

    text: str  # as `Perplexity` is written
    chain: str
    key: str
    megabytes: float  # as the budget counts them
    perplexity: float
    times_dense: float | None  # None without the dense model's perplexity

    def row(self, size_title: str) -> dict[str, str | float | None]:
        """Return the row of a table, by the names of its columns."""
        return {
            "Text": self.text,
            "Chain": self.chain,
            size_title: self.megabytes,
            "Perplexity": self.perplexity,
            "Times dense": self.times_dense,
        }


class Certificate(Frozen):
    """The end of a search. The winner is the first of the `rows`, which are empty if no trial fits the budget."""

    rows: tuple[Judged, ...]
    judge: str  # the text
    documents: int  # of each of the seven tasks; 0 if this machine lacks them
    tasks: tuple[str, ...] = ()  # that count (`core.findings.numbers.seven.counted_tasks`)
    tried: int
    eliminated: int
    excluded: int  # chains of the space above the budget
    chains: int  # of the space
    fits: bool  # whether a trial fits the budget
    exhausted: bool = False  # whether no other chain may be better
    stopped: bool = False  # whether the user ended the search
    stored: tuple[StoredFit, ...] = ()  # variants that fit the budget, if no trial does
    size_title: str = "Packed MB"  # of `Question`

    def table(self) -> list[dict[str, str | float | None]]:
        """Return a row for each variant, by the names of its columns."""
        table = []
        for one in self.rows:
            row: dict[str, str | float | None] = {
                "": one.role,
                "Chain": one.chain,
                self.size_title: one.megabytes,
                "Perplexity": one.perplexity,
                "Winner over it": one.ratio.words(lambda value: f"{value:.4g}") if one.ratio else "",
            }
            if self.tasks:
                row["Above chance (points)"] = None if one.accuracy is None else 100 * one.accuracy
                row["Winner minus it"] = one.gain.words(lambda value: f"{100 * value:+.1f}") if one.gain else ""
            table.append(row)
        return table

    def note(self) -> str:
        """Return what the columns of the table are, and what was tried."""
        text, others = Perplexity.parse(self.judge), self.rows[1:]
        widened = interval_note(text.corpus, {"window": text.window}, DIFFERENCES["perplexity"], text.windows or 0)
        numbers = [one.ratio for one in others] + [one.gain for one in others if self.tasks]
        lacking = None in numbers or None in [one.accuracy for one in self.rows if self.tasks]
        tasks = [
            f"Above chance: the mean accuracy minus chance of {listed([TASKS[task].label for task in self.tasks])}, "
            f"{self.documents} documents each.",
            "Winner minus it: the winner's accuracy minus that of the row, in points.",
        ]
        sentences = [
            f"Judged on {self.judge}.",
            "Trials read another text. Expectations before them are means over all stored texts, which may include it.",
            "Winner over it: the winner's perplexity over that of the row, with its paired 95 % interval.",
            f"These intervals are {WIDENED}." if widened else "",
            *(tasks if self.tasks else ()),
            "The intervals are unadjusted for the number of comparisons.",
            "A variant that was stored before is not made again, so it may lack numbers." if lacking else "",
            f"Tried {self.tried} chains, of which {self.eliminated} lost early.",
            "No other chain within the budget is expected to be better." if self.exhausted else "",
            f"The budget excludes {self.excluded:,} of {self.chains:,} chains.",
        ]
        return " ".join(filter(None, sentences))

    def failure(self, budget: str) -> str:
        """Return why there is no winner, and whether stored variants fit."""
        if self.stopped:
            why = f"The search was stopped before a chain below {budget} was measured."
        elif self.exhausted:
            why = f"No chain below {budget} could be measured."
        else:
            why = f"The minutes did not suffice to measure a chain below {budget}."
        if self.stored:
            return f"{why} There is no winner, but these stored variants fit."
        return f"{why} No stored variant that the question allows fits either, on any text."


def certify(
    prepared: Prepared,
    ranked: Sequence[Tried],  # the chains that were not eliminated, the best first
    outcomes: Sequence[Tried],  # all of the search
    stored: Result | None,  # the best variant before the search, if any fits
    compute: Compute,
    store: Store,
    exhausted: bool = False,
    stopped: bool = False,
) -> Certificate:
    """Judge the winner, the runner-up, the best stored variant and the dense model, or list stored ones that fit."""
    first = zip((WINNER, RUNNER_UP), ranked, strict=False)
    results = {role: one_result(compute, prepared.judgement(one.chain)) for role, one in first}
    if results and stored is not None and stored.variant.key not in {one.variant.key for one in results.values()}:
        results[STORED] = stored
        if best_of([results[WINNER], stored], prepared) is stored:
            results = {WINNER: results.pop(STORED), SEARCHED: results.pop(WINNER), **results}
    if results:
        results[DENSE] = store.stored(results[WINNER].variant.dense_key)
    sizes = prepared.space.sizes
    tasks: tuple[str, ...] = ()
    if results and prepared.tasks:  # those that count for the dense model
        dense = results[DENSE]
        tasks = counted_tasks(accuracies_of(by_protocol(dense.measurements).get(_protocol(dense), {})))
    return Certificate(
        rows=tuple(_rows(results, prepared, tasks, store)),
        judge=str(prepared.judge),
        documents=DOCUMENTS if prepared.tasks else 0,
        tasks=tasks,
        tried=len(outcomes),
        eliminated=sum(one.eliminated for one in outcomes),
        excluded=int((sizes.flat[1:] > prepared.question.most_bytes).sum()),  # the first one is dense
        chains=sizes.size - 1,
        fits=bool(ranked),
        exhausted=exhausted,
        stopped=stopped,
        stored=() if results else stored_fits(store, prepared),
        size_title=prepared.question.size_title,
    )


def _protocol(result: Result) -> tuple[Scalar, ...]:
    """Return the protocol of the judgement's tasks, a key of `by_protocol`."""
    return DOCUMENTS, 0, result.variant.dtype


def _rows(results: dict[str, Result], prepared: Prepared, tasks: Sequence[str], store: Store) -> Iterator[Judged]:
    seeds = Seeds(store)
    for role, result in results.items():
        row, size, protocol = perplexity_on(result, prepared.judge), prepared.bytes_of(result), _protocol(result)
        if row is None:
            continue
        there = by_protocol(result.measurements).get(protocol, {})
        scored = [there[task] for task in tasks if task in there]
        ratio = gain = None
        if role != WINNER:
            pairs = paired_differences([(result, results[WINNER])], store.samples, [results[DENSE]], seeds)
            ratio = _paired(pairs, number_of(row), "ratio", "ratio_low", "ratio_high")
            gain = _paired(pairs, number_of_mean(protocol), "difference", "low", "high")
        yield Judged(
            role=role,
            chain=format_chain(result.variant.stages),
            key=result.variant.key,
            megabytes=float("nan") if size is None else size / 1e6,
            perplexity=row.value,
            accuracy=mean_above_chance(scored)[0] if scored and len(scored) == len(tasks) else None,
            ratio=ratio,
            gain=gain,
        )


def _paired(pairs: pd.DataFrame, number: tuple[str, str, str], *columns: str) -> Paired | None:
    """Return three columns of the pair with a number; None without it."""
    on = pairs[(pairs[list(NUMBER)] == number).all(axis=1)]
    values = [None if pd.isna(one) else float(one) for one in on.iloc[0][list(columns)]] if len(on) else [None]
    return None if values[0] is None else Paired(value=values[0], low=values[1], high=values[2])


def best_stored(store: Store, prepared: Prepared) -> Result | None:
    """Return the allowed stored variant within the budget with the lowest perplexity on the text of the judgement."""
    return best_of(_allowed(store.results(), prepared), prepared)


def best_of(results: Iterable[Result], prepared: Prepared) -> Result | None:
    """Return the best variant within the budget on the text of the judgement; None without."""
    rows = ((one, perplexity_on(one, prepared.judge)) for one in results)
    fits = {_fit(one, "", row.value, None, prepared): one for one, row in rows if row}
    return next((fits[best] for best in _best_first(fits, prepared)), None)


def stored_fits(store: Store, prepared: Prepared) -> tuple[StoredFit, ...]:
    """Return the best `LISTED` stored variants within the budget on each text, of own and bundled results.

    The text of the judgement comes first, then those with most such variants.
    """
    results = store.results()
    dense = {one.variant.key: {row.identity: row.value for row in one.measurements} for one in results}
    texts: dict[tuple[str, str], list[StoredFit]] = defaultdict(list)  # by corpus and protocol
    for result in _allowed(results, prepared):
        base = result.variant.dense_key
        for row in result.measurements if base != result.variant.key else ():
            if row.of_text:
                reference = dense.get(base, {}).get(row.identity)
                texts[row.dataset, row.protocol_id].append(_fit(result, str(row.text), row.value, reference, prepared))
    fitting = [found for fits in texts.values() if (found := _best_first(fits, prepared))]
    fitting.sort(key=lambda found: (found[0].text != str(prepared.judge), -len(found)))
    return tuple(fit for found in fitting for fit in found[:LISTED])


def _fit(result: Result, text: str, value: float, dense: float | None, prepared: Prepared) -> StoredFit:
    chain, size = format_chain(result.variant.stages), prepared.bytes_of(result)
    megabytes = math.nan if size is None else size / 1e6
    return StoredFit(text, chain, result.variant.key, megabytes, value, None if dense is None else value / dense)


def _best_first(fits: Iterable[StoredFit], prepared: Prepared) -> list[StoredFit]:
    """Return the variants within the budget, the best first."""
    most = (1 + ROUNDED) * prepared.question.max_mb
    able = (one for one in fits if one.megabytes <= most and math.isfinite(one.perplexity))
    return sorted(able, key=lambda one: (one.perplexity, one.megabytes, one.key))


def _allowed(results: Iterable[Result], prepared: Prepared) -> Iterator[Result]:
    """Yield the results of the model's variants that this version makes, and a search may propose."""
    own = prepared.source.id, prepared.source.revision
    for result in results:
        variant = result.variant
        other = variant.model_id != own or variant.is_external or on_own_grid(variant.model, variant.stages)
        if other or variant.cut_short:
            continue
        with suppress(UserError):
            stages = variant_spec(variant).stages
            prepared.space.fits(stages)
            if prepared.question.restrictions.allow(parse(format_chain(stages))):
                yield result
