"""Intervals of a variant's distance to the dense model: each number is a paired difference to the dense model."""

from __future__ import annotations

from core.findings.numbers.intervals import interval
from core.results import AGREEMENT, KL, KL_P99, Measurement
from core.statistics.correlations import VALUES, correlation_of
from core.statistics.longrun import freedom

OF_DENSE = {KL: 0.0, KL_P99: 0.0, AGREEMENT: 1.0}  # the dense model's own, by definition
RANGES = {KL: (0.0, float("inf")), AGREEMENT: (0.0, 1.0)}


def distance_interval(row: Measurement) -> tuple[float | None, float | None]:
    """Return the unadjusted 95 % interval of a metric of `core.results.FIDELITY`, in its unit; None each if unknown.

    That of a mean follows from its standard error over windows, which may correlate. The metric's range bounds it.
    """
    if row.metric not in RANGES:
        return row.details.get("low"), row.details.get("high")
    if row.n < 2:
        return None, None
    free = freedom(row.n, correlation_of(row.dataset, row.protocol, VALUES[row.metric]))
    least, most = RANGES[row.metric]
    low, high = (None if end is None else min(most, max(least, end)) for end in interval(row.value, row.stderr, free))
    return low, high
