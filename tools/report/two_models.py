"""The table of a second model's variants, compared with the same chains of the default model."""

import math
from collections.abc import Sequence

import pandas as pd

from core.cli.printing.tables import column
from core.findings.numbers.differences import Samples
from core.findings.numbers.reporting import ratio_words
from core.findings.numbers.seven import accuracies_of, by_protocol, counted_tasks, mean_above_chance
from core.notation.chain import format_chain
from core.registry import METHODS
from core.results import Measurement, Result
from tools.report.chains import beside_dense, of_page
from tools.report.points import BESIDE_DENSE, DENSE, MEANS, MODEL, SECOND, TEXTS, number, point

ORDER = [method.name for method in METHODS]


def two_models(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Tabulate the second model's variants in the order of methods, lowest ratio first."""
    mine = _by_chain(results, samples, SECOND)
    first = _by_chain([one for one in results if format_chain(one.variant.stages) in {"dense", *mine}], samples, MODEL)
    return pd.DataFrame(
        [
            {
                "chain": row["chain"],
                "MB packed": f"{row['result'].counted.packed_bytes / 1e6:.0f}",
                "perplexity": number(row["value"]),
                BESIDE_DENSE: row["read"],
                MEANS: row["mean"],
                f"{MODEL}, {BESIDE_DENSE}": first[chain]["read"] if chain in first else "",
            }
            for chain, row in sorted(mine.items(), key=lambda one: _place(one[1]))
        ]
    )


def saved(results: Sequence[Result], chain: str, model: str = MODEL) -> str:
    """Return the share of a dense model's packed bytes that a chain saves."""
    mine = [one for one in results if of_page(one, model) and one.footprint]
    packed = {format_chain(one.variant.stages): one.counted.packed_bytes for one in mine}
    return f"{100 * (1 - packed[chain] / packed['dense']):.0f} %"


def second_dense(results: Sequence[Result]) -> str:
    """Return the second model's dense perplexity and mean above chance in points, with standard errors."""
    text, rows = _dense(results, SECOND)
    (tasks,) = by_protocol(rows).values()
    value, stderr = mean_above_chance([tasks[name] for name in counted_tasks(accuracies_of(tasks))])
    if text.stderr is None or stderr is None:
        raise ValueError(f"A dense number of {SECOND} has no standard error: measure it again.")
    return f"{number(text.value)} ± {number(text.stderr)} and {100 * value:.1f} ± {100 * stderr:.1f}"


def _dense(results: Sequence[Result], model: str) -> tuple[Measurement, Sequence[Measurement]]:
    """Return a dense model's perplexity in the tables, and all of its numbers."""
    of_dense = [one for one in results if one.variant.model == model and point(one.variant) == DENSE]
    every = [row for one in of_dense for row in one.measurements]
    return next(row for row in every if column(row) == TEXTS[model]), every


def _by_chain(results: Sequence[Result], samples: Samples, model: str) -> dict[str, dict]:
    """Return the rows of `beside_dense` by chain; without stored answers, `read` is the ratio to dense alone."""
    chosen = [one for one in results if of_page(one, model) and point(one.variant) != DENSE]
    rows = beside_dense(results, chosen, samples, model)
    base = _dense(results, model)[0].value if rows else math.nan
    for row in rows:
        row["read"] = row["read"] or f"x {ratio_words(row['value'] / base)}"
    return {row["chain"].strip("`"): row for row in rows}


def _place(row: dict) -> tuple:
    first, *after = row["result"].variant.stages
    return ORDER.index(first.method), first.ratio or 0.0, len(after), row["chain"]
