"""Accuracies of zero-shot tasks and their mean for charts, from tidy rows (`core.analysis.frame`)."""

from __future__ import annotations

import pandas as pd

from core.analysis.seven import MEAN, mean_of, stderr_of
from core.data.cards import SEVEN, TASKS
from dashboard.charts.frames.points import collapsed, is_dense, removals
from dashboard.sharing import shared

MEAN_LABEL = "Mean of seven"
DATASETS = {card.label: name for name, card in TASKS.items()} | {MEAN_LABEL: MEAN}  # of the labels of tasks
SHOTS = ["origin", "fewshot", "prompts"]  # identify measured zero-shot rows
SCORED = ["key", "series_label", "limit", "fewshot"]  # equal for the seven tasks of a mean


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
def seven_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seven tasks (key, label, where, mean, stderr) of each variant that has all seven."""
    wanted = rows["dataset"].map({name: TASKS[name].metric for name in SEVEN})
    of_seven = rows[rows["metric"] == wanted].drop_duplicates([*SCORED, "dataset"], keep="last")
    size = of_seven.groupby(SCORED, dropna=False)["dataset"].transform("size")
    whole = of_seven[size == len(SEVEN)]
    if whole.empty:
        return pd.DataFrame(columns=["key", "series_label", "amount_label", "mean", "stderr"])
    group = whole.groupby(SCORED, dropna=False, sort=False).ngroup()
    task = whole["dataset"].map(SEVEN.index)
    whole = whole.assign(group=group, task=task).sort_values(["group", "task"])
    first = whole.iloc[:: len(SEVEN)]
    values, errors, n = (whole[name].to_numpy(float).reshape(-1, len(SEVEN)) for name in ("value", "stderr", "n"))
    means = pd.DataFrame(
        {
            "key": first["key"],
            "series_label": first["series_label"],
            "amount_label": removals(first),
            "mean": mean_of(values),
            "stderr": stderr_of(errors),
        }
    )
    # Of several protocols, the first one with the most documents counts.
    most = means.assign(n=n.sum(axis=1)).sort_values("n", ascending=False, kind="stable").drop_duplicates(SCORED[:2])
    shown = rows[SCORED[:2]].drop_duplicates()
    return shown.merge(most.drop(columns="n"), on=SCORED[:2])[list(means)]


def in_percent(points: pd.DataFrame) -> pd.DataFrame:
    """Convert the values of points from shares to percent."""
    return points.assign(**{name: 100 * points[name].astype(float) for name in ("value", "low", "high")})


def over_seeds(means: pd.DataFrame) -> tuple[float, float, float]:
    """Return the mean of one point's `seven_means` and its ends: one standard error away, or the range over seeds."""
    values, stderr = means["mean"], means["stderr"].fillna(0.0).iloc[0]
    value = float(values.mean())
    return (value, values.min(), values.max()) if len(means) > 1 else (value, value - stderr, value + stderr)


def with_mean(shown: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return `accuracies` with the mean of seven as the last task, for the points that `seven_means` has."""
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
