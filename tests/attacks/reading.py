"""Read a store as the command line prints it."""

from __future__ import annotations

import math
import random

from core.analysis.differences import tidy_with_differences
from core.analysis.frame import tidy
from core.analysis.sheets import csv_text
from core.cli.listing import OF, to_latex
from core.cli.printing.tables import as_json, print_table, summary
from core.results import Result
from core.store.store import Store


def print_results(store: Store, draw: random.Random) -> list[Result]:
    """Tidy all results and print them in one of the four forms; return them."""
    results = store.results()
    tidy(results)
    draw.choice(FORMS)(results, store)
    return results


def _as_table(results: list[Result], store: Store) -> None:
    print_table(summary(results, store.samples, store.model_names()))


def _as_json(results: list[Result], store: Store) -> None:
    for result in results:
        as_json(result)


def _as_csv(results: list[Result], store: Store) -> None:
    csv_text(tidy_with_differences(results, store.samples))


def _as_latex(results: list[Result], store: Store) -> None:
    if rows := summary(results, store.samples, store.model_names()):
        to_latex([{name: text for name, text in row.items() if name != "key"} for row in rows], len(OF))


FORMS = (_as_table, _as_json, _as_csv, _as_latex)


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
