"""What fits a budget in words and as a table, from rows of `core.analysis.budget.ranked`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from core.analysis.budget import ACCURACY, LIMITS, PERPLEXITY, Budget, budget_words, limits
from core.analysis.reporting import adjusted_words, verdict_text
from core.analysis.verdicts import SIGNIFICANT
from core.chain import DENSE
from core.formatting import format_amount, format_number
from core.results import Footprint
from core.shipping.saving import checkpoint_bytes
from core.specs import PRECISIONS
from dashboard.charts.answer import tied
from dashboard.charts.paired import CANNOT

NAMED = 3  # nearest misses in the sentence
ALWAYS = ("packed_mb", "times_dense", ACCURACY)  # what is said of the best, whatever is limited
COLUMNS = {  # of what is limited, or is the cost, beside those that are always there
    "bits_per_weight": "Bits per weight",
    "parameters": "Parameters (M)",
    "prefill_ms": "Read (ms a token)",
    "decode_ms": "Write (ms a token)",
    "memory_mb": "Peak memory (MB)",
}
FORMATS = {
    "Perplexity": "%.5g",
    "x dense": "%.3g",
    "Accuracy (%)": "%.1f",
    "vs dense": "%+.1f",
    "Packed MB": "%.1f",
    "fp16 MB": "%.0f",
    "fp32 MB": "%.0f",
    "Bits per weight": "%.2f",
    "Parameters (M)": "%.1f",
    "Read (ms a token)": "%.3f",
    "Write (ms a token)": "%.2f",
    "Peak memory (MB)": "%.0f",
}
WIDTHS = {"Method": 210, "It is": 170, "Misses by": 330, "Beside the first": 290}


def name(row: pd.Series) -> str:
    """Name a variant: `SparseGPT + LoRA, 50 %`."""
    return str(row["series"]) if row["where"] == format_amount(None, None) else f"{row['series']}, {row['where']}"


def answer(
    found: pd.DataFrame,
    budget: Budget,
    quality: str,
    shown: Callable[[str], str] = str,
    beside: pd.DataFrame | None = None,
) -> str:
    """Answer, in Markdown, which variant fits a budget best in a quality, or which miss it least and by what.

    `shown` makes of a variant's name what Markdown shows as it is; `beside` has a row of
    `core.analysis.differences` by key of what is compared with it.
    """
    asked = budget_words(budget)
    if not asked:
        on = f"{found['front'].sum()} of {len(found)} variants are on the Pareto front"
        return f"Set a limit to see what fits. Without one, {on}."
    fitting = found[found["fits"]]
    if fitting.empty:
        nearest = [f"- **{shown(name(row))}**: {row['misses']}" for _, row in found.head(NAMED).iterrows()]
        return "\n".join([f"Nothing fits {asked}. Nearest:", *nearest])
    start = f"{asked[0].upper()}{asked[1:]}"
    if not fitting["best"].any():
        unknown = LIMITS[ACCURACY].missing if quality == ACCURACY else "perplexity diverged"
        return f"{start}: {len(fitting)} {'fit' if len(fitting) > 1 else 'fits'}, but {unknown}."
    best = fitting.iloc[0]
    facts = [
        f"{format_number(limit.times * best[column])} {limit.what}"
        for column, limit in LIMITS.items()
        if column in (*ALWAYS, *limits(budget)) and pd.notna(best[column])
    ]
    others = len(fitting) - 1
    rest = f"{others} {'others fit' if others > 1 else 'other fits'}" if others else "nothing else fits"
    if beside is not None:
        judged = beside["verdict"].dropna()
        tied_keys = set(judged[~judged.isin(SIGNIFICANT)].index)
        if ties := [shown(name(row)) for _, row in fitting.iterrows() if row["key"] in tied_keys]:
            facts.append(tied(ties))
    return f"{start}: **{shown(name(best))}** ({', '.join(facts)}); {rest}."


def ranking(
    found: pd.DataFrame,
    budget: Budget,
    cost: str,
    footprints: Sequence[Footprint | None],
    beside: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return `core.analysis.budget.answers` as a table, numbered as on the chart, with the sizes of checkpoints.

    `footprints` are those of its rows. What is limited has a column, and so has `cost`. `beside` is as of `answer`.
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
            "Method": found["series"],
            "Amount": found["where"].replace(format_amount(None, None), "0 %"),
            "Misses by": found["misses"],
            "Packed MB": found["packed_mb"],
            "x dense": found["times_dense"],
            "Accuracy (%)": 100 * found[ACCURACY],
            "vs dense": 100 * found["accuracy_lost"],
            "Beside the first": found["key"].map(_compared(beside)),
            **{COLUMNS[column]: found[column] for column in more},
            **sizes,
            "It is": [_reasons(row) for _, row in found.iterrows()],
            "Perplexity": found[PERPLEXITY],
            "Chain": found["chain"],
        }
    )
    idle = ["Misses by" if found["fits"].any() else "It is", *(["Beside the first"] if beside is None else [])]
    return table.drop(columns=idle)


def _compared(beside: pd.DataFrame | None) -> dict[str, str]:
    """Return by key the verdict in words with its adjusted p, or that there is no pair."""
    rows = {} if beside is None else beside.to_dict("index")
    return {
        str(key): CANNOT if pd.isna(row["verdict"]) else f"{verdict_text(row)}{adjusted_words(row)}"
        for key, row in rows.items()
    }


def _reasons(row: pd.Series) -> str:
    """Return why a row is among the first: `on the front, best structured`."""
    best = "the dense model" if row["family"] == DENSE else f"best {row['family']}"
    return ", ".join([*(["on the front"] if row["front"] else []), *([best] if row["best"] else [])])
