"""Warnings about intervals and standard errors: of too few windows or documents, and widened ones."""

from collections.abc import Iterable

from pandas import DataFrame

from core.base.errors import counted
from core.data.cards import TASKS
from core.findings.numbers.differences import NOTE
from core.findings.numbers.reporting import listed
from core.findings.numbers.seven import ABOVE_CHANCE, MEAN
from core.results import Measurement
from core.statistics.correlations import INTERVAL, WIDENED

FEWEST_WINDOWS, FEWEST_DOCUMENTS = 8, 50
MOST_NAMED = 3  # datasets


def few_in(differences: DataFrame) -> str:
    """Write the warnings about the intervals in rows of `core.findings.numbers.differences`; empty without any."""
    few = few_words(zip(differences["dataset"], differences["n"], strict=True))
    return _joined(few, differences.loc[differences[NOTE].notna(), "dataset"])


def few_of(rows: Iterable[Measurement]) -> str:
    """Write the warnings about the intervals or standard errors of numbers; empty without any."""
    every = list(rows)
    few = few_words((row.dataset, row.n) for row in every)
    return _joined(few, (row.dataset for row in every if INTERVAL in row.details))


def _joined(few: str, widened: Iterable[str]) -> str:
    """Add to a warning the texts whose intervals are widened."""
    names = list(dict.fromkeys(widened))
    if not names:
        return few
    named, more = names[:MOST_NAMED], len(names) - MOST_NAMED
    which = listed([*named, counted(more, "other text")] if more > 0 else named)
    return f"{few} Intervals of {which} are {WIDENED}.".lstrip()


def few_words(numbers: Iterable[tuple[str, float]]) -> str:
    """Write a warning that names the datasets with too few windows or documents; empty if there are none.

    `numbers` are (dataset, number of windows or documents) each; the number is 0 if a paper does not state it.
    """
    few: dict[str, None] = {}
    for dataset, n in numbers:
        documents = dataset in (MEAN, ABOVE_CHANCE) or dataset.partition("@")[0] in TASKS
        if 0 < n < (FEWEST_DOCUMENTS if documents else FEWEST_WINDOWS):
            few[f"{dataset} has {n:.0f} {'document' if documents else 'window'}{'s' if n > 1 else ''}"] = None
    if not few:
        return ""
    named, more = list(few)[:MOST_NAMED], len(few) - MOST_NAMED
    which = listed([*named, f"{more} more have few"] if more > 0 else named)
    return f"Intervals of fewer than {FEWEST_WINDOWS} windows or {FEWEST_DOCUMENTS} documents are unreliable: {which}."
