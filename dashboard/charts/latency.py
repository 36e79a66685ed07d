"""What was measured of a variant's speed and memory, beside the dense model's."""

from __future__ import annotations

import math

import pandas as pd

from core.results import Measurement, Result

SPEEDS = {"prefill": "Read a token (ms)", "decode": "Write a token (ms)", "memory": "Peak memory (MB)"}


def speeds(result: Result, dense: Result | None) -> pd.DataFrame:
    """Return a variant's latency and peak memory by batch size beside the dense model's on the same kind of device."""

    def device(row: Measurement) -> str | None:
        return row.details.get("device")

    rows = []
    for row in result.measurements:
        if row.metric not in SPEEDS:
            continue
        twin = dense.measurement(row) if dense else None
        base = twin.value if twin and device(twin) == device(row) else math.nan
        ratio = base / row.value
        rows.append((SPEEDS[row.metric], row.protocol["batch"], row.value, base, ratio))
    return pd.DataFrame(rows, columns=["What", "Batch", "Measured", "Dense", "Dense / measured"])
