"""Selection of the numbers to fit for a metric: those under the protocol that most rows have."""

import pandas as pd

from core.base.errors import UserError, echo
from core.data.cards import TASKS
from core.findings.laws.groups import Group
from core.findings.laws.measured import means, of_accuracies, of_means, of_perplexities
from core.specs import Perplexity

PERPLEXITY, ACCURACY = "perplexity", "accuracy"
METRICS = (PERPLEXITY, ACCURACY, *TASKS)


def check_metric(metric: str) -> None:
    """Raise `UserError` if a metric is unknown."""
    if metric not in METRICS:
        raise UserError(
            f"Metric {echo(metric)} is not {PERPLEXITY}, {ACCURACY} (the mean above chance) or a task: "
            f"{', '.join(TASKS)}."
        )


def select_groups(rows: pd.DataFrame, metric: str, text: Perplexity | None = None) -> tuple[Group, ...]:
    """Return the groups of one model's tidy rows.

    Args:
        rows: The tidy rows of one model.
        metric: PERPLEXITY, ACCURACY (the mean above chance) or a task, in the metric that papers report.
        text: The text and windows of the perplexity; default: those of most rows.
    """
    if metric == PERPLEXITY:
        return of_perplexities(_of_most(_of_text(rows, text), ["dataset", "protocol_id"]))
    if metric == ACCURACY:
        found = _of_most(means(rows), ["limit", "fewshot", "scoring"])
        return of_means(found, _documents(found))
    of_task = rows["dataset"].str.partition("@")[0].eq(metric) & rows["metric"].eq(TASKS[metric].metric)
    found = _of_most(rows[of_task], ["dataset", "protocol_id"])
    card = TASKS[metric]
    found = found.assign(value=found["value"] - card.chance)
    return of_accuracies(found, f"{card.metric} of {card.label} above chance, {_documents(found)}")


def _of_text(rows: pd.DataFrame, text: Perplexity | None) -> pd.DataFrame:
    found = rows[(rows["metric"] == PERPLEXITY) & rows["window"].notna()]  # LAMBADA's perplexity has no window
    if text is None:
        return found
    windows = found["windows"].isna() if text.windows is None else found["windows"] == text.windows
    alike = windows & (found["spread_windows"] == text.spread)
    return found[(found["dataset"] == text.corpus) & (found["window"] == text.window) & alike]


def _of_most(rows: pd.DataFrame, same: list[str]) -> pd.DataFrame:
    """Return the rows with the most frequent combination of values in these columns."""
    if rows.empty:
        return rows
    group = rows.groupby(same, dropna=False, sort=False).ngroup()
    return rows[group == group.mode().iloc[0]]


def _documents(rows: pd.DataFrame) -> str:
    limit = None if rows.empty else rows["limit"].iloc[0]
    return "all documents" if limit is None or pd.isna(limit) else f"first {int(limit)} documents"
