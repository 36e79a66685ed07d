"""Stored variants within the budget of a search: the best one on the text of the judgement, and those on any text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from core.base.errors import UserError
from core.findings.best.budget import PERPLEXITY, Budget, ranked
from core.notation.chain import format_chain, parse
from core.protocols import satisfies
from core.registry import on_own_grid
from core.request.stages import variant_spec
from core.results import Measurement, Result, Variant
from core.search.question import Prepared
from core.specs import Perplexity
from core.store.store import Store

Row = dict[str, Any]  # Any: each column has a type of its own
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
    """Return the best variant within the budget on the text of the judgement, the first of equal ones; None without."""
    known = {one.variant.key: one for one in results}
    rows = [(key, value) for key, one in known.items() if (value := perplexity_on(one, prepared.judge)) is not None]
    found = _best_first([_row(known[key], value, None, prepared) for key, value in rows], prepared)
    return known[found[0]["key"]] if found else None


def stored_fits(store: Store, prepared: Prepared) -> tuple[StoredFit, ...]:
    """Return the best `LISTED` stored variants within the budget on each text, of own and bundled results.

    The text of the judgement comes first, then those with most such variants.
    """
    results = store.results()
    dense = {one.variant.key: {row.identity: row.value for row in one.measurements} for one in results}
    texts: dict[tuple[str, str], list[Row]] = defaultdict(list)  # by corpus and protocol
    for result in _allowed(results, prepared):
        base = result.variant.dense_key
        for row in result.measurements if base != result.variant.key else ():
            if row.of_text:
                one = _row(result, row.value, dense.get(base, {}).get(row.identity), prepared)
                texts[row.dataset, row.protocol_id].append(one | {"text": _text(row)})
    fitting = [found for rows in texts.values() if (found := _best_first(rows, prepared))]
    fitting.sort(key=lambda found: (found[0]["text"] != str(prepared.judge), -len(found)))
    return tuple(
        StoredFit(row["text"], row["chain"], row["key"], row["packed_mb"], row[PERPLEXITY], row["times_dense"])
        for found in fitting
        for row in found[:LISTED]
    )


def _row(result: Result, value: float, dense: float | None, prepared: Prepared) -> Row:
    """Return a row for `_best_first`; its packed_mb are the megabytes that count for the budget."""
    size, chain = prepared.bytes_of(result), format_chain(result.variant.stages)
    counted = {
        "packed_mb": None if size is None else size / 1e6,
        "times_dense": None if dense is None else value / dense,
    }
    return {"key": result.variant.key, "chain": chain, PERPLEXITY: value, "own_grid": False, **counted}


def _best_first(rows: Sequence[Row], prepared: Prepared) -> list[Row]:
    """Return the rows within the budget by `core.findings.best.budget.ranked`, the best first."""
    if not rows:
        return []
    frame = pd.DataFrame(rows).astype({"packed_mb": float, "times_dense": float})
    found = ranked(frame, Budget(packed_mb=prepared.question.max_mb), "packed_mb", PERPLEXITY)
    keys = found.loc[found["fits"] & found["ranked"], "key"]
    by_key = {row["key"]: row for row in rows}
    return [by_key[key] for key in keys]


def _text(row: Measurement) -> str:
    """Write the windows of a perplexity."""
    known = {name: row.protocol[name] for name in ("window", "windows", "spread") if name in row.protocol}
    return str(Perplexity.model_validate({"corpus": row.dataset, **known}))


def _allowed(results: Iterable[Result], prepared: Prepared) -> Iterator[Result]:
    """Yield the results of allowed variants of the model."""
    own = prepared.source.id, prepared.source.revision
    for result in results:
        variant = result.variant
        other = variant.model_id != own or variant.is_external or on_own_grid(variant.model, variant.stages)
        if not (other or variant.cut_short) and _is_allowed(variant, prepared):
            yield result


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
