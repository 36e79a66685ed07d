"""Paired differences of the variants to the dense model and to the best within the budget."""

from __future__ import annotations

import pandas as pd

from core.analysis.budget import answers, winner
from core.analysis.seven import MEAN
from dashboard import data
from dashboard.explore.compare import numbers_of
from dashboard.sharing import shared

COMPARED = 20  # variants within the budget that are tested against the best
PAIRED = 100  # variants within the budget with intervals, besides the front; each reads the stored answers


@shared  # the stored answers change only with the rows of the same variants
def differences_to_dense(found: pd.DataFrame, dense: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return paired differences to the dense model in the quality of `rows`, by key.

    They are of the first `PAIRED` answers and of the front.
    """
    if dense.empty:
        return None
    listed = pd.concat([answers(found).head(PAIRED), found[found["front"]]]).drop_duplicates("key")
    return _pairs([keys for keys in listed["keys"] if keys != dense["keys"].iloc[0]], dense["key"].iloc[0], rows)


@shared
def tests_to_best(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return paired differences to the best variant within the budget, by key; None if the best has none.

    They are of the quality in `rows`, for the first `COMPARED` variants, with Holm's correction over these.
    """
    best = winner(found)
    if best is None or len(best["keys"]) > 1:  # several seeds have no single partner
        return None
    fitting = answers(found).head(COMPARED)
    return _pairs([keys for keys in fitting["keys"] if keys[0] != best["key"]], best["key"], rows)


def _pairs(seeds: list[tuple[str, ...]], reference: str, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Return the paired differences of variants to a reference in the quality of `rows`, by key; None without any."""
    pairs = data.paired(seeds, reference, numbers_of(rows))
    pairs = pairs[pairs["dataset"].eq(MEAN) | pairs["metric"].eq("perplexity")]
    return None if pairs.empty else pairs.set_index("key")
