"""Read a store as the command line prints it."""

import math

from core.cli.listing import OF, to_latex
from core.cli.printing.tables import as_json, print_table, summary
from core.findings.numbers.differences import tidy_with_differences
from core.findings.numbers.frame import tidy
from core.findings.numbers.sheets import csv_text
from core.results import Result
from core.store.store import Store

FORMS = ("table", "json", "csv", "latex")


def print_results(store: Store, form: str) -> None:
    """Tidy all results, and print them in one of the `FORMS`."""
    results = store.results()
    tidy(results)
    if form == "json":
        for result in results:
            as_json(result)
    elif form == "csv":
        csv_text(tidy_with_differences(results, store.samples))
    elif rows := summary(results, store, store.model_names()):
        if form == "table":
            print_table(rows)
        else:
            to_latex([{name: text for name, text in row.items() if name != "key"} for row in rows], len(OF))


def check_possible(result: Result) -> None:
    """Assert that each number can be: no accuracy above 1, no standard error below 0."""
    for row in result.measurements:
        least, most = {"perplexity": (1, math.inf)}.get(row.metric, (-math.inf, math.inf))
        least, most = (0, 1) if row.metric.startswith("acc") else (least, most)
        assert math.isfinite(row.value) and least <= row.value <= most, row
        assert row.stderr is None or 0 <= row.stderr < math.inf, row
        assert all(math.isfinite(value) for value in row.protocol.values() if isinstance(value, float)), row
