"""Accuracies of zero-shot tasks and their mean for charts, from tidy rows (`core.findings.numbers.frame`)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from core.data.cards import SEVEN, TASKS
from core.findings.numbers.frame import format_precision
from core.findings.numbers.seven import ABOVE_CHANCE, Accuracy, chance_of, counted_tasks, mean_of, of_rows, stderr_of
from core.findings.rows.points import collapsed, is_dense, removals
from core.findings.sharing import shared
from core.specs import DTYPES

MEAN_LABEL = "Mean above chance"
DATASETS = {card.label: name for name, card in TASKS.items()} | {MEAN_LABEL: ABOVE_CHANCE}  # of the labels of tasks
SHOTS = ["origin", "fewshot", "prompts"]  # identify measured zero-shot rows
SCORED = ["key", "series_label", "limit", "fewshot"]  # equal for the tasks of a mean


def headline(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies that papers report: each known task's own metric, with its `task` label and `chance`.

    Measured few-shot accuracies are excluded.
    """
    frame = frame[(frame["origin"] != "measured") | ((frame["prompts"] == "") & ~(frame["fewshot"] > 0))]
    named = {str(name): TASKS.get(str(name).partition("@")[0]) for name in frame["dataset"].unique()}
    cards = {name: card for name, card in named.items() if card}
    rows = frame[frame["metric"] == frame["dataset"].map({name: card.metric for name, card in cards.items()})]
    own = [cards[name] for name in rows["dataset"]]
    return rows.assign(task=[card.label for card in own], chance=[card.chance for card in own])


def scored(rows: pd.DataFrame) -> set[str]:
    """Return the keys of the compressed variants with zero-shot accuracies."""
    few = rows[["key", "metric", "dataset", "method", "recovery", *SHOTS]]  # rows with all columns are slow to filter
    return set(headline(few[~is_dense(few)])["key"])


