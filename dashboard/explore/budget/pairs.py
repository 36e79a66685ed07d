"""Intervals of the variants, and paired differences to the dense model and to the best within the budget."""

from __future__ import annotations

import pandas as pd

from core.analysis.budget import answers, winner
from core.analysis.differences import number_of
from core.analysis.distances import distance_interval
from core.analysis.paired import ACCURACIES
from core.analysis.seven import ABOVE_CHANCE
from core.findings.best.qualities import Quality
from core.findings.sharing import shared
from dashboard import data
from dashboard.explore.compare import numbers_of

COMPARED = 20  # variants within the budget that are tested against the best
PAIRED = 100  # variants within the budget with intervals, besides the front; each reads the stored answers


def intervals_of(found: pd.DataFrame, dense: pd.DataFrame, rows: pd.DataFrame, quality: Quality) -> pd.DataFrame | None:
    """Return the `low` and `high` of each variant, or its paired differences to dense, by key; `rows` have the quality.

    Args:
        found: Rows of `core.analysis.budget.ranked`.
        dense: The dense model's row, if known.
        rows: Tidy rows of the quality.
        quality: The quality.
    """
    return _differences_to_dense(found, dense, rows) if quality.paired else _own_intervals(found, rows)


@shared
def _own_intervals(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the 95 % intervals of distances to the dense model; none for several seeds."""
    single = found.loc[found["keys"].map(len) == 1, "key"]
    numbers = set(numbers_of(rows))
    ends = {
        key: distance_interval(row)
        for key, result in data.results(single).items()
        for row in result.measurements
        if number_of(row) in numbers
    }
    return pd.DataFrame.from_dict(ends, orient="index", columns=["low", "high"], dtype=float)


@shared  # the stored answers change only with the rows of the same variants
def _differences_to_dense(found: pd.DataFrame, dense: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return paired differences to the dense model in the quality of `rows`, by key.

    They are of the first `PAIRED` answers and of the front.
    """
    if dense.empty:
        return None
    listed = pd.concat([answers(found).head(PAIRED), found[found["front"]]]).drop_duplicates("key")
    return _pairs([keys for keys in listed["keys"] if keys != dense["keys"].iloc[0]], dense["key"].iloc[0], rows)


@shared
def differences_to_best(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return paired differences to the best variant within the budget, by key; None if the best has none.

    They are of the quality in `rows`, for the first `COMPARED` variants, with Holm's correction over these.
    """
    best = winner(found)
    if best is None:
        return None
    fitting = answers(found).head(COMPARED)
    return _pairs([keys for keys in fitting["keys"] if keys[0] != best["key"]], best["keys"], rows)


def _pairs(seeds: list[tuple[str, ...]], reference: str | tuple[str, ...], rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return the paired differences of variants to a reference in the quality of `rows`, by key; None without any."""
    pairs = data.paired(seeds, reference, numbers_of(rows))
    pairs = pairs[pairs["dataset"].eq(ABOVE_CHANCE) | ~pairs["metric"].isin(ACCURACIES)]  # no single tasks
    return None if pairs.empty else pairs.set_index("key")
