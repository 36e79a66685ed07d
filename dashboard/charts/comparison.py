"""The table of all points of a curve beside the dense model."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from core.analysis import reporting
from dashboard.charts import paired
from dashboard.charts.points import is_dense

OPTIONAL = ("GMACs", "Read (ms a token)", "Write (ms a token)", "Peak memory (MB)")  # shown where any is known
FORMATS = {
    "Perplexity": "%.5g",
    "Ratio to dense": "%.4g",
    "Mean accuracy (%)": "%.1f",
    "Accuracy vs dense": "%+.1f",
    "Parameters (M)": "%.1f",
    "GMACs": "%.2f",
    "Packed MB": "%.1f",
    "Bits per weight": "%.2f",
    "Model removed (%)": "%.1f",
    "Read (ms a token)": "%.3f",
    "Write (ms a token)": "%.2f",
    "Peak memory (MB)": "%.0f",
}

RATIO_INTERVAL, ACCURACY_INTERVAL = f"Ratio, {reporting.UNADJUSTED}", f"Accuracy, {reporting.UNADJUSTED}"
WIDTHS = {
    **{RATIO_INTERVAL: 160, "Perplexity, adjusted p": 150, "Perplexity is": 170},
    **{ACCURACY_INTERVAL: 180, "Accuracy, adjusted p": 145, "Accuracy is": 170},
}


def comparison(
    points: pd.DataFrame, means: pd.DataFrame, dense: pd.DataFrame, perplexities: pd.DataFrame, accuracies: pd.DataFrame
) -> pd.DataFrame:
    """Return the table of the points beside the dense model, dense first, indexed by the variants' keys.

    `means` as of `zeroshot.seven_means`; a point of several seeds shows the mean of those that have it, as charts do.
    `perplexities` and `accuracies` are rows of `core.analysis.differences`, the latter of the mean of seven, shown
    together; where a point has none, the column of verdicts says so.
    """
    ordered = points.sort_values(["series", "ratio", "pattern"], na_position="first")
    rows = pd.concat([dense, ordered], ignore_index=True)
    by_point = means.groupby(["label", "where"])["mean"].agg(["mean", "size"])
    scored = by_point.reindex(pd.MultiIndex.from_frame(rows[["series", "where"]])).set_axis(rows.index)
    mean = scored["mean"].astype(float)
    base, base_mean = (float(values.iloc[0]) if len(dense) else math.nan for values in (rows["value"], mean))
    ratio = paired.of_points(perplexities, rows)
    points_lost = paired.of_points(accuracies, rows.assign(seeds=scored["size"].fillna(rows["seeds"]).astype(int)))
    compressed = ~is_dense(rows)
    table = pd.DataFrame(
        {
            "Method": rows["series"],
            "Amount": rows["where"].replace("nothing removed", "0 %"),
            "Perplexity": rows["value"],
            "Ratio to dense": rows["value"] / base,
            RATIO_INTERVAL: _intervals(ratio["ratio_low"], ratio["ratio_high"], reporting.ratio_words),
            "Perplexity, adjusted p": ratio["adjusted"].map(reporting.p_words),
            "Perplexity is": ratio["verdict_text"].where(compressed),
            "Mean accuracy (%)": 100 * mean,
            "Accuracy vs dense": 100 * (mean - base_mean),
            ACCURACY_INTERVAL: _intervals(points_lost["low"], points_lost["high"], reporting.end_words),
            "Accuracy, adjusted p": points_lost["adjusted"].map(reporting.p_words),
            "Accuracy is": points_lost["verdict_text"].where(compressed & mean.notna()),
            "Parameters (M)": rows["parameters"],
            "GMACs": rows["gmacs"],
            "Packed MB": rows["packed_mb"],
            "Bits per weight": rows["bits_per_weight"],
            "Model removed (%)": 100 * rows["model_removed"],
            "Read (ms a token)": rows["prefill_ms"],
            "Write (ms a token)": rows["decode_ms"],
            "Peak memory (MB)": rows["memory_mb"],
            "Seeds": rows["seeds"],
            "Chain": rows["chain"],
        }
    )
    unknown = [name for name in OPTIONAL if table[name].isna().all()]
    return table.drop(columns=unknown).set_axis(rows["key"])


def _intervals(low: pd.Series, high: pd.Series, written: Callable[[float], str]) -> list[str | None]:
    return [reporting.interval_words(*ends, written) for ends in zip(low, high, strict=True)]
