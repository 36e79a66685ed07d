"""Paired differences to the dense model (`core.findings.numbers.differences`) in the form of charts and tables."""

import math
from collections.abc import Callable, Collection

import pandas as pd

from core import metrics
from core.data.cards import TASKS
from core.data.texts import called
from core.findings.numbers.differences import FIGURES
from core.findings.numbers.reporting import (
    ONE_ANSWER,
    UNADJUSTED,
    TableRow,
    flips_with_intervals,
    form_of,
    listed,
    marked_verdict,
    p_words,
    point_words,
    ratio_words,
    value_words,
    verdict_text,
)
from core.findings.numbers.seven import ABOVE_CHANCE, MEAN
from core.findings.numbers.verdicts import CONTAINED, SEEDS, SIGNIFICANT, TWO_MODELS
from core.findings.rows.other_texts import times_dense
from core.findings.rows.points import is_dense
from core.findings.rows.zeroshot import DATASETS, MEAN_LABEL, in_percent, unit_of
from core.notation.formatting import capitalise

NOT_ALIKE = "no dense result under the same protocol"
CANNOT = "cannot be paired"
OF_SEEDS = {
    CONTAINED: "interval with the variance between seeds",
    TWO_MODELS: "of these two models, without other seeds",
}
MEANS = {ABOVE_CHANCE: MEAN_LABEL, MEAN: "Mean of seven"}
INTERVAL = UNADJUSTED.capitalize()
FLIPS = "Right only in first, second"
ON_TEXT = ("perplexity", *metrics.MEANS)  # metrics in this order
COMPARED = ("Metric", "First", "Second", "First is", "Difference", INTERVAL, FLIPS, "Adjusted p", "Measured on")