@shared
def scored_on(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `headline` with the documents per task in `limit` (0: all) and the evaluation precision in `scoring`."""
    rows = headline(frame)
    return rows.assign(limit=rows["limit"].fillna(0.0), scoring=rows["scoring"].fillna(rows["dtype"]))


def one_protocol(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each data set's most frequent protocol, so that protocols never share an axis."""
    if rows.empty:
        return rows
    most = rows.groupby("dataset")["protocol_id"].transform(lambda ids: ids.mode().iloc[0])
    return rows[rows["protocol_id"] == most]


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `dots.accuracy_dots`, seeds collapsed, from `headline` rows of one limit and amount."""
    return collapsed(rows, ["task", "chance", "metric"]).astype({"chance": float}) if len(rows) else pd.DataFrame()


@shared
def means_above_chance(rows: pd.DataFrame, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the mean above chance of each variant that has all counted tasks.

    `rows` are those of `headline`, of one model and with its dense model. By default the tasks count that do for the
    dense model.

    Returns:
        key, series_label, amount_label, mean and stderr in [0, 1]; `mean_of_seven`, NaN if a task lacks.
    """
    tasks = counted_tasks(of_dense(rows)) if tasks is None else tuple(tasks)
    found = _means(rows, tasks)
    seven = _means(rows, SEVEN).rename(columns={"mean": "mean_of_seven"})
    found["mean"] -= chance_of(tasks) if tasks else 0.0
    return found.merge(seven[["key", "series_label", "mean_of_seven"]], on=["key", "series_label"], how="left")


def of_dense(rows: pd.DataFrame) -> dict[str, Accuracy]:
    """Return the dense model's accuracies among rows of `headline`, those on most documents of each task."""
    dense = rows[is_dense(rows) & rows["dataset"].isin(SEVEN)]
    return of_rows(dense.sort_values("n", kind="stable"))


def _means(rows: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Return the mean accuracy (key, series_label, amount_label, mean, stderr) of each variant that has all tasks."""
    wanted = rows["dataset"].map({name: TASKS[name].metric for name in tasks})
    scored = rows[rows["metric"] == wanted].drop_duplicates([*SCORED, "dataset"], keep="last")
    size = scored.groupby(SCORED, dropna=False)["dataset"].transform("size")
    whole = scored[size == len(tasks)]
    if whole.empty:
        return pd.DataFrame(columns=["key", "series_label", "amount_label", "mean", "stderr"])
    group = whole.groupby(SCORED, dropna=False, sort=False).ngroup()
    task = whole["dataset"].map(tasks.index)
    whole = whole.assign(group=group, task=task).sort_values(["group", "task"])
    first = whole.iloc[:: len(tasks)]
    values, errors, n = (whole[name].to_numpy(float).reshape(-1, len(tasks)) for name in ("value", "stderr", "n"))
    means = first[["key", "series_label"]].assign(amount_label=removals(first))
    means = means.assign(mean=mean_of(values), stderr=stderr_of(errors))
    # Of several protocols, the first one with the most documents counts.
    most = means.assign(n=n.sum(axis=1)).sort_values("n", ascending=False, kind="stable").drop_duplicates(SCORED[:2])
    shown = rows[SCORED[:2]].drop_duplicates()
    return shown.merge(most.drop(columns="n"), on=SCORED[:2])[list(means)]


def unit_of(task: str) -> str:
    """Return the unit of an accuracy by its label: points above chance for the mean, else percent."""
    return "points" if task == MEAN_LABEL else "%"


def in_percent(points: pd.DataFrame) -> pd.DataFrame:
    """Convert the values of points from shares to percent."""
    return points.assign(**{name: 100 * points[name].astype(float) for name in ("value", "low", "high")})


def over_seeds(means: pd.DataFrame) -> tuple[float, float, float]:
    """Return the mean of a point's `means_above_chance` and its ends: a standard error away, or the seeds' range."""
    values, stderr = means["mean"], means["stderr"].fillna(0.0).iloc[0]
    value = float(values.mean())
    return (value, values.min(), values.max()) if len(means) > 1 else (value, value - stderr, value + stderr)


def with_mean(shown: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return `accuracies` with the mean above chance as the last task, for the points of `means_above_chance`."""
    by_label = dict(tuple(means.groupby("series_label")))
    added = []
    for first in shown.drop_duplicates("series_label").to_dict("records"):
        if first["series_label"] not in by_label:
            continue
        mine = by_label[first["series_label"]]
        value, low, high = over_seeds(mine)
        spread = f", mean of {len(mine)} seeds" if len(mine) > 1 else f" ± {high - value:.2g} (standard error)"
        row = {"task": MEAN_LABEL, "chance": None, "metric": "mean of each task's own metric", "value": value}
        added.append(first | row | {"low": low, "high": high, "spread": spread})
    return pd.concat([shown, pd.DataFrame(added)], ignore_index=True) if added else shown


class Documents(NamedTuple):
    """The number of scored documents of each task, 0 for all, and the evaluation precision."""

    limit: float
    scoring: str

    def __str__(self) -> str:
        documents = f"first {int(self.limit)} documents" if self.limit else "all documents"
        return f"{documents} of each task, {format_precision(self.scoring)}"

    @property
    def label(self) -> str:
        """The text as an option of a field."""
        return str(self).capitalize()


@shared
def documents_of(rows: pd.DataFrame) -> list[Documents]:
    """Return the documents of compressed variants, or else of all, sorted by number and precision, fp32 first."""
    compressed = rows[~is_dense(rows)]
    there = (compressed if len(compressed) else rows)[["limit", "scoring"]].drop_duplicates()
    found = [Documents(float(limit), scoring) for limit, scoring in there.itertuples(index=False)]
    return sorted(found, key=lambda one: (-(one.limit or math.inf), one.scoring != DTYPES[0], one.scoring))


@shared
def on_documents(rows: pd.DataFrame, documents: Documents) -> pd.DataFrame:
    """Return the rows of `zeroshot.scored_on` on these documents, with one protocol per data set."""
    return one_protocol(rows[(rows["limit"] == documents.limit) & (rows["scoring"] == documents.scoring)])


def first_documents(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `zeroshot.scored_on` on the first of `documents_of`, which pages show by default."""
    first = next(iter(documents_of(rows)), None)
    return rows if first is None else on_documents(rows, first)
