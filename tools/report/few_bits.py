"""The table of quantised variants."""

from collections.abc import Sequence
from statistics import fmean

import pandas as pd

from core.findings.best.ranking import OWN_GRID
from core.findings.numbers.differences import Samples
from core.registry import on_own_grid, quantises
from core.results import Result
from tools.report.chains import beside_dense, of_embedding
from tools.report.points import BESIDE_DENSE, MEANS, MODEL, number


def is_rounded(result: Result) -> bool:
    """Return whether a variant is quantised."""
    return any(quantises(stage) for stage in result.variant.stages)


def output_error(result: Result) -> float | None:
    """Return the mean relative output error of the linears on the calibration data.

    None if it is unknown, as for a method without calibration data, or if quantisation was not the only change.
    """
    stages = result.variant.stages
    if sum(stage.removes for stage in stages) > 1 or stages[-1].recovers:
        return None
    layers = [layer for layer in result.last_layers if layer.error_kind == "output"]
    errors = [layer.error for layer in layers if layer.error is not None]
    return fmean(errors) if errors else None


def few_bits(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Tabulate the default model's variants with quantised blocks, by bits per weight, then by perplexity."""
    rows = beside_dense(results, [one for one in results if is_rounded(one) and not of_embedding(one)], samples)
    rows.sort(key=lambda row: (row["result"].counted.bits_per_weight, row["value"], row["chain"]))
    return pd.DataFrame(
        [
            {
                "chain": row["chain"] + f" ({OWN_GRID})" * on_own_grid(MODEL, row["result"].variant.stages),
                "bits per weight": f"{row['result'].counted.bits_per_weight:.2f}",
                "MB packed": f"{row['result'].counted.packed_bytes / 1e6:.1f}",
                "output error": "" if (error := output_error(row["result"])) is None else f"{error:.4f}",
                "perplexity": number(row["value"]),
                BESIDE_DENSE: row["read"],
                MEANS: row["mean"],
            }
            for row in rows
        ]
    )
