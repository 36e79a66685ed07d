"""From tidy rows (`core.findings.numbers.frame`) to the points of charts and tables: DataFrame in, DataFrame out."""

import math
from collections.abc import Sequence

import pandas as pd

from core.amount import Amount, Ratio
from core.findings.numbers.frame import COUNTED
from core.findings.numbers.reporting import TableRow, listed
from core.findings.sharing import shared
from core.notation.chain import DENSE
from core.notation.formatting import format_amount
from core.request.stages import DEFAULT_BITS, DEFAULT_FACTOR, DEFAULT_RATIO
from core.specs import IMPORTED

USUAL = Ratio(DEFAULT_RATIO).label, DEFAULT_BITS.label, DEFAULT_FACTOR.label
VARIANT = "Variant"  # title of the column of names
UNKNOWN_AMOUNT = "unknown amount"  # of imported variants without one
POINT_COLUMNS = [
    *(
        "series_label",
        "method",
        "ratio",
        "pattern",
        "key",
        "name",
        "amount_label",
        "value",
        "low",
        "high",
        "seeds",
        "spread",
    ),
    *("recovery", "parent_label"),  # its fine-tuning method, and the series of its origin
    *("parts", "chain", "series_chain"),  # `series_chain` is the chain without its last amount
]
TEXTS = ("pattern", "recovery", "parent_label")  # None where they do not apply
# Of the first seed.
OF_FIRST = ["series_label", "method", "ratio", "key", "name", "stderr", *TEXTS, "parts", "chain", "series_chain"]
NUMBERS = ("ratio", "value", "low", "high")