def of_tasks(found: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `scores.score_chart` for the compressed variants.

    `found` are differences to dense, adjusted together, and `shown` accuracies as of `zeroshot.with_mean`.

    Returns:
        Rows with the difference in value, low and high, as shares; `significant` after Holm's correction; `hover_text`.
        Rows without a pair have only `unpaired_reason`.
    """
    wanted = ["key", "task", "difference", "low", "high", "n", "p", "p_adjusted", "comparisons", "verdict"]
    wanted += ["unpaired_reason", "one_answer", SEEDS]
    compressed = shown[~is_dense(shown)].drop(columns=["value", "low", "high", "spread", "chance"])
    rows = compressed.merge(found.assign(task=task_labels(found))[wanted], on=["key", "task"], how="left")
    rows["unpaired_reason"] = [_why(row) for row in rows.to_dict("records")]
    rows[["value", "low", "high"]] = rows[["difference", "low", "high"]].astype(float)
    rows["significant"] = rows["verdict"].isin(SIGNIFICANT)
    texts = [_points(row) + _verdict(row) for row in rows.to_dict("records")]
    return rows.assign(hover_text=texts).drop(columns="difference")


def lines(both: pd.DataFrame) -> pd.DataFrame:
    """Return the baselines of each task in percent: `dense`, `chance` and `majority`.

    `both` as of `with_baselines`.
    """
    known = both.groupby("task", sort=False)[["chance", "majority"]].first().astype(float)
    dense = both[is_dense(both)].groupby("task")["value"].first().reindex(known.index)
    return 100 * known.assign(dense=dense)


def with_context_series(
    drawn: pd.DataFrame, both: pd.DataFrame, lines: pd.DataFrame, shown: Collection[str]
) -> pd.DataFrame:
    """Return `of_tasks` with the other series of `both` as context: unpaired differences."""
    rest = both[~both["series_label"].isin(shown) & ~is_dense(both)]
    value = rest["value"] - rest["task"].map(lines["dense"]).astype(float) / 100
    hover_text = [f"{100 * share:+.1f} points" for share in value]
    rest = rest.assign(value=value, low=math.nan, high=math.nan, significant=False, hover_text=hover_text)
    rest = rest[rest["value"].notna()].assign(highlighted=False)
    return pd.concat([drawn.assign(highlighted=True), rest], ignore_index=True)


def as_they_are(both: pd.DataFrame, shown: Collection[str]) -> pd.DataFrame:
    """Return the accuracies of `both` for `scores.score_chart`; the `shown` series are highlighted."""
    rows = both[~is_dense(both)]
    hover_text = [
        f"{row['value']:.1f} {unit_of(row['task'])} ({row['metric']}), bar from {row['low']:.1f} to {row['high']:.1f} %"
        for row in in_percent(rows).to_dict("records")
    ]
    return rows.assign(hover_text=hover_text, significant=True, highlighted=rows["series_label"].isin(shown))


def exported(rows: pd.DataFrame, difference: bool) -> pd.DataFrame:
    """Return the rows of `scores.score_chart` with the columns and units of `slimscope results --csv`."""
    names = {"value": "difference", "low": "difference_low", "high": "difference_high"} if difference else {}
    drawn = ["key", "spread", "task", "hover_text", "significant", "highlighted"]
    return rows.assign(dataset=rows["task"].map(DATASETS)).drop(columns=drawn, errors="ignore").rename(columns=names)


def unpaired(rows: pd.DataFrame) -> str:
    """Return the series without a pair in `of_tasks`, with the reasons; empty if all have one."""
    named: dict[str, list[str]] = {}
    for series, part in rows.groupby("series_label", sort=False):
        lacking = part[part["unpaired_reason"].notna()]
        if lacking.empty:
            continue
        some = f" in {', '.join(lacking['task'])}" if len(lacking) < len(part) else ""
        named.setdefault(lacking["unpaired_reason"].iloc[0], []).append(f"{series}{some}")
    return "; ".join(f"{', '.join(series)} ({why.rstrip('.')})" for why, series in named.items())


def one_answer_words(rows: pd.DataFrame) -> str:
    """Name the variants in `of_tasks` that give nearly all documents of a task one answer; empty without any."""
    marked = rows[rows["one_answer"].astype(float) > ONE_ANSWER]
    named = [
        f"{row['series_label']} on {row['task']} ({100 * row['one_answer']:.0f} % of the documents)"
        for row in marked.to_dict("records")
    ]
    return f"One answer nearly always: {listed(named)}." if named else ""


def of_curve(found: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a curve; `spread`, part of the hover text, gets the ratio to dense and the verdict."""
    pairs = of_points(found, points)
    texts = [_ratio(row) + _verdict(row) if row["paired"] else "" for row in pairs.to_dict("records")]
    return points.assign(spread=points["spread"] + pd.Series(texts, index=points.index, dtype=object))


def over_dense(found: pd.DataFrame, points: pd.DataFrame, dense: float) -> pd.DataFrame:
    """Return points as multiples of a dense perplexity, with the intervals of their paired differences, if any."""
    shown, pairs = times_dense(points, dense), of_points(found, points)
    ends = {end: pairs[f"ratio_{end}"].fillna(shown["value"]) for end in ("low", "high")}
    return shown.assign(**ends, spread=shown["spread"].mask(pairs["paired"], points["spread"]))


def of_points(found: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return the differences in one metric for the points, with their index, and whether they are `paired`.

    `verdict_text` has the verdict, or the reason why there is none, such as several seeds.
    """
    rows = found.set_index("key").reindex(points["key"]).set_axis(points.index)
    paired = rows["verdict"].notna()
    missing = points["seeds"].map(lambda seeds: _seeds(seeds) if seeds > 1 else CANNOT)
    figures = rows[list(FIGURES)].astype(float).where(paired)
    judged = rows[["p_adjusted", "comparisons", "verdict", SEEDS]]
    written = judged.assign(unpaired_reason=rows["unpaired_reason"]).to_dict("records")
    texts = pd.Series([verdict_text(row) for row in written], index=rows.index, dtype=object)
    return figures.join(judged).assign(verdict_text=texts.where(paired, missing), paired=paired)


def of_shown(found: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Return the differences of variants among the points."""
    return found[found["key"].isin(points["key"])]


def with_baselines(shown: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `zeroshot.with_mean` with the `majority` and `chance` accuracies on the scored documents.

    `found` are differences to the dense model. A task without stored answers has the catalogue's chance and no
    majority.
    """
    known = found.assign(task=task_labels(found)).groupby("task")[["chance", "majority"]].first().astype(float)
    chance, majority = (shown["task"].map(known[name]) for name in known)
    return shown.assign(chance=chance.fillna(shown["chance"].astype(float)), majority=majority)


def comparison_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table that compares two variants (`core.findings.numbers.differences`): a row per common metric."""
    return pd.DataFrame([_compared(row) for _, row in in_order(found).iterrows()], columns=COMPARED)


def in_order(found: pd.DataFrame) -> pd.DataFrame:
    """Return differences in the order of `ON_TEXT`, means, then tasks; unpaired metrics are last."""
    rank = found["dataset"].map({ABOVE_CHANCE: len(ON_TEXT), MEAN: len(ON_TEXT) + 1}).fillna(len(ON_TEXT) + 2)
    rank = found["metric"].map({metric: place for place, metric in enumerate(ON_TEXT)}).fillna(rank)
    rank += (len(ON_TEXT) + 3) * found["unpaired_reason"].notna()
    return found.iloc[rank.argsort(kind="stable")]


def number_name(row: pd.Series | TableRow) -> str:
    """Return the name of a number: `Perplexity on WikiText-2`, `Mean above chance`, `PIQA (acc)`."""
    task, metric = _label(row["dataset"]), metrics.metric(row["metric"])
    if metric.on == "windows":
        return f"{metric.label} on {task}"
    return task if row["dataset"] in MEANS else f"{task} ({row['metric']})"


def number_words(row: pd.Series | TableRow, column: str) -> str:
    """Write the number of one of two variants, in the column `value` or `reference`."""
    if row["dataset"] == ABOVE_CHANCE:
        return f"{100 * row[column]:.1f} points"
    return value_words(row["metric"], row[column])


def reasons(found: pd.DataFrame) -> list[str]:
    """Return the reasons why metrics cannot be paired, each once."""
    return [f"{capitalise(why.rstrip('.'))}." for why in found["unpaired_reason"].dropna().unique()]


def _compared(row: pd.Series) -> tuple[str | None, ...]:
    name, values = number_name(row), (number_words(row, "value"), number_words(row, "reference"))
    if pd.notna(row["unpaired_reason"]):
        return name, *values, CANNOT, None, None, None, None, row["protocol"]
    difference, interval = form_of(row["metric"]).words(row.to_dict())
    more = flips_with_intervals(row) or None, p_words(row["p_adjusted"]), row["protocol"]
    return name, *values, marked_verdict(row.to_dict()), difference, interval, *more


def _label(dataset: str) -> str:
    card = TASKS.get(dataset.partition("@")[0])
    return MEANS.get(dataset) or (card.label if card else called(dataset))


def task_labels(found: pd.DataFrame) -> pd.Series:
    """Return the display name of the data set of each difference."""
    return found["dataset"].map(_label)


def _why(row: TableRow) -> str | None:
    """Return the reason why a row of a chart has no pair; None if it has one."""
    if row["seeds"] > 1:
        return _seeds(row["seeds"])
    if pd.notna(row["unpaired_reason"]):
        return str(row["unpaired_reason"]).removeprefix(f"{CANNOT}: ")
    return NOT_ALIKE if pd.isna(row["verdict"]) else None


def _points(row: TableRow) -> str:
    return f"{point_words(row['difference'])} points{_interval(row['low'], row['high'], point_words)}"


def _ratio(row: TableRow) -> str:
    return f"<br>{ratio_words(row['ratio'])} times dense{_interval(row['ratio_low'], row['ratio_high'], ratio_words)}"


def _interval(low: float, high: float, written: Callable[[float], str]) -> str:
    return "" if pd.isna(low) else f"<br>{UNADJUSTED} from {written(low)} to {written(high)}"


def _verdict(row: TableRow) -> str:
    """Return the verdict with its adjusted p for a hover text; empty without a pair."""
    if pd.isna(row["verdict"]):
        return ""
    meaning = "" if pd.isna(row[SEEDS]) else f"<br>{OF_SEEDS[row[SEEDS]]}"
    if not (p := p_words(row["p_adjusted"])):
        return f"<br>{marked_verdict(row)}{meaning}"
    several = f", Holm over the {row['comparisons']:.0f} shown" if row["comparisons"] > 1 else ""
    return f"<br>{marked_verdict(row)}<br>adjusted p {p if p.startswith('<') else f'= {p}'}{several}{meaning}"


def _seeds(seeds: int) -> str:
    return f"a mean of {seeds} seeds"
