"""Correction of the stored standard errors of numbers of windows for the correlation of windows, as it is known now."""

import math

from core.results import Measurement, Result
from core.statistics.correlations import INTERVAL, VALUES, WIDENED, correlation_of, widening
from core.statistics.longrun import inflation


def corrected(result: Result) -> Result:
    """Correct the standard errors of means over windows.

    Those of texts with a bundled record use its correlation. Others use that of the measured windows, or, in rows of
    early versions, assume independent ones. They are widened, once, unless the windows are enough for a record.
    """
    rows = tuple(map(_corrected, result.measurements))
    return result.model_copy(update={"measurements": rows}) if rows != result.measurements else result


def _corrected(row: Measurement) -> Measurement:
    if not row.on_windows or row.metric not in VALUES or row.origin != "measured" or row.stderr is None:
        return row
    number = row.dataset, row.protocol, VALUES[row.metric]
    correlation, stored, details = correlation_of(*number), row.inflation or 1.0, dict(row.details)
    if correlation is not None:
        larger = inflation(row.n, correlation)
        details.pop(INTERVAL, None)  # the record is newer than the row
    elif INTERVAL in details or (factor := widening(*number, row.n)) == 1:
        return row
    else:
        larger, details[INTERVAL] = stored * factor, WIDENED
    stderr = row.stderr * math.sqrt(larger / stored)
    return row.model_copy(update={"stderr": stderr, "inflation": larger, "details": details})
