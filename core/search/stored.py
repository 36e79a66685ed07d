"""Stored variants within the budget of a search: the best one on the text of the judgement, and those on any text."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from core.base.errors import UserError
from core.findings.best.budget import ROUNDED
from core.notation.chain import format_chain, parse
from core.protocols import satisfies
from core.registry import on_own_grid
from core.request.stages import variant_spec
from core.results import Measurement, Result
from core.search.question import Prepared
from core.specs import Perplexity
from core.store.store import Store

LISTED = 3  # variants of a text
NOTE = f"The best {LISTED} on each text, written CORPUS@WINDOW:WINDOWS. Perplexities compare on one text only."


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


def best_stored(store: Store, prepared: Prepared) -> Result | None:
    """Return the allowed stored variant within the budget with the lowest perplexity on the text of the judgement."""
    return best_of(list(_allowed(store.results(), prepared)), prepared)


def best_of(results: Sequence[Result], prepared: Prepared) -> Result | None:
    """Return the best variant within the budget on the text of the judgement; None without."""
    rows = ((one, perplexity_on(one, prepared.judge)) for one in results)
    found = _best_first([_fit(one, "", row.value, None, prepared) for one, row in rows if row], prepared)
    return next((one for one in results if found and one.variant.key == found[0].key), None)


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
                texts[row.dataset, row.protocol_id].append(_fit(result, _text(row), row.value, reference, prepared))
    fitting = [found for fits in texts.values() if (found := _best_first(fits, prepared))]
    fitting.sort(key=lambda found: (found[0].text != str(prepared.judge), -len(found)))
    return tuple(fit for found in fitting for fit in found[:LISTED])


def _fit(result: Result, text: str, value: float, dense: float | None, prepared: Prepared) -> StoredFit:
    chain, size = format_chain(result.variant.stages), prepared.bytes_of(result)
    megabytes = math.nan if size is None else size / 1e6
    return StoredFit(text, chain, result.variant.key, megabytes, value, None if dense is None else value / dense)


def _best_first(fits: Sequence[StoredFit], prepared: Prepared) -> list[StoredFit]:
    """Return the variants within the budget, the best first."""
    most = (1 + ROUNDED) * prepared.question.max_mb
    able = (one for one in fits if one.megabytes <= most and math.isfinite(one.perplexity))
    return sorted(able, key=lambda one: (one.perplexity, one.megabytes, one.key))


def _text(row: Measurement) -> str:
    """Write the windows of a perplexity."""
    known = {name: row.protocol[name] for name in ("window", "windows", "spread") if name in row.protocol}
    return str(Perplexity.model_validate({"corpus": row.dataset, **known}))


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
            if prepared.question.restrictions.allow_all(parse(format_chain(stages))):
                yield result


def perplexity_on(result: Result, text: Perplexity) -> Measurement | None:
    """Return the perplexity of a result on a text; None without it."""
    rows = (row for row in result.measurements if satisfies(row, text, result.variant.dtype))
    return next((row for row in rows if row.metric == "perplexity"), None)
