"""The table of what was rounded to few bits: a variant is its chain, as its parameters tell it from others."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from statistics import fmean

import pandas as pd

from core.analysis.differences import Samples, differences
from core.analysis.frame import OWN_GRID
from core.analysis.seven import MEAN
from core.analysis.told import figures
from core.chain import written
from core.cli.tables import column
from core.registry import on_own_grid, rounds
from core.results import Result
from docs.apart import compared
from docs.points import DENSE, LONG, MODEL, number, point


def is_rounded(result: Result) -> bool:
    """Whether a variant's weights lie on a grid."""
    return any(rounds(stage) for stage in result.variant.stages)


def output_error(result: Result) -> float | None:
    """Return the relative output error that the linears have on the calibration text, the mean of all.

    None where it is not known, and where rounding was not all that changed them.
    """
    stages = result.variant.stages
    if sum(stage.removes for stage in stages) > 1 or stages[-1].recovers:
        return None
    errors = [layer.error for layer in result.last_layers if layer.error is not None]
    return fmean(errors) if errors else None


def few_bits(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Every rounded variant of the default model beside dense, the fewest packed bits first, then the best.

    How one was trained is not told: all were as the page says.
    """
    mine = [compared(result) for result in results if result.variant.model == MODEL]
    dense = next((one for one in mine if point(one.variant) == DENSE), None)
    rounded = {one.variant.key: one for one in mine if is_rounded(one)}
    if dense is None or not rounded:
        return pd.DataFrame()
    told = differences(list(rounded.values()), dense, samples)
    told = told[told["why"].isna()].sort_values("n")  # of several numbers of documents the most
    read = {row["key"]: figures(row) for row in told[told["metric"] == "perplexity"].to_dict("records")}
    means = {
        row["key"]: f"{figures(row)}: {row['verdict']}" for row in told[told["dataset"] == MEAN].to_dict("records")
    }
    rows = []
    for key, result in rounded.items():
        value = next((row.value for row in result.measurements if column(row) == LONG), None)
        size = result.counted
        if value is not None:
            own = OWN_GRID * on_own_grid(MODEL, result.variant.stages)
            stages = [
                stage.model_copy(update={"parameters": {}} if stage.recovers else {}) for stage in result.variant.stages
            ]
            chain = f"`{written(stages)}`{own}"
            rows.append((size.bits_per_weight, value, key, chain, size.packed_bytes / 1e6, output_error(result)))
    return pd.DataFrame(
        [
            {
                "chain": chain,
                "bits a weight": f"{bits:.2f}",
                "MB packed": f"{packed:.1f}",
                "output error": "" if error is None else f"{error:.4f}",
                "perplexity": number(value),
                "against dense": read.get(key, ""),
                "mean of seven, points": means.get(key, ""),
            }
            for bits, value, key, chain, packed, error in sorted(rows, key=itemgetter(0, 1, 2))
        ]
    )
