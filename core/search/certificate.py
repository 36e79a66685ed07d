"""The certificate of a search: the winner, judged on a text that the search has not read, and its rivals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.analysis.differences import paired_differences
from core.notation.chain import format_chain, parse
from core.protocols import satisfies
from core.registry import on_own_grid
from core.request.complete import complete
from core.results import Result
from core.search.question import Prepared
from core.search.trials import Compute, Tried
from core.specs import Frozen, Perplexity, RunSpec
from core.store.store import Store

WINNER, RUNNER_UP, STORED, DENSE = "winner", "runner-up", "best stored before", "dense"
SEARCHED = "best of the search"  # where the winner was stored before


class Judged(Frozen):
    """A variant of the certificate on the text of the judgement."""

    role: str
    chain: str
    key: str
    packed_mb: float
    perplexity: float
    # Perplexity of the winner over that of this variant, with its paired 95 % interval; None for the winner.
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class Certificate(Frozen):
    """The end of a search. `rows` are empty if nothing fits, else the winner is the first."""

    rows: tuple[Judged, ...]
    judge: str  # the text
    tried: int
    eliminated: int
    excluded: int  # chains of the space above the budget
    chains: int  # of the space
    fits: bool  # whether a trial fits the budget; else the winner was stored before


def best_stored(store: Store, prepared: Prepared) -> Result | None:
    """Return the allowed stored variant within the budget with the lowest perplexity on the text of the judgement."""
    restrictions, able = prepared.question.restrictions, []
    for result in store.results():
        variant, size = result.variant, result.footprint
        if variant.model_id != (prepared.source.id, prepared.source.revision) or variant.is_external or size is None:
            continue
        if size.packed_bytes > prepared.question.most_bytes or on_own_grid(variant.model, variant.stages):
            continue
        value = _perplexity(result, prepared.judge)
        if value is not None and restrictions.allow_all(parse(format_chain(variant.stages))):
            able.append((value, result))
    return min(able, key=lambda one: one[0])[1] if able else None


def certify(
    prepared: Prepared,
    ranked: Sequence[Tried],
    outcomes: Sequence[Tried],
    stored: Result | None,
    compute: Compute,
    store: Store,
) -> Certificate:
    """Judge the winner, the runner-up, the best stored variant and the dense model.

    Args:
        prepared: The question.
        ranked: The chains that were not eliminated, the best first.
        outcomes: All outcomes of the search.
        stored: The best stored variant before the search, if any fits.
        compute: Runs variants.
        store: Where the results are.
    """
    first = zip((WINNER, RUNNER_UP), ranked, strict=False)
    results = {role: _judged(prepared, one.chain, compute) for role, one in first}
    if not results and stored is not None:
        results[WINNER] = stored
    elif stored is not None and stored.variant.key not in {one.variant.key for one in results.values()}:
        results[STORED] = stored
        if _is_better(stored, results[WINNER], prepared.judge):
            results = {WINNER: results.pop(STORED), SEARCHED: results.pop(WINNER), **results}
    if results:
        results[DENSE] = store.stored(results[WINNER].variant.dense_key)
    sizes = prepared.space.sizes
    return Certificate(
        rows=tuple(_rows(results, prepared.judge, store)),
        judge=str(prepared.judge),
        tried=len(outcomes),
        eliminated=sum(one.eliminated for one in outcomes),
        excluded=int((sizes > prepared.question.most_bytes).sum()),
        chains=sizes.size - 1,
        fits=bool(ranked),
    )


def _is_better(first: Result, second: Result, judge: Perplexity) -> bool:
    ours, theirs = (_perplexity(one, judge) for one in (first, second))
    return ours is not None and theirs is not None and ours < theirs


def _judged(prepared: Prepared, chain: str, compute: Compute) -> Result:
    ((_, result_of),) = compute([judgement(prepared, chain)])
    return result_of()


def judgement(prepared: Prepared, chain: str) -> RunSpec:
    """Return the run that judges a chain."""
    return complete(
        prepared.question.model,
        chain,
        calibration=prepared.defaults.calibration,
        train=prepared.defaults.train,
        perplexity=[prepared.judge],
        device=prepared.question.device,
    )


def _rows(results: dict[str, Result], judge: Perplexity, store: Store) -> Iterator[Judged]:
    for role, result in results.items():
        value, size = _perplexity(result, judge), result.footprint
        ratio = low = high = None
        if role != WINNER:
            pairs = paired_differences([(result, results[WINNER])], store.samples)
            protocol = [row.protocol_id for row in result.measurements if satisfies(row, judge, result.variant.dtype)]
            on = pairs[(pairs["dataset"] == judge.corpus) & (pairs["metric"] == "perplexity")]
            on = on[on["protocol_id"].isin(protocol)]
            if len(on):
                ratio, low, high = on.iloc[0][["ratio", "ratio_low", "ratio_high"]]
        if value is not None:
            yield Judged(
                role=role,
                chain=format_chain(result.variant.stages),
                key=result.variant.key,
                packed_mb=float("nan") if size is None else size.packed_bytes / 1e6,
                perplexity=value,
                ratio=ratio,
                low=low,
                high=high,
            )


def _perplexity(result: Result, text: Perplexity) -> float | None:
    rows = (row for row in result.measurements if satisfies(row, text, result.variant.dtype))
    return next((row.value for row in rows if row.metric == "perplexity"), None)