def collapse(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one point for each series, ratio and pattern; several seeds become their mean.

    `rows` have one metric, data set and protocol. `low` and `high` are value -/+ stderr, or the range over seeds.
    """
    return collapsed(rows, [])


def collapsed(rows: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """Return `collapse` for each of several metrics, which differ in the columns `groups`."""
    if rows.empty:
        return pd.DataFrame(columns=[*POINT_COLUMNS, *COUNTED, *groups])
    ordered = _by_point(rows, groups)
    values = ordered["value"].fillna(math.inf).groupby(ordered["point"]).agg(["mean", "min", "max", "size"])
    counted = ordered[list(COUNTED)].astype(float).groupby(ordered["point"]).mean()
    points = []
    first = ordered.drop_duplicates("point")[[*OF_FIRST, *groups]].to_dict("records")
    means, counts = values.itertuples(index=False, name=None), counted.to_dict("records")
    for row, (value, least, most, seeds), of_counted in zip(first, means, counts, strict=True):
        if seeds > 1:
            low, high = least, most
            spread = f", mean of {seeds} seeds from {low:.4g} to {high:.4g}"
        else:
            stderr = float(row["stderr"]) if pd.notna(row["stderr"]) else 0.0
            low, high = value - stderr, value + stderr
            spread = f" ± {stderr:.2g} (standard error)" if stderr else ""
        row |= {name: row[name] if isinstance(row[name], str) else None for name in TEXTS}
        row |= {"amount_label": removed(row), "value": value, "low": low, "high": high, "seeds": seeds}
        points.append(row | {"spread": spread} | of_counted)
    table = pd.DataFrame(points, columns=[*POINT_COLUMNS, *COUNTED, *groups], dtype=object)
    types = dict.fromkeys((*NUMBERS, *COUNTED), float) | {"seeds": int}
    return table.astype(types).copy()  # a copy stores columns of one type together, which makes row access fast


def describe_seeds(points: pd.DataFrame) -> str:
    """Return a caption for points of several seeds: ` SparseGPT and Wanda at 50 %: mean and range of 3 seeds.`."""
    several = points[points["seeds"] > 1].groupby(["amount_label", "seeds"], sort=False)["series_label"]
    return "".join(
        f" {listed(list(names.unique()))} at {where}: mean and range of {seeds} seeds."
        for (where, seeds), names in several
    )


def _by_point(rows: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """Return rows with the number of their `point`, sorted by point and seed."""
    place = rows.groupby(["series_label", "ratio", "pattern"], dropna=False, sort=False).ngroup()
    if groups:
        number = rows.groupby(groups, sort=False).ngroup()
        place += number * (place.max() + 1)
    return rows.assign(point=place).sort_values(["point", "seed"])


@shared
def by_seed(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the keys of each point of `collapse`, by seed; the first is the point's key."""
    keys_of: dict[int, list[str]] = {}
    if rows.empty:
        return []
    ordered = _by_point(rows[["series_label", "ratio", "pattern", "seed", "key"]], []).drop_duplicates(["point", "key"])
    for point, key in zip(ordered["point"], ordered["key"], strict=True):
        keys_of.setdefault(point, []).append(key)
    return [tuple(keys) for keys in keys_of.values()]


def seeds_of(rows: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the keys of each point of `collapse`, by seed, by the point's key."""
    return {keys[0]: keys for keys in by_seed(rows)}


def is_dense(rows: pd.DataFrame) -> pd.Series:
    """Return a mask of the rows of the dense model without fine-tuning."""
    return (rows["method"] == DENSE) & rows["recovery"].isna()


@shared
def dense_key(rows: pd.DataFrame) -> str | None:
    """Return the key of the dense model with most rows; None without any."""
    keys = rows.loc[is_dense(rows), "key"]
    return None if keys.empty else str(keys.mode().iloc[0])


def removed(row: TableRow | pd.Series) -> str:
    """Return the amount of a row's variant as `format_amount` writes it, or `UNKNOWN_AMOUNT`."""
    amount = Amount.from_columns(row["ratio"], row["pattern"])
    return UNKNOWN_AMOUNT if amount is None and row["method"] == IMPORTED else format_amount(amount)


def removals(rows: pd.DataFrame) -> pd.Series:
    """Return `removed` for every row."""
    amounts = rows[["method", "ratio", "pattern"]]
    group = amounts.groupby(list(amounts), dropna=False, sort=False).ngroup()  # few groups, many rows
    first = amounts.assign(group=group).drop_duplicates("group")
    return group.map({row["group"]: removed(row) for row in first.to_dict("records")}).astype(object)


@shared
def amounts(points: pd.DataFrame) -> list[str]:
    """Return the amounts to choose from: the ratios of the points in ascending order, then other amounts."""
    return [amount.label for amount in sorted({amount for amount in amounts_of(points) if amount})]


def amounts_of(rows: pd.DataFrame) -> list[Amount | None]:
    """Return the amount of every row."""
    return [Amount.from_columns(*columns) for columns in zip(rows["ratio"], rows["pattern"], strict=True)]


def amount_title(steps: Sequence[str]) -> str:
    """Return the label of a picker of amounts."""
    return "Bits" if all("bit" in step for step in steps) else "Amount"


def first_amount(steps: Sequence[str]) -> str:
    """Return the default amount: the usual ratio, bits or factor, or else the middle one."""
    return next((one for one in USUAL if one in steps), steps[len(steps) // 2])


@shared
def at_amount(rows: pd.DataFrame, chosen: str) -> pd.DataFrame:
    """Return the rows of the dense model and of variants at an amount (as `format_amount` writes it).

    Imported variants without an amount, or with ratio 0, belong to every amount.
    """
    there = removals(rows)
    anywhere = (rows["method"] == IMPORTED) & there.isin((UNKNOWN_AMOUNT, Ratio(0).label))
    return rows[is_dense(rows) | anywhere | (there == chosen)]


@shared
def split_points(measured: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the points of the dense model and the points of all others."""
    dense = is_dense(measured)
    return collapse(measured[dense]), collapse(measured[~dense])


@shared
def with_dense(dense: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the dense model's point followed by the others."""
    return pd.concat([dense, rows])


@shared
def among(rows: pd.DataFrame, column: str, values: Sequence[str]) -> pd.DataFrame:
    """Return the rows whose column has one of the values."""
    return rows[rows[column].isin(values)]


@shared
def rows_at(rows: pd.DataFrame, amount: str) -> pd.DataFrame:
    """Return the points at an amount."""
    return rows[rows["amount_label"] == amount]
