"""Standard errors of perplexities that were stored as if the windows of a text were independent."""

from __future__ import annotations

import math

from core.correlations import correlation_of
from core.longrun import inflation
from core.results import Measurement, Result


def corrected(result: Result) -> Result:
    """Return a result in which the standard errors of texts allow for correlated windows, where a record of them ships.

    Those of other texts stay as they are: with the correlation that their own windows showed, or, of rows that were
    measured before it was allowed for, as of independent windows.
    """
    rows = tuple(map(_corrected, result.measurements))
    return result.model_copy(update={"measurements": rows}) if rows != result.measurements else result


def _corrected(row: Measurement) -> Measurement:
    if not row.of_text or row.origin != "measured" or row.stderr is None:
        return row
    correlation = correlation_of(row.dataset, row.protocol, "losses")
    if correlation is None:
        return row
    larger = inflation(row.n, correlation)
    stderr = row.stderr * math.sqrt(larger / (row.inflation or 1.0))
    return row.model_copy(update={"stderr": stderr, "inflation": larger})
