"""The table of all points of a curve with the dense model."""

import math
from collections.abc import Callable

import pandas as pd

from core.findings.axes import DECODE, MEMORY, PACKED, PARAMETERS, PREFILL, SEVEN_TITLE
from core.findings.numbers import reporting
from core.findings.pairs import paired
from core.findings.rows.points import VARIANT, is_dense
from core.metrics import MEANS
from core.notation.formatting import format_amount

# Columns that are shown if any value is known.
OPTIONAL = (*(one.title for one in MEANS.values()), SEVEN_TITLE, "GMACs", PREFILL.title, DECODE.title, MEMORY.title)
FORMATS = {
    "Perplexity": "%.5g",
    "Times dense": "%.4g",
    **{one.title: "%.1f" if one.percent else "%.4g" for one in MEANS.values()},
    "Above chance (points)": "%.1f",
    SEVEN_TITLE: "%.1f",
    "Accuracy vs dense": "%+.1f",
    PARAMETERS.title: "%.1f",
    "GMACs": "%.2f",
    PACKED.title: "%.1f",
    "Bits per weight": "%.2f",
    "Model removed (%)": "%.1f",
    PREFILL.title: "%.3f",
    DECODE.title: "%.2f",
    MEMORY.title: "%.0f",
}
RATIO_INTERVAL, ACCURACY_INTERVAL = f"Times dense, {reporting.UNADJUSTED}", f"Accuracy, {reporting.UNADJUSTED}"
VERDICTS = ("Perplexity is", "Accuracy is")
WIDTHS = {
    **{VARIANT: 200, "Amount": 70, RATIO_INTERVAL: 200, "Perplexity, adjusted p": 155},
    **{ACCURACY_INTERVAL: 180, "Accuracy, adjusted p": 150},
}


def comparison(
    points: pd.DataFrame, means: pd.DataFrame, dense: pd.DataFrame, perplexities: pd.DataFrame, accuracies: pd.DataFrame
) -> pd.DataFrame:
    """Return the table of the points, dense first, indexed by the variants' keys.

    `means` are rows of `zeroshot.means_above_chance`; a point of several seeds has the mean of those that are scored.
    `perplexities` and `accuracies` are rows of `core.findings.numbers.differences` in perplexity and in the mean above
    chance, each adjusted together. Columns of verdicts state why a point has no paired difference.
    """
    ordered = points.sort_values(["series_label", "ratio", "pattern"], na_position="first")
    rows = pd.concat([dense, ordered], ignore_index=True)
    of_point = means.groupby(["series_label", "amount_label"])
    by_point = of_point.agg(mean=("mean", "mean"), size=("mean", "size"), seven=("mean_of_seven", "mean"))
    scored = by_point.reindex(pd.MultiIndex.from_frame(rows[["series_label", "amount_label"]])).set_axis(rows.index)
    mean = scored["mean"].astype(float)
    base, base_mean = (float(values.iloc[0]) if len(dense) else math.nan for values in (rows["value"], mean))
    ratio = paired.of_points(perplexities, rows)
    points_lost = paired.of_points(accuracies, rows.assign(seeds=scored["size"].fillna(rows["seeds"]).astype(int)))
    compressed = ~is_dense(rows)
    table = pd.DataFrame(
        {
            VARIANT: rows["name"],
            "Amount": rows["amount_label"].replace(format_amount(None), "0 %"),
            "Perplexity": rows["value"],
            "Times dense": rows["value"] / base,
            "Perplexity is": ratio["verdict_text"].where(compressed),
            RATIO_INTERVAL: _intervals(ratio["ratio_low"], ratio["ratio_high"], reporting.ratio_words),
            "Perplexity, adjusted p": ratio["p_adjusted"].map(reporting.p_words),
            **{one.title: one.times * rows[one.name] for one in MEANS.values()},
            "Above chance (points)": 100 * mean,
            "Accuracy vs dense": 100 * (mean - base_mean),
            "Accuracy is": points_lost["verdict_text"].where(compressed & mean.notna()),
            ACCURACY_INTERVAL: _intervals(points_lost["low"], points_lost["high"], reporting.end_words),
            "Accuracy, adjusted p": points_lost["p_adjusted"].map(reporting.p_words),
            SEVEN_TITLE: 100 * scored["seven"].astype(float),
            PARAMETERS.title: rows["parameters"],
            "GMACs": rows["gmacs"],
            PACKED.title: rows["packed_mb"],
            "Bits per weight": rows["bits_per_weight"],
            "Model removed (%)": 100 * rows["model_removed"],
            PREFILL.title: rows[PREFILL.column],
            DECODE.title: rows[DECODE.column],
            MEMORY.title: rows[MEMORY.column],
            "Seeds": rows["seeds"],
            "Chain": rows["chain"],
        }
    )
    unknown = [name for name in OPTIONAL if table[name].isna().all()]
    return table.drop(columns=unknown).set_axis(rows["key"])


def _intervals(low: pd.Series, high: pd.Series, written: Callable[[float], str]) -> list[str | None]:
    return [reporting.interval_words(*ends, written) for ends in zip(low, high, strict=True)]
