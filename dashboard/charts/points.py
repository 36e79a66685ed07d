"""From tidy rows (`core.analysis.frame`) to what charts and tables show: DataFrame in, DataFrame out."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Hashable, Sequence

import pandas as pd

from core.analysis.frame import COUNTED
from core.analysis.seven import mean_of_seven
from core.data.cards import TASKS
from core.registry import METHODS
from core.results import Measurement, Result
from core.specs import RunSpec
from core.words import amount

GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # ratios that Explore offers to fill
OPTIONAL = ("GMACs", "Read (ms a token)", "Write (ms a token)", "Peak memory (MB)")  # shown where any is known
TRAINED = {method.name for method in METHODS if method().reads == "training"}  # their text is no calibration
POINT_COLUMNS = ["series", "method", "ratio", "pattern", "key", "where", "value", "low", "high", "seeds", "spread"]
POINT_COLUMNS += ["recovery", "untuned"]  # what it was trained with, and the series that it was trained from


def scored(rows: pd.DataFrame) -> set[str]:
    """Return the keys of the compressed variants with zero-shot accuracies."""
    return set(headline(rows[~is_dense(rows)])["key"])


def texts(frame: pd.DataFrame, here: str | None = None) -> dict[str, tuple[str, str]]:
    """Return the perplexity protocols in the frame: what users read -> (corpus, protocol id).

    First the one with most points whose accuracies are known, so that a curve and the accuracies under it are of the
    same models; then the corpus that is `here`, then the one with most points.
    """
    rows = frame[(frame["metric"] == "perplexity") & frame["window"].notna()]  # LAMBADA's own has none
    known = scored(frame)
    found: dict[str, tuple[str, str]] = {}

    def rank(item: tuple[tuple[Hashable, ...], pd.DataFrame]) -> tuple:
        (dataset, _), part = item
        return -part["key"].isin(known).sum(), dataset != here, -len(part), item[0]

    for (dataset, protocol), part in sorted(rows.groupby(["dataset", "protocol_id"]), key=rank):
        first = part.iloc[0]
        name = text_name(str(dataset), first["window"], first["windows"])
        while name in found:  # the same text and windows in another dtype or version
            name += f" ({first['protocol']})"
        found[name] = (str(dataset), str(protocol))
    return found


def text_name(corpus: str, window: float, windows: float | None) -> str:
    """Write what a perplexity was measured on: `wikitext2, 16 x 2048 tokens`."""
    return f"{corpus}, {'all' if windows is None or pd.isna(windows) else int(windows)} x {int(window)} tokens"


def link(frame: pd.DataFrame, spec: RunSpec) -> dict[str, str]:
    """Return the address of a run's point on Explore."""
    rows = frame[frame["key"] == spec.variant.key]
    if rows.empty:
        return {}
    first = rows.iloc[0]
    where = {
        "explore_model": first["model"],
        "explore_point": f"{first['label']}, {amount(first['ratio'], first['pattern'])}",
    }
    if spec.perplexity:
        text = spec.perplexity[0]
        where["explore_text"] = text_name(text.corpus, text.window, text.windows)
    if isinstance(first["calibration"], str) and first["method"] not in TRAINED:
        where["explore_calibration"] = first["calibration"]
    if training := trained_on(rows).iloc[0]:
        where["explore_training"] = training
    if first["method"] != "dense":
        where["explore_families"] = first["family"].capitalize()
        where["explore_at"] = amount(first["ratio"], first["pattern"])
    return where


