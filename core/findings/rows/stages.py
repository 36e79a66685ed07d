"""Tables of a variant: its stages with cost, pruning ratio and error, and its latency compared with the dense model."""

import math

import pandas as pd

from core.findings.cost import is_alone
from core.metrics import SPEEDS
from core.notation.formatting import format_amount, label, non_default_parameters
from core.notation.removal import block_share, covered_share, stage_share
from core.results import Measurement, Result
from core.specs import Stage

FORMATS = {
    "Cumulative pruning ratio (%)": "%.1f",
    "Seconds": "%.1f",
    "Peak memory (MB)": "%.0f",
    "Mean error": "%.4f",
    "Worst error": "%.4f",
}


def stage_name(stage: Stage) -> str:
    """Name a stage with its non-default parameters: `LoRA (minutes 5.0)`."""
    changed = non_default_parameters(stage)
    return label(stage.method) + (f" ({', '.join(changed)})" if changed else "")


def stage_table(result: Result) -> pd.DataFrame:
    """Return a row per stage: seconds, peak memory (MB) and cumulative share of dense block weights removed (%).

    Errors are the relative errors of its layer reports. The device is a column only if it differs between stages.
    A time beside other programs is marked.
    """
    variant, rows = result.variant, []
    share = block_share(result)
    removed = math.nan if share is None else 0.0
    for place, stage in enumerate(variant.stages):
        run = variant.stage_runs[place] if place < len(variant.stage_runs) else {}
        layers = [layer for layer in result.layers if layer.stage == place]
        errors = [(layer.error, layer.name) for layer in layers if layer.error is not None]
        if stage.prunes:
            # NaN: a ratio of some layers only
            removed = math.nan if stage.layers else stage_share(stage, layers) * covered_share(result)
        if place == len(variant.stages) - 1:
            removed = math.nan if share is None else share
        worst = max(errors, default=(math.nan, ""))
        rows.append(
            {
                "Stage": stage_name(stage),
                "Amount": format_amount(stage.amount) if stage.removes else "",
                "Cumulative pruning ratio (%)": 100 * removed,
                "Seconds": run.get("seconds", math.nan),
                "Measured alone": "yes" if is_alone(run) else "no",
                "Peak memory (MB)": run.get("peak_memory", math.nan) / 1e6,
                "Device": run.get("device", ""),
                "Mean error": sum(error for error, _ in errors) / len(errors) if errors else math.nan,
                "Worst error": worst[0],
                "Worst layer": worst[1],
            }
        )
    table = pd.DataFrame(rows)
    return table if table["Device"].nunique() > 1 else table.drop(columns="Device")


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
