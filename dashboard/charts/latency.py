"""What was measured of a variant's speed and memory, beside the dense model's."""

from __future__ import annotations

import math

import pandas as pd

from core.results import Measurement, Result

SPEEDS = {"prefill": "Read a token (ms)", "decode": "Write a token (ms)", "memory": "Peak memory (MB)"}


def speeds(result: Result, dense: Result | None) -> pd.DataFrame:
    """Return a variant's latency and peak memory by batch size beside the dense model's on the same kind of device.

    `In` is what each computes in, as weights of few bits have a product of their own.
    """
    known = {(row.metric, row.protocol["batch"]): row for row in (dense.measurements if dense else ()) if _timed(row)}
    rows = []
    for row in filter(_timed, result.measurements):
        twin = known.get((row.metric, row.protocol["batch"]))
        alike = twin if twin and twin.details.get("device") == row.details.get("device") else None
        base = alike.value if alike else math.nan
        precisions = dict.fromkeys(one.protocol["dtype"] for one in (row, alike) if one)
        numbers = row.value, base, base / row.value
        rows.append((SPEEDS[row.metric], row.protocol["batch"], *numbers, " against ".join(precisions)))
    return pd.DataFrame(rows, columns=["What", "Batch", "Measured", "Dense", "Dense / measured", "In"])


def _timed(row: Measurement) -> bool:
    return row.metric in SPEEDS
