"""Correction of the stored standard errors of numbers of windows for the correlation of windows."""

from __future__ import annotations

import math

from core.results import Measurement, Result
from core.statistics.correlations import VALUES, correlation_of
from core.statistics.longrun import inflation


def corrected(result: Result) -> Result:
    """Correct the standard errors of means over windows of texts whose correlation between windows is bundled.

    Standard errors on other texts do not change. They use the correlation of the measured windows, or, in rows of
    early versions, assume independent windows.
    """
    rows = tuple(map(_corrected, result.measurements))
    return result.model_copy(update={"measurements": rows}) if rows != result.measurements else result


def _corrected(row: Measurement) -> Measurement:
    if not row.on_windows or row.metric not in VALUES or row.origin != "measured" or row.stderr is None:
        return row
    correlation = correlation_of(row.dataset, row.protocol, VALUES[row.metric])
    if correlation is None:
        return row
    larger = inflation(row.n, correlation)
    stderr = row.stderr * math.sqrt(larger / (row.inflation or 1.0))
    return row.model_copy(update={"stderr": stderr, "inflation": larger})