def calibrations(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the calibration sets of the rows: the one with most points among the keys `known`, then with most."""
    return _by_points(rows, rows["calibration"].mask(rows["method"].isin(TRAINED)), known)


def trained_on(rows: pd.DataFrame) -> pd.Series:
    """Return the text that each row's variant was trained on; None without training."""

    def text(row: dict) -> str | None:
        first = [row["calibration"]] if row["method"] in TRAINED else []
        last = [json.loads(row["stages"])[-1].get("text")] if isinstance(row["recovery"], str) else []
        return ", ".join(dict.fromkeys(part for part in [*first, *last] if isinstance(part, str))) or None

    found = [text(row) for row in rows[["method", "calibration", "recovery", "stages"]].to_dict("records")]
    return pd.Series(found, index=rows.index, dtype=object)


def trainings(rows: pd.DataFrame, known: Collection[str] = ()) -> list[str]:
    """Return the training texts of the rows, in the order of `calibrations`."""
    return _by_points(rows, trained_on(rows), known)


def _by_points(rows: pd.DataFrame, texts_there: pd.Series, known: Collection[str]) -> list[str]:
    counts = {text: (part["key"].isin(known).sum(), len(part)) for text, part in rows.groupby(texts_there)}
    return sorted(counts, key=counts.__getitem__, reverse=True)


def made_with(rows: pd.DataFrame, calibration: str | None, training: str | None) -> pd.DataFrame:
    """Return the rows of variants that read no other calibration text than this and were trained on no other text."""
    free = rows["calibration"].isna() | rows["method"].isin(TRAINED)
    trained = trained_on(rows)
    return rows[(free | (rows["calibration"] == calibration)) & (trained.isna() | (trained == training))]


def is_dense(rows: pd.DataFrame) -> pd.Series:
    """Return where a row is of the dense model as it is, and not trained."""
    return (rows["method"] == "dense") & rows["recovery"].isna()


def collapse(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one point for each series, ratio and pattern. Several seeds give their mean, and their range as bars.

    `rows` are of one metric, data set and protocol. `low` and `high` are value -/+ stderr, or the range over seeds.
    """
    points = []
    for _, part in rows.groupby(["label", "ratio", "pattern"], dropna=False, sort=False):
        part = part.sort_values("seed")
        values = part["value"].fillna(math.inf)
        first = part.iloc[0]
        value, seeds = float(values.mean()), len(values)
        if seeds > 1:
            low, high = float(values.min()), float(values.max())
            spread = f", mean of {seeds} seeds from {low:.4g} to {high:.4g}"
        else:
            stderr = float(first["stderr"]) if pd.notna(first["stderr"]) else 0.0
            low, high = value - stderr, value + stderr
            spread = f" ± {stderr:.2g} (standard error)" if stderr else ""
        pattern = first["pattern"] if isinstance(first["pattern"], str) else None
        where = amount(first["ratio"], pattern)
        fixed = [first["label"], first["method"], first["ratio"], pattern, first["key"], where, value, low, high, seeds]
        counted = part[list(COUNTED)].astype(float).mean()
        recovery = first["recovery"] if isinstance(first["recovery"], str) else None
        untuned = first["untuned"] if recovery else None
        row = dict(zip(POINT_COLUMNS, [*fixed, spread, recovery, untuned], strict=True))
        points.append(row | counted.to_dict())
    return pd.DataFrame(points, columns=[*POINT_COLUMNS, *COUNTED])


def amounts(points: pd.DataFrame) -> list[str]:
    """Return the ratios among the points in ascending order, then the patterns: what the slider offers."""
    ratios = sorted(points.loc[points["pattern"].isna(), "ratio"].dropna().unique())
    patterns = sorted(points["pattern"].dropna().unique(), key=lambda text: [int(part) for part in text.split(":")])
    return [amount(ratio, None) for ratio in ratios] + patterns[::-1]


def headline(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies that papers report: each known task's own metric, with its `task` label and `chance`."""
    cards = frame["dataset"].str.partition("@")[0].map(TASKS)
    known = cards.notna()
    wanted = frame["metric"] == cards.map(lambda card: card.metric, na_action="ignore")
    rows, cards = frame[known & wanted], cards[known & wanted]
    return rows.assign(task=[card.label for card in cards], chance=[card.chance for card in cards])


def one_protocol(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each data set's most frequent protocol, so that no other one shares its axis."""
    most = rows.groupby("dataset")["protocol_id"].transform(lambda ids: ids.mode().iloc[0])
    return rows[rows["protocol_id"] == most]


def at_amount(rows: pd.DataFrame, chosen: str) -> pd.DataFrame:
    """Return the rows of the dense model and of those with `chosen` removed (as `amount` writes it)."""
    amounts_there = [amount(ratio, pattern) for ratio, pattern in zip(rows["ratio"], rows["pattern"], strict=True)]
    return rows[is_dense(rows) | (pd.Series(amounts_there, index=rows.index) == chosen)]


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what `figures.accuracy_dots` draws, seeds collapsed, from `headline` rows of one limit and amount."""
    parts = []
    for _, part in rows.groupby(["task", "chance", "metric"], sort=False):
        first = part.iloc[0]
        parts.append(collapse(part).assign(task=first["task"], chance=first["chance"], metric=first["metric"]))
    return pd.concat(parts) if parts else pd.DataFrame()


def seven_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each variant's mean over the seven tasks (key, label, where, mean, stderr), where it has all seven."""
    means = []
    for (key, label), part in rows.groupby(["key", "label"], sort=False):
        found = mean_of_seven(_measurement(row) for row in part.to_dict("records"))
        if found:
            means.append((key, label, amount(part["ratio"].iloc[0], part["pattern"].iloc[0]), *found))
    return pd.DataFrame(means, columns=["key", "label", "where", "mean", "stderr"])


def _measurement(row: dict) -> Measurement:
    known = {name: None if pd.isna(row[name]) else row[name] for name in ("stderr", "limit", "fewshot")}
    protocol = {"limit": known["limit"], "fewshot": known["fewshot"]}
    numbers = {"value": row["value"], "stderr": known["stderr"], "n": int(row["n"])}
    return Measurement(metric=row["metric"], dataset=row["dataset"], protocol=protocol, **numbers)


def with_mean(shown: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `accuracies` with a last row of tasks, the mean of seven, for the points that have all seven."""
    means = seven_means(rows)
    added = []
    for series, part in shown.groupby("series", sort=False):
        mine = means[means["label"] == series]
        if mine.empty:
            continue
        value, values = mine["mean"].mean(), mine["mean"]
        if len(mine) > 1:
            low, high, spread = values.min(), values.max(), f", mean of {len(mine)} seeds"
        else:
            stderr = mine["stderr"].fillna(0.0).iloc[0]
            low, high, spread = value - stderr, value + stderr, f" ± {stderr:.2g} (standard error)"
        row = {"task": "Mean of seven", "chance": None, "metric": "as the papers take it", "value": value}
        added.append(part.iloc[0].to_dict() | row | {"low": low, "high": high, "spread": spread})
    return pd.concat([shown, pd.DataFrame(added)], ignore_index=True) if added else shown


def comparison(points: pd.DataFrame, means: pd.DataFrame, dense: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the points beside the dense model, dense first.

    `means` as of `seven_means`; a point of several seeds shows the mean of those that have it, as charts do.
    """
    rows = pd.concat([dense, points.sort_values(["series", "ratio", "pattern"], na_position="first")])
    by_point = means.groupby(["label", "where"])["mean"].mean()
    mean = by_point.reindex(pd.MultiIndex.from_frame(rows[["series", "where"]])).set_axis(rows.index)
    base = float(dense["value"].iloc[0]) if len(dense) else math.nan
    base_mean = float(mean.iloc[0]) if len(dense) else math.nan
    table = pd.DataFrame(
        {
            "Method": rows["series"],
            "Removed": rows["where"].replace("nothing removed", "0 %"),
            "Perplexity": rows["value"],
            "vs dense": rows["value"] - base,
            "Mean accuracy (%)": 100 * mean,
            "Accuracy vs dense": 100 * (mean - base_mean),
            "Parameters (M)": rows["parameters"],
            "GMACs": rows["gmacs"],
            "Packed MB": rows["packed_mb"],
            "Bits per weight": rows["bits_per_weight"],
            "Model removed (%)": 100 * rows["model_removed"],
            "Read (ms a token)": rows["prefill_ms"],
            "Write (ms a token)": rows["decode_ms"],
            "Peak memory (MB)": rows["memory_mb"],
            "Seeds": rows["seeds"],
        }
    ).reset_index(drop=True)
    unknown = [name for name in OPTIONAL if table[name].isna().all()]
    return table.drop(columns=unknown)


SPEEDS = {"prefill": "Read a token (ms)", "decode": "Write a token (ms)", "memory": "Peak memory (MB)"}


def speeds(result: Result, dense: Result | None) -> pd.DataFrame:
    """Return a variant's latency and peak memory by batch size beside the dense model's on the same kind of device."""

    def device(row: Measurement) -> str | None:
        return row.details.get("device")

    rows = []
    for row in result.measurements:
        if row.metric not in SPEEDS:
            continue
        twin = dense.measurement(row) if dense else None
        base = twin.value if twin and device(twin) == device(row) else math.nan
        ratio = base / row.value
        rows.append((SPEEDS[row.metric], row.protocol["batch"], row.value, base, ratio))
    return pd.DataFrame(rows, columns=["What", "Batch", "Measured", "Dense", "Dense / measured"])


def missing(
    points: pd.DataFrame, methods: Sequence[str], patterns: Sequence[str] = ()
) -> list[tuple[str, float | None, str | None]]:
    """Return (method, ratio, pattern) that the grid has and the points of plain methods do not."""
    known = {method.name: method for method in METHODS}
    ratios = sorted(
        {*GRID, *(round(float(ratio), 6) for ratio in points.loc[points["pattern"].isna(), "ratio"].dropna())}
    )
    wanted: list[tuple[str, float | None, str | None]] = []
    for method in methods:
        if method not in known:
            continue
        have = points[(points["method"] == method) & (points["series"] == known[method].label)]
        most = known[method].highest_offered
        ratios_there = {round(float(ratio), 6) for ratio in have.loc[have["pattern"].isna(), "ratio"]}
        wanted += [(method, ratio, None) for ratio in ratios if 0 < ratio <= most and ratio not in ratios_there]
        if not known[method].patterns:
            continue
        kept = {pattern: [int(part) for part in pattern.split(":")] for pattern in patterns}
        wanted += [
            (method, 1 - n / m, pattern) for pattern, (n, m) in kept.items() if pattern not in set(have["pattern"])
        ]
    return wanted
