"""From paired differences to the dense model (`core.analysis.differences`) to what charts and tables show of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import pandas as pd

from core.analysis.differences import FIGURES
from core.analysis.reporting import (
    UNADJUSTED,
    end_words,
    interval_words,
    p_words,
    point_words,
    ratio_words,
    verdict_text,
)
from core.analysis.seven import MEAN
from core.analysis.verdicts import SIGNIFICANT
from core.data.cards import TASKS
from core.formatting import format_number
from dashboard.charts.marks import Row
from dashboard.charts.points import is_dense
from dashboard.charts.zeroshot import MEAN_LABEL
from dashboard.sharing import shared

NOT_ALIKE = "the dense model was not measured in the same way"
CANNOT = "cannot be paired"
INTERVAL = UNADJUSTED.capitalize()
COMPARED = ("Number", "This", "Other", "Difference", INTERVAL, "Adjusted p", "This is", "Measured on")


def of_tasks(found: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Return what `scores.score_chart` draws, a row for each one of `shown` that is not the dense model.

    `found` are the differences shown together, and `shown` rows as of `zeroshot.with_mean`. value, low and high are in
    points; `told` is whether the row is better or worse after Holm, and `said` its hover text. Rows that have no pair
    have only `why` not.
    """
    wanted = ["key", "task", "difference", "low", "high", "n", "p", "adjusted", "comparisons", "verdict", "why"]
    compressed = shown[~is_dense(shown)].drop(columns=["value", "low", "high", "spread", "chance"])
    rows = compressed.merge(found.assign(task=task_labels(found))[wanted], on=["key", "task"], how="left")
    rows["why"] = [_why(row) for row in rows.to_dict("records")]
    rows[["value", "low", "high"]] = 100 * rows[["difference", "low", "high"]].astype(float)
    rows["told"] = rows["verdict"].isin(SIGNIFICANT)
    texts = [_points(row) + _verdict(row) for row in rows.to_dict("records")]
    return rows.assign(said=texts).drop(columns="difference")


def lines(both: pd.DataFrame) -> pd.DataFrame:
    """Return by task the accuracies in percent that need no variant: `dense`, and what guessing gets.

    `both` as of `with_baselines`.
    """
    known = both.groupby("task", sort=False)[["chance", "majority"]].first().astype(float)
    dense = both[is_dense(both)].groupby("task")["value"].first().reindex(known.index)
    return 100 * known.assign(dense=dense)


@shared
def below_majority(lines: pd.DataFrame) -> str:
    """Say on which tasks the dense model does worse than one that knows nothing; empty where on none."""
    found = lines[lines["dense"] < lines["majority"]]
    named = [f"{task} ({row['dense']:.1f} against {row['majority']:.1f} %)" for task, row in found.iterrows()]
    if not named:
        return ""
    return (
        f"The dense model is below always naming the most frequent answer on {' and '.join(named)}, so what a variant "
        "gains or loses there says little of what it knows."
    )


def with_context_series(
    drawn: pd.DataFrame, both: pd.DataFrame, lines: pd.DataFrame, shown: Collection[str]
) -> pd.DataFrame:
    """Return `of_tasks` with those of `both` behind it that are not `shown`, as plain differences in points."""
    rest = both[~both["series"].isin(shown) & ~is_dense(both)]
    value = 100 * rest["value"] - rest["task"].map(lines["dense"]).astype(float)
    said = [f"{points:+.1f} points" for points in value]
    rest = rest.assign(value=value, low=math.nan, high=math.nan, told=False, said=said, lit=False)
    return pd.concat([drawn.assign(lit=True), rest[rest["value"].notna()]], ignore_index=True)


def as_they_are(both: pd.DataFrame, shown: Collection[str]) -> pd.DataFrame:
    """Return the accuracies of `both` in percent as `scores.score_chart` draws them, those in colour that are shown."""
    rows = both[~is_dense(both)]
    rows = rows.assign(**{name: 100 * rows[name] for name in ("value", "low", "high")})
    said = [
        f"{row['value']:.1f} % ({row['metric']}), bar from {row['low']:.1f} to {row['high']:.1f} %"
        for row in rows.to_dict("records")
    ]
    return rows.assign(said=said, told=True, lit=rows["series"].isin(shown))


def unpaired(rows: pd.DataFrame) -> str:
    """Return one sentence that names what `of_tasks` has no pair for and says why; empty where all is paired."""
    named: dict[str, list[str]] = {}
    for series, part in rows.groupby("series", sort=False):
        lacking = part[part["why"].notna()]
        if lacking.empty:
            continue
        some = f" in {', '.join(lacking['task'])}" if len(lacking) < len(part) else ""
        named.setdefault(lacking["why"].iloc[0], []).append(f"{series}{some}")
    return "; ".join(f"{', '.join(series)} ({why.rstrip('.')})" for why, series in named.items())


