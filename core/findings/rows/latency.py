"""Latency and peak memory of a variant compared with the dense model."""

import math

import pandas as pd

from core.metrics import SPEEDS
from core.results import Measurement, Result


def speeds(result: Result, dense: Result | None) -> pd.DataFrame:
    """Return a variant's latency and peak memory by batch size, with the dense model's on the same kind of device.

    `Precision` is the variant's, then the dense model's if it differs, because packed weights use other kernels.
    """
    known = {(row.metric, row.protocol["batch"]): row for row in (dense.measurements if dense else ()) if _timed(row)}
    rows = []
    for row in filter(_timed, result.measurements):
        twin = known.get((row.metric, row.protocol["batch"]))
        alike = twin if twin and twin.details.get("device") == row.details.get("device") else None
        base = alike.value if alike else math.nan
        precisions = dict.fromkeys(one.protocol["dtype"] for one in (row, alike) if one)
        numbers = row.value, base, base / row.value
        rows.append((SPEEDS[row.metric].title, row.protocol["batch"], *numbers, ", dense ".join(precisions)))
    return pd.DataFrame(rows, columns=["Metric", "Batch", "Measured", "Dense", "Dense / measured", "Precision"])


def _timed(row: Measurement) -> bool:
    return row.metric in SPEEDS
