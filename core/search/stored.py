"""Stored variants within the budget of a search: the best one on the text of the judgement, and those on any text."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from core.errors import UserError
from core.notation.chain import format_chain, parse
from core.protocols import satisfies
from core.registry import on_own_grid
from core.request.stages import variant_spec
from core.results import Measurement, Result, Variant
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
    able = [
        (value, result)
        for result, _ in _fitting(store.results(), prepared)
        if (value := perplexity_on(result, prepared.judge)) is not None
    ]
    return min(able, key=lambda one: one[0])[1] if able else None


def stored_fits(store: Store, prepared: Prepared) -> tuple[StoredFit, ...]:
    """Return the best `LISTED` stored variants within the budget on each text, of own and bundled results.

    The text of the judgement comes first, then those with most such variants.
    """
    known = {result.variant.key: result for result in store.results()}
    texts: dict[tuple[str, str], list[StoredFit]] = defaultdict(list)  # by corpus and protocol
    for result, megabytes in _fitting(known.values(), prepared):
        dense = known.get(result.variant.dense_key)
        values = {row.identity: row.value for row in dense.measurements} if dense else {}
        for row in result.measurements:
            if row.of_text and math.isfinite(row.value) and result is not dense:
                times = row.value / values[row.identity] if row.identity in values else None
                chain, key = format_chain(result.variant.stages), result.variant.key
                fit = StoredFit(_text(row), chain, key, megabytes, row.value, times)
                texts[row.dataset, row.protocol_id].append(fit)
    order = sorted(texts.values(), key=lambda fits: (fits[0].text != str(prepared.judge), -len(fits)))
    return tuple(one for fits in order for one in sorted(fits, key=lambda fit: fit.perplexity)[:LISTED])


def _text(row: Measurement) -> str:
    """Write the windows of a perplexity."""
    known = {name: row.protocol[name] for name in ("window", "windows", "spread") if name in row.protocol}
    return str(Perplexity.model_validate({"corpus": row.dataset, **known}))


def _fitting(results: Iterable[Result], prepared: Prepared) -> Iterator[tuple[Result, float]]:
    """Yield the results of allowed variants of the model within the budget, with their megabytes."""
    own = prepared.source.id, prepared.source.revision
    for result in results:
        variant = result.variant
        other = variant.model_id != own or variant.is_external or on_own_grid(variant.model, variant.stages)
        if other or variant.cut_short or not _is_allowed(variant, prepared):
            continue
        size = prepared.bytes_of(result)
        if size is not None and size <= prepared.question.most_bytes:
            yield result, size / 1e6


def _is_allowed(variant: Variant, prepared: Prepared) -> bool:
    """Return whether this version makes a stored variant, and a search with these restrictions may propose it."""
    try:
        stages = variant_spec(variant).stages
        prepared.space.fits(stages)
    except UserError:
        return False
    return prepared.question.restrictions.allow_all(parse(format_chain(stages)))


def perplexity_on(result: Result, text: Perplexity) -> float | None:
    """Return the perplexity of a result on a text; None without it."""
    rows = (row for row in result.measurements if satisfies(row, text, result.variant.dtype))
    return next((row.value for row in rows if row.metric == "perplexity"), None)
