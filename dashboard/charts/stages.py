"""A variant's stages (`core.results.Variant.stage_runs`, layer reports) as a table: what each cost, removed and did."""

from __future__ import annotations

import math

import pandas as pd

from core.formatting import format_amount, label, non_default_parameters
from core.removal import block_share, stage_share
from core.results import Result
from core.specs import Stage

FORMATS = {
    "Gone after it (%)": "%.1f",
    "Seconds": "%.1f",
    "Peak memory (MB)": "%.0f",
    "Mean error": "%.4f",
    "Worst error": "%.4f",
}


def stage_name(stage: Stage) -> str:
    """Name one stage with what differs from its defaults: `LoRA (minutes 5.0)`."""
    told = non_default_parameters(stage)
    return label(stage.method) + (f" ({', '.join(told)})" if told else "")


def stage_table(result: Result) -> pd.DataFrame:
    """Return one row a stage: seconds, peak memory (MB), share of the dense block weights that is gone after it (%).

    Errors are the relative ones of its layer reports; the device is a column where stages differ in it.
    """
    variant, rows = result.variant, []
    share = block_share(result)
    gone = math.nan if share is None else 0.0
    for place, stage in enumerate(variant.stages):
        made = variant.stage_runs[place] if place < len(variant.stage_runs) else {}
        layers = [layer for layer in result.layers if layer.stage == place]
        errors = [(layer.error, layer.name) for layer in layers if layer.error is not None]
        if stage.prunes:
            gone = math.nan if stage.layers else stage_share(stage, layers)  # NaN: a share of some layers only
        if place == len(variant.stages) - 1:
            gone = math.nan if share is None else share
        worst = max(errors, default=(math.nan, ""))
        rows.append(
            {
                "Stage": stage_name(stage),
                "Asked": format_amount(stage.ratio, stage.pattern) if stage.removes else "",
                "Gone after it (%)": 100 * gone,
                "Seconds": made.get("seconds", math.nan),
                "Peak memory (MB)": made.get("peak_memory", math.nan) / 1e6,
                "Device": made.get("device", ""),
                "Mean error": sum(error for error, _ in errors) / len(errors) if errors else math.nan,
                "Worst error": worst[0],
                "Worst layer": worst[1],
            }
        )
    table = pd.DataFrame(rows)
    return table if table["Device"].nunique() > 1 else table.drop(columns="Device")
