"""Intervals of a variant's distance to the dense model: each number is a paired difference to the dense model."""

from core.findings.numbers.intervals import interval
from core.metrics import metric
from core.results import Measurement
from core.statistics.correlations import VALUES, correlation_of
from core.statistics.longrun import freedom


def distance_interval(row: Measurement) -> tuple[float | None, float | None]:
    """Return the unadjusted 95 % interval of a distance to the dense model, in its unit; None each if unknown.

    That of a mean follows from its standard error over windows, which may correlate. The metric's range bounds it.
    """
    one = metric(row.metric)
    if not one.mean:
        return row.details.get("low"), row.details.get("high")
    if row.n < 2:
        return None, None
    free = freedom(row.n, correlation_of(row.dataset, row.protocol, VALUES[row.metric]))
    least, most = one.ends
    low, high = (None if end is None else min(most, max(least, end)) for end in interval(row.value, row.stderr, free))
    return low, high