def of_curve(found: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a curve whose `spread` goes on with the ratio to dense and the verdict, where paired."""
    beside = of_points(found, points)
    texts = [_ratio(row) + _verdict(row) if row["paired"] else "" for row in beside.to_dict("records")]
    return points.assign(spread=points["spread"] + pd.Series(texts, index=points.index, dtype=object))


def of_points(found: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return the differences of one number beside each of the points, with their index, and whether they are `paired`.

    `verdict_text` says the verdict in words, and why there is none, as of the accuracies of several seeds.
    """
    rows = found.set_index("key").reindex(points["key"]).set_axis(points.index)
    paired = rows["verdict"].notna()
    missing = points["seeds"].map(lambda seeds: _seeds(seeds) if seeds > 1 else CANNOT)
    figures = rows[list(FIGURES)].astype(float).where(paired)
    texts = pd.Series([verdict_text(row) for row in rows.to_dict("records")], index=rows.index, dtype=object)
    judged = rows[["adjusted", "comparisons", "verdict"]]
    return figures.join(judged).assign(verdict_text=texts.where(paired, missing), paired=paired)


def of_shown(found: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return those of the differences that one of the points shows."""
    return found[found["key"].isin(points["key"])]


def with_baselines(shown: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `zeroshot.with_mean` with the task's `majority`, and `chance` as of the documents scored.

    `found` are differences to the dense model; a task whose answers were not kept has the catalogue's chance, and no
    majority.
    """
    known = found.assign(task=task_labels(found)).groupby("task")[["chance", "majority"]].first().astype(float)
    chance, majority = (shown["task"].map(known[name]) for name in known)
    return shown.assign(chance=chance.fillna(shown["chance"].astype(float)), majority=majority)


def comparison_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return a table of one variant beside another from `core.analysis.differences`, a row a number that both have.

    Perplexities first, then the mean of seven, then tasks; what cannot be paired last.
    """
    rank = found["dataset"].eq(MEAN).map({True: 1, False: 2}).mask(found["metric"] == "perplexity", 0)
    rank += 3 * found["why"].notna()
    rows = [_beside(row) for _, row in found.iloc[rank.argsort(kind="stable")].iterrows()]
    return pd.DataFrame(rows, columns=COMPARED)


def reasons(found: pd.DataFrame) -> list[str]:
    """Return in words why numbers cannot be paired, each once."""
    return [_capital(why) for why in found["why"].dropna().unique()]


def _beside(row: pd.Series) -> tuple[str | None, ...]:
    this, other = row["value"], row["reference"]
    if row["metric"] == "perplexity":
        name, values = f"Perplexity, {row['dataset']}", (format_number(this), format_number(other))
        told = f"x {ratio_words(row['ratio'])}"
        interval = interval_words(row["ratio_low"], row["ratio_high"], ratio_words)
    else:
        task = _label(row["dataset"])
        name = task if row["dataset"] == MEAN else f"{task} ({row['metric']})"
        values = f"{100 * this:.1f} %", f"{100 * other:.1f} %"
        told = point_words(row["difference"])
        interval = interval_words(row["low"], row["high"], end_words)
    if pd.notna(row["why"]):
        return name, *values, None, None, None, CANNOT, row["protocol"]
    return name, *values, told, interval, p_words(row["adjusted"]), verdict_text(row.to_dict()), row["protocol"]


def _label(dataset: str) -> str:
    card = TASKS.get(dataset.partition("@")[0])
    return MEAN_LABEL if dataset == MEAN else card.label if card else dataset


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def task_labels(found: pd.DataFrame) -> pd.Series:
    """Return what charts call the data set of each of these differences."""
    return found["dataset"].map(_label)


def _why(row: Row) -> str | None:
    """Return why a row of a chart has no pair."""
    if row["seeds"] > 1:
        return _seeds(row["seeds"])
    if pd.notna(row["why"]):
        return str(row["why"]).removeprefix(f"{CANNOT}: ")
    return NOT_ALIKE if pd.isna(row["verdict"]) else None


def _points(row: Row) -> str:
    return f"{point_words(row['difference'])} points{_interval(row['low'] / 100, row['high'] / 100, point_words)}"


def _ratio(row: Row) -> str:
    return f"<br>{ratio_words(row['ratio'])} times dense{_interval(row['ratio_low'], row['ratio_high'], ratio_words)}"


def _interval(low: float, high: float, written: Callable[[float], str]) -> str:
    return "" if pd.isna(low) else f"<br>{UNADJUSTED} from {written(low)} to {written(high)}"


def _verdict(row: Row) -> str:
    """Write what is known of a pair; empty where there is none."""
    if pd.isna(row["verdict"]):
        return ""
    if not (p := p_words(row["adjusted"])):
        return f"<br>{verdict_text(row)}"
    several = f", Holm over the {row['comparisons']:.0f} shown" if row["comparisons"] > 1 else ""
    return f"<br>{verdict_text(row)}<br>adjusted p {p if p.startswith('<') else f'= {p}'}{several}"


def _seeds(seeds: int) -> str:
    return f"a mean of {seeds} seeds"
