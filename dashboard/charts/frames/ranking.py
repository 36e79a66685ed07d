"""The variants within a budget, in words and as a table, from rows of `core.analysis.budget.ranked`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from core.analysis.budget import ACCURACY, LIMITS, PERPLEXITY, Budget, budget_words, limits
from core.analysis.reporting import adjusted_words, verdict_text
from core.analysis.verdicts import SIGNIFICANT
from core.notation.chain import DENSE
from core.notation.formatting import capitalise, format_amount, format_number
from core.results import Footprint
from core.shipping.saving import checkpoint_bytes
from core.specs import PRECISIONS
from dashboard.charts.elements.figures import DECODE, MEMORY, PACKED, PARAMETERS, PREFILL
from dashboard.charts.frames.answer import tied
from dashboard.charts.frames.paired import CANNOT

NAMED = 3  # nearest misses in the answer
ALWAYS = ("packed_mb", "times_dense", ACCURACY)  # stated of the best for any budget
COLUMNS = {  # further columns, for limits and for the cost
    "bits_per_weight": "Bits per weight",
    **{axis.column: axis.title for axis in (PARAMETERS, PREFILL, DECODE, MEMORY)},
}
FORMATS = {
    "Perplexity": "%.5g",
    "Times dense": "%.3g",
    "Mean accuracy (%)": "%.1f",
    "Accuracy vs dense": "%+.1f",
    PACKED.title: "%.1f",
    "fp16 MB": "%.0f",
    "fp32 MB": "%.0f",
    "Bits per weight": "%.2f",
    PARAMETERS.title: "%.1f",
    PREFILL.title: "%.3f",
    DECODE.title: "%.2f",
    MEMORY.title: "%.0f",
}
WIDTHS = {"Method": 210, "Listed as": 170, "Misses by": 330, "Compared with the first": 290}


def name(row: pd.Series) -> str:
    """Return a point's name: `SparseGPT + LoRA, 50 %`."""
    return (
        str(row["series_label"])
        if row["amount_label"] == format_amount(None)
        else f"{row['series_label']}, {row['amount_label']}"
    )


def answer(
    found: pd.DataFrame,
    budget: Budget,
    quality: str,
    shown: Callable[[str], str] = str,
    differences: pd.DataFrame | None = None,
) -> str:
    """Return the answer in Markdown: the best variant within a budget, or the nearest misses.

    Args:
        found: Rows of `core.analysis.budget.ranked`.
        budget: The limits.
        quality: PERPLEXITY or ACCURACY.
        shown: Escapes a variant's name for Markdown.
        differences: Rows of `core.analysis.differences` to the best, by key of the compared variants.
    """
    asked = budget_words(budget)
    if not asked:
        on = f"{found['front'].sum()} of {len(found)} variants are on the Pareto front"
        return f"Set a limit to find the best variant within it. Without limits, {on}."
    fitting = found[found["fits"]]
    if fitting.empty:
        nearest = [f"- **{shown(name(row))}**: {row['misses']}" for _, row in found.head(NAMED).iterrows()]
        return "\n".join([f"No variant fits the budget: {asked}. Nearest:", *nearest])
    start = capitalise(asked)
    if not fitting["best"].any():
        unknown = LIMITS[ACCURACY].missing if quality == ACCURACY else "perplexity diverged"
        return f"{start}: {len(fitting)} {'variants fit' if len(fitting) > 1 else 'variant fits'}, but {unknown}."
    best = fitting.iloc[0]
    facts = [
        f"{format_number(limit.times * best[column])} {limit.quantity}"
        for column, limit in LIMITS.items()
        if column in (*ALWAYS, *limits(budget)) and pd.notna(best[column])
    ]
    others = len(fitting) - 1
    rest = f"{others} {'others fit' if others > 1 else 'other fits'}" if others else "no other variant fits"
    if differences is not None:
        judged = differences["verdict"].dropna()
        tied_keys = set(judged[~judged.isin(SIGNIFICANT)].index)
        if ties := [shown(name(row)) for _, row in fitting.iterrows() if row["key"] in tied_keys]:
            facts.append(tied(ties))
    return f"{start}: **{shown(name(best))}** ({', '.join(facts)}); {rest}."


def ranking(
    found: pd.DataFrame,
    budget: Budget,
    cost: str,
    footprints: Sequence[Footprint | None],
    differences: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return `core.analysis.budget.answers` as a table, numbered as on the chart.

    Args:
        found: Rows of `core.analysis.budget.answers`.
        budget: The limits; each has a column.
        cost: Column of the cost, which is shown, too.
        footprints: Footprints of the rows, for the checkpoint sizes.
        differences: As of `answer`.
    """
    more = [column for column in COLUMNS if column in (cost, *limits(budget))]
    sizes = {
        f"{precision} MB": [
            checkpoint_bytes(footprint, PRECISIONS[precision]) / 1e6 if footprint else math.nan
            for footprint in footprints
        ]
        for precision in ("fp16", "fp32")
    }
    table = pd.DataFrame(
        {
            "#": range(1, len(found) + 1),
            "Method": found["series_label"],
            "Amount": found["amount_label"].replace(format_amount(None), "0 %"),
            "Misses by": found["misses"],
            PACKED.title: found["packed_mb"],
            "Times dense": found["times_dense"],
            "Mean accuracy (%)": 100 * found[ACCURACY],
            "Accuracy vs dense": 100 * found["accuracy_lost"],
            "Compared with the first": found["key"].map(_compared(differences)),
            **{COLUMNS[column]: found[column] for column in more},
            **sizes,
            "Listed as": [_reasons(row) for _, row in found.iterrows()],
            "Perplexity": found[PERPLEXITY],
            "Chain": found["chain"],
        }
    )
    idle = [
        "Misses by" if found["fits"].any() else "Listed as",
        *(["Compared with the first"] if differences is None else []),
    ]
    return table.drop(columns=idle)


def _compared(differences: pd.DataFrame | None) -> dict[str, str]:
    """Return by key the verdict with its adjusted p, or that there is no pair."""
    rows = {} if differences is None else differences.to_dict("index")
    return {
        str(key): CANNOT if pd.isna(row["verdict"]) else f"{verdict_text(row)}{adjusted_words(row)}"
        for key, row in rows.items()
    }


def _reasons(row: pd.Series) -> str:
    """Return the reason why a row is listed: `on the Pareto front, best structured`."""
    best = "the dense model" if row["family"] == DENSE else f"best {row['family']}"
    return ", ".join([*(["on the Pareto front"] if row["front"] else []), *([best] if row["best"] else [])])
