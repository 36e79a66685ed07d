"""Table of a variant's stages (`core.results.Variant.stage_runs`, layer reports): cost, pruning ratio, error."""

import math

import pandas as pd

from core.findings.cost import is_alone
from core.notation.formatting import format_amount, label, non_default_parameters
from core.notation.removal import block_share, covered_share, stage_share
from core.results import Result
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
