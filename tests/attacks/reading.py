"""Read a store in every way that the command line prints it."""

from __future__ import annotations

import math

from core.analysis.differences import tidy_beside_dense
from core.analysis.sheets import csv_text
from core.cli.listing import OF, to_latex
from core.cli.tables import as_json, print_table, summary
from core.results import Result
from core.store.store import Store


def print_everything(store: Store) -> list[Result]:
    """Print all results as a table, JSON, CSV and LaTeX; return them."""
    results = store.results()
    rows = summary(results, store.samples)
    print_table(rows)
    for result in results:
        as_json(result)
    csv_text(tidy_beside_dense(results, store.samples))
    if rows:
        to_latex([{name: text for name, text in row.items() if name != "key"} for row in rows], len(OF))
    return results


def impossible_number(result: Result) -> str | None:
    """Return a sentence for the first number that cannot be: an accuracy above 1, a standard error below 0."""
    for row in result.measurements:
        name = f"{row.metric} of {row.dataset!r}"
        if not math.isfinite(row.value) or (row.metric.startswith("acc") and not 0 <= row.value <= 1):
            return f"{name} is {row.value}."
        if row.metric == "perplexity" and row.value < 1:
            return f"{name} is {row.value}."
        if row.stderr is not None and not 0 <= row.stderr < math.inf:
            return f"{name} has a standard error of {row.stderr}."
        if any(isinstance(value, float) and not math.isfinite(value) for value in row.protocol.values()):
            return f"{name} has the protocol {row.protocol}."
    return None
