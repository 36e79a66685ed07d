"""Estimated chains in words and as rows of the list of variants."""

from collections.abc import Callable

import pandas as pd

from core.findings.axes import PACKED
from core.findings.best.budget import LIMITS, PERPLEXITY
from core.findings.best.ranking import COLUMNS
from core.findings.estimates.combinations import NEAR
from core.findings.estimates.rule import FEWEST, RuleError
from core.findings.numbers.reporting import TableRow, interval_words, ratio_words
from core.findings.pairs.paired import INTERVAL
from core.findings.rows.points import VARIANT

MEASURED = "Measured"  # column of the list
YES, NO = "yes", "no, estimated"
PREDICTED = "95 % prediction interval"
NO_INTERVAL = "no interval, as too few measured chains check the rule"


def likely_better(estimates: pd.DataFrame, best: pd.Series | None) -> pd.Series | None:
    """Return the best estimate if its perplexity is below that of the best measured variant, or if there is none.

    `estimates` are rows of `combinations.select`; `best` is the best measured variant within the budget.
    """
    if estimates.empty or (best is not None and not estimates[PERPLEXITY].iloc[0] < best[PERPLEXITY]):
        return None
    return estimates.iloc[0]


def sentence(estimates: pd.DataFrame, best: pd.Series | None, shown: Callable[[str], str] = str) -> str:
    """Name the estimate that is `likely_better`, in Markdown; empty without one.

    It is only perhaps better if its prediction interval is unknown or contains the multiple of the best measured
    variant.
    """
    first = likely_better(estimates, best)
    if first is None:
        return ""
    if best is None:
        claim = "likely within the budget"
    else:
        claim = "likely better" if first["interval_high"] < best["times_dense"] else "perhaps better"  # NaN: unknown
    return f"Not measured, {claim}: **{shown(first['name'])}**, {', '.join(facts(first.to_dict()))}."


def facts(row: TableRow) -> list[str]:
    """Return the sizes and the predicted multiple of an estimate, with the interval if known."""
    interval = interval_of(row)
    times = f"about {ratio_words(row['times_dense'])} times dense"
    sizes = [LIMITS[name].value(row[name]) for name in (PACKED.column, "file_mb") if pd.notna(row[name])]
    return [*sizes, f"{times} ({PREDICTED} {interval})" if interval else f"{times} ({NO_INTERVAL})"]


def interval_of(row: TableRow) -> str | None:
    """Write the prediction interval of an estimate; None without one."""
    return interval_words(row["interval_low"], row["interval_high"], ratio_words)


def rule_words(error: RuleError) -> str:
    """Describe the rule of estimates and its error."""
    count = len(error.errors)
    chains = f"{count} measured chain{'' if count == 1 else 's'}"
    text = "Estimated: exact size, and the sum of the parts' effects on ln(perplexity)."
    if count < FEWEST:
        return (
            f"{text} It has no interval, because {chains} check{'s' if count == 1 else ''} it, and {FEWEST} are needed."
        )
    return f"{text} Correction and interval follow from {chains} of all models, by the stage on the embedding or head."


def drawn_words(error: RuleError) -> str:
    """Describe which estimates a chart shows, and their rule."""
    return (
        "Hollow: estimated chains below every measured variant of the same or a lower cost, and at most"
        f" {NEAR:g} times the lowest estimate there. {rule_words(error)}"
    )


def listed_words(error: RuleError) -> str:
    """Describe the estimates in a list of variants, and their rule."""
    start = "Estimated chains within the budget come after all measured variants. Their interval:"
    return f"{start} {PREDICTED}. {rule_words(error)}"


def with_estimates(table: pd.DataFrame, estimates: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `ranking.ranking` with a row for each estimate at its end, and the column `MEASURED`."""
    if estimates.empty:
        return table
    added = pd.DataFrame(
        {
            VARIANT: estimates["name"],
            "Amount": estimates["amount_label"],
            MEASURED: NO,
            "Times dense": estimates["times_dense"],
            INTERVAL: [interval_of(row) for row in estimates.to_dict("records")],
            PACKED.title: estimates["packed_mb"],
            **{title: estimates[column] for column, title in COLUMNS.items() if title in table},
            "Perplexity": estimates[PERPLEXITY],
            "Chain": estimates["chain"],
        }
    )
    marked = table.copy()
    marked.insert(2, MEASURED, YES)
    return pd.concat([marked, added.reindex(columns=marked.columns)], ignore_index=True)
