"""A warning about intervals and standard errors of too few windows or documents."""

from __future__ import annotations

from collections.abc import Iterable

from core.analysis.reporting import listed
from core.analysis.seven import ABOVE_CHANCE, MEAN
from core.data.cards import TASKS

FEWEST_WINDOWS, FEWEST_DOCUMENTS = 8, 50
MOST_NAMED = 3  # datasets


def few_words(numbers: Iterable[tuple[str, float]]) -> str:
    """Write a warning that names the datasets with too few windows or documents; empty if there are none.

    Args:
        numbers: (dataset, number of windows or documents) each; 0 if a paper does not state it.
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
