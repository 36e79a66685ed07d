"""The series and the families of one model, from its tidy rows (`core.findings.numbers.frame`).

Variants without a pruning ratio of all block weights are left out: quantised models, N:M sparsity, factored embeddings,
and variants with only some compressed layers. Of several protocols, a metric has the one of most rows.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from core.base.errors import UserError, echo
from core.data.cards import SEVEN, TASKS
from core.data.texts import called
from core.findings.best.budget import meaningful
from core.findings.laws.groups import MILLION, Group, broken, points, size_of
from core.findings.numbers.reporting import listed
from core.findings.numbers.seven import ABOVE_CHANCE, chance_of, counted_tasks, of_rows
from core.findings.rows.choices import by_share
from core.findings.rows.points import is_dense
from core.findings.sharing import shared
from core.notation.chain import DENSE
from core.specs import EXTERNAL, Perplexity, TextWindows

LEAST_OF_SERIES, LEAST_OF_FAMILY = 4, 3  # distinct ratios, including the dense model's 0
TRAINED = " and trained"
PERPLEXITY, ACCURACY = "perplexity", "accuracy"
METRICS = (PERPLEXITY, ACCURACY, *TASKS)


@shared
def of_perplexities(rows: pd.DataFrame) -> tuple[Group, ...]:
    """Return the groups of one model's perplexities on one text under one protocol."""
    if rows.empty:
        return ()
    first = rows.iloc[0]
    return _groups(rows, f"perplexity on {called(str(first['dataset']))}, {first['protocol']}", loss=True)


@shared
def of_means(rows: pd.DataFrame, documents: str) -> tuple[Group, ...]:
    """Return the groups of one model's `means` on the same documents."""
    named = ABOVE_CHANCE if rows.empty else f"{ABOVE_CHANCE} of {rows['tasks'].iloc[0]}"
    return of_accuracies(rows, f"{named}, {documents}")


def of_accuracies(rows: pd.DataFrame, metric: str) -> tuple[Group, ...]:
    """Return the groups of one accuracy of one model, that of a task or of `means`, on the same documents."""
    return _groups(rows, metric, loss=False)


@shared
def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean above chance of each variant that has all counted tasks on the same documents.

    `rows` are one model's. `task` names the tasks (`core.findings.numbers.seven.counted_tasks`).
    """
    wanted = rows["dataset"].map({name: TASKS[name].metric for name in SEVEN})
    scored = rows[rows["metric"] == wanted].drop_duplicates(["key", "dataset", "protocol_id"])
    protocols = scored.groupby(["limit", "fewshot", "scoring"], dropna=False, sort=False)
    parts = [_mean_above_chance(part) for _, part in protocols]
    return pd.concat(parts, ignore_index=True) if parts else scored.assign(tasks="")


def _mean_above_chance(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the means of variants under one protocol; none without the dense model."""
    tasks = counted_tasks(of_rows(scored[is_dense(scored)]))
    rows = scored[scored["dataset"].isin(tasks)]
    values = rows.groupby("key", sort=False)["value"]
    named = listed([TASKS[name].label for name in tasks])
    rows = rows.assign(
        value=values.transform("mean") - (chance_of(tasks) if tasks else 0),
        metric="acc",
        dataset=ABOVE_CHANCE,
        tasks=named,
    )
    return rows[values.transform("size") == len(tasks)].drop_duplicates("key")


def _groups(rows: pd.DataFrame, metric: str, loss: bool) -> tuple[Group, ...]:
    """Return the families, then the series.

    Variants that differ only in their seed become one point, their mean. A family has one group without trained
    variants and, if it has trained ones, a second group with all variants. Variants of a series differ only in the
    ratio. Some groups may have too few ratios for a law (`Group.enough`).
    """
    dense = rows[is_dense(rows)]
    if dense.empty:
        return ()
    model, base, found = str(dense["model"].iloc[0]), float(dense["value"].mean()), _points(rows)
    origin = pd.DataFrame([{"series": DENSE, "parts": DENSE, "ratio": 0.0, "value": base, "tokens": 0.0}])
    every = pd.concat([origin, found], ignore_index=True)
    every = every.assign(model=model, dense=base, parameters=size_of(model))
    lost = broken(every["value"], float(meaningful(base)), loss).to_numpy()
    every, groups = points(every, loss), []
    for name, of, least in _named(found):
        chosen = np.concatenate([[True], of.to_numpy()])
        kept, dropped = every[chosen & ~lost].reset_index(drop=True), int((chosen & lost).sum())
        groups.append(Group(model, metric, name, loss, kept, dropped, least))
    return tuple(groups)


def _named(rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series, int]]:
    """Yield the name of each group, a mask of its points and the number of ratios that it needs."""
    alone = rows["tokens"] == 0
    for family in rows.loc[~rows["family"].isin(EXTERNAL), "family"].unique():
        of, name = rows["family"] == family, str(family).capitalize()
        yield name, of & alone, LEAST_OF_FAMILY
        if not alone[of].all():
            yield name + TRAINED, of, LEAST_OF_FAMILY
    for series in rows["series"].unique():
        yield str(series), rows["series"] == series, LEAST_OF_SERIES


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """Return family, series, parts, ratio, tokens and value of each point with a pruning ratio of all blocks."""
    rows = by_share(rows)
    rows = rows[rows["pattern"].isna() & (rows["ratio"] > 0)]
    texts = [", ".join(filter(pd.notna, both)) for both in zip(rows["calibration"], rows["train"], strict=True)]
    rows = rows.assign(texts=texts, tokens=rows["train"].map(_tokens).astype(float))
    several = rows.groupby("series_label")["texts"].transform("nunique") > 1
    rows = rows.assign(
        series=rows["series_label"].where(~several, rows["series_label"].str.cat(rows["texts"], sep=", "))
    )
    same = rows.groupby(["family", "series", "parts", "ratio", "tokens"], sort=False)
    return same["value"].mean().reset_index().sort_values("ratio", kind="stable", ignore_index=True)


def _tokens(text: str | None) -> float:
    """Return the tokens of training data in millions."""
    read = TextWindows.parse(text) if isinstance(text, str) else None
    return read.windows * read.window / MILLION if read else 0.0


def check_metric(metric: str) -> None:
    """Raise `UserError` if a metric is unknown."""
    if metric not in METRICS:
        raise UserError(
            f"Metric {echo(metric)} is not {PERPLEXITY}, {ACCURACY} (the mean above chance) or a task: "
            f"{', '.join(TASKS)}."
        )


def select_groups(rows: pd.DataFrame, metric: str, text: Perplexity | None = None) -> tuple[Group, ...]:
    """Return the groups of one model's tidy rows.

    `metric` is PERPLEXITY, ACCURACY (the mean above chance) or a task, in the metric that papers report. The default
    `text` of a perplexity is that of most rows.
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
