"""From tidy rows (`core.analysis.frame`) to the points that charts and tables show: DataFrame in, DataFrame out."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from core.analysis.frame import COUNTED
from core.analysis.reporting import listed
from core.chain import DENSE
from core.formatting import format_amount
from core.request.stages import DEFAULT_BITS, DEFAULT_FACTOR, DEFAULT_RATIO
from core.specs import IMPORTED
from dashboard.sharing import shared

USUAL = format_amount(DEFAULT_RATIO, None), format_amount(None, DEFAULT_BITS), format_amount(None, DEFAULT_FACTOR)
UNKNOWN_AMOUNT = "amount not told"  # of what was imported without one
POINT_COLUMNS = ["series", "method", "ratio", "pattern", "key", "where", "value", "low", "high", "seeds", "spread"]
POINT_COLUMNS += ["recovery", "untuned"]  # what it was trained with, and the series that it was trained from
POINT_COLUMNS += ["parts", "chain", "open"]  # `series` is the label; `open` the chain with its last amount left open
NUMBERS = ("ratio", "value", "low", "high")


def collapse(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one point for each series, ratio and pattern. Several seeds give their mean, and their range as bars.

    `rows` are of one metric, data set and protocol. `low` and `high` are value -/+ stderr, or the range over seeds.
    """
    return collapsed(rows, [])


def collapsed(rows: pd.DataFrame, beside: list[str]) -> pd.DataFrame:
    """Return what `collapse` does of each of several numbers, which differ in the columns `beside`."""
    if rows.empty:
        return pd.DataFrame(columns=[*POINT_COLUMNS, *COUNTED, *beside])
    ordered = _by_point(rows, beside)
    values = ordered["value"].fillna(math.inf).groupby(ordered["point"]).agg(["mean", "min", "max", "size"])
    counted = ordered[list(COUNTED)].astype(float).groupby(ordered["point"]).mean()
    points = []
    first = ordered.drop_duplicates("point").to_dict("records")
    told, counts = values.itertuples(index=False, name=None), counted.to_dict("records")
    for row, (value, least, most, seeds), of_counted in zip(first, told, counts, strict=True):
        if seeds > 1:
            low, high = least, most
            spread = f", mean of {seeds} seeds from {low:.4g} to {high:.4g}"
        else:
            stderr = float(row["stderr"]) if pd.notna(row["stderr"]) else 0.0
            low, high = value - stderr, value + stderr
            spread = f" ± {stderr:.2g} (standard error)" if stderr else ""
        pattern, recovery, untuned = (_text(row[name]) for name in ("pattern", "recovery", "untuned"))
        where = removed(row)
        fixed = [row["label"], row["method"], row["ratio"], pattern, row["key"], where, value, low, high, seeds]
        made = [recovery, untuned, row["parts"], row["chain"], row["series"]]
        point = dict(zip(POINT_COLUMNS, [*fixed, spread, *made], strict=True))
        points.append(point | of_counted | {name: row[name] for name in beside})
    found = pd.DataFrame(points, columns=[*POINT_COLUMNS, *COUNTED, *beside], dtype=object)
    types = dict.fromkeys((*NUMBERS, *COUNTED), float) | {"seeds": int}
    return found.astype(types).copy()  # which holds all columns of a type together, so that rows are quickly taken


def describe_seeds(points: pd.DataFrame) -> str:
    """Say which points are means over seeds, such as ` SparseGPT and Wanda at 50 %: the mean of 3 seeds and their
    range.`; nothing where none is.
    """
    several = points[points["seeds"] > 1].groupby(["where", "seeds"], sort=False)["series"]
    return "".join(
        f" {listed(list(names.unique()))} at {where}: the mean of {seeds} seeds and their range."
        for (where, seeds), names in several
    )


def _by_point(rows: pd.DataFrame, beside: list[str]) -> pd.DataFrame:
    """Return rows with the number of the `point` that each is of, ordered by these and the seeds."""
    place = rows.groupby(["label", "ratio", "pattern"], dropna=False, sort=False).ngroup()
    if beside:
        number = rows.groupby(beside, sort=False).ngroup()
        place += number * (place.max() + 1)
    return rows.assign(point=place).sort_values(["point", "seed"])


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@shared
def by_seed(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the keys of each point that `collapse` makes of the rows, by seed, the one first that it names."""
    found: dict[int, list[str]] = {}
    if rows.empty:
        return []
    ordered = _by_point(rows[["label", "ratio", "pattern", "seed", "key"]], []).drop_duplicates(["point", "key"])
    for point, key in zip(ordered["point"], ordered["key"], strict=True):
        found.setdefault(point, []).append(key)
    return [tuple(keys) for keys in found.values()]


def is_dense(rows: pd.DataFrame) -> pd.Series:
    """Return where a row is of the dense model as it is, and not trained."""
    return (rows["method"] == DENSE) & rows["recovery"].isna()


@shared
def dense_key(rows: pd.DataFrame) -> str | None:
    """Return the key of the dense model, of several that which has most of the rows; None where none is among them."""
    keys = rows.loc[is_dense(rows), "key"]
    return None if keys.empty else str(keys.mode().iloc[0])


def removed(row: Mapping[Hashable, Any] | pd.Series) -> str:
    """Return how much was removed of a row's variant, as `amount` writes it, or that this was not told."""
    if row["method"] == IMPORTED and pd.isna(row["ratio"]) and not isinstance(row["pattern"], str):
        return UNKNOWN_AMOUNT
    return format_amount(row["ratio"], row["pattern"])


def removals(rows: pd.DataFrame) -> pd.Series:
    """Return what `removed` says of every row."""
    told = rows[["method", "ratio", "pattern"]]
    group = told.groupby(list(told), dropna=False, sort=False).ngroup()  # few, of many rows
    first = told.assign(group=group).drop_duplicates("group")
    return group.map({row["group"]: removed(row) for row in first.to_dict("records")}).astype(object)


@shared
def amounts(points: pd.DataFrame) -> list[str]:
    """Return the ratios among the points in ascending order, then the patterns: what the slider offers."""
    ratios = sorted(points.loc[points["pattern"].isna(), "ratio"].dropna().unique())
    patterns = points["pattern"].dropna().unique()
    ordered = sorted(patterns, key=lambda text: [int(part) for part in re.findall(r"\d+", text)], reverse=True)
    return [format_amount(ratio, None) for ratio in ratios] + [format_amount(None, pattern) for pattern in ordered]


def amount_title(steps: Sequence[str]) -> str:
    """Name what amounts are of: shares removed, bits, or both."""
    bits = ["bit" in step for step in steps]
    return "Bits" if all(bits) else "Amount" if any(bits) else "Removed"


def first_amount(steps: Sequence[str]) -> str:
    """Return the amount that is chosen at first: the usual ratio, bits or factor, or else the one in the middle."""
    return next((one for one in USUAL if one in steps), steps[len(steps) // 2])


@shared
def at_amount(rows: pd.DataFrame, chosen: str) -> pd.DataFrame:
    """Return the rows of the dense model and of those with `chosen` removed (as `amount` writes it).

    What was imported stands beside every amount where nothing was removed of it, or not told how much.
    """
    there = removals(rows)
    anywhere = (rows["method"] == IMPORTED) & there.isin((UNKNOWN_AMOUNT, format_amount(0, None)))
    return rows[is_dense(rows) | anywhere | (there == chosen)]
