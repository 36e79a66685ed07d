"""Paired differences of a model's variants to the best of a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pandas as pd

from core.findings.numbers.differences import adjust_together
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.pairs import paired
from core.findings.rows import points
from core.findings.within import numbers_of
from dashboard import data
from dashboard.exports.pivots import SignificanceTest


def significance_of_best(rows: pd.DataFrame) -> SignificanceTest:
    """Return a function that tests which variants differ significantly from the best of a table column.

    The column is the label of a task; with rows of one number, any text. Variants may have several seeds. The tests of
    a column are Holm-adjusted together.
    """

    @cache  # needed for every column, but only for exports
    def by_first() -> dict[str, tuple[str, ...]]:
        return points.seeds_of(rows)

    def distinguishable(column: str, best: str, others: Sequence[str]) -> dict[str, bool]:
        seeds = by_first()
        if len(seeds.get(best, ())) != 1:
            return {}  # several seeds have no single partner
        numbers = numbers_of(rows)
        found = data.paired([seeds[key] for key in others if key in seeds], best, numbers)
        found = found[found["verdict"].notna()]
        if len(numbers) > 1:
            found = found[paired.task_labels(found) == column]
        found = adjust_together(found)
        return dict(zip(found["key"], found["verdict"].isin(SIGNIFICANT), strict=True))

    return distinguishable
