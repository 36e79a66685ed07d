"""Variants that a curve lacks because they use other texts; they compare by multiples of dense on their own text."""

from collections.abc import Sequence

import pandas as pd

from core.data.texts import called
from core.findings.axes import Axis
from core.findings.numbers.differences import NUMBER
from core.findings.numbers.frame import format_precision
from core.findings.numbers.reporting import ratio_words
from core.findings.rows import choices, points
from core.findings.sharing import shared
from core.specs import IMPORTED

WINDOWS = ["dataset", "window", "windows", "spread_windows"]  # a text without its protocol, such as the precision
DATA = ["calibration", "train"]


@shared
def rows_elsewhere(frame: pd.DataFrame, measured: pd.DataFrame, methods: Sequence[str], axis: Axis) -> pd.DataFrame:
    """Return the perplexities of the variants of `other_texts`."""
    rows = choices.shown(choices.curved(frame, axis), methods)
    rows = rows[(rows["metric"] == "perplexity") & rows["window"].notna() & ~rows["key"].isin(measured["key"])]
    return rows[~points.is_dense(rows) & ~_is_imported_dense(rows)]


@shared
def other_texts(frame: pd.DataFrame, measured: pd.DataFrame, methods: Sequence[str], axis: Axis) -> pd.DataFrame:
    """Return the points of some methods that lack a perplexity under the protocol and with the data of a curve.

    A variant with several such perplexities has a point on the text with most variants. One without a dense perplexity
    on its text has none.

    `measured` are the perplexities of the curve, with its dense model.

    Returns:
        Points (`points.collapse`) with `dense_key` and `dense_value`, the dense model on their text, and the number
        that both share. Their name and that of their series end with the text, or with the precision or data if only
        these differ.
    """
    perplexities = frame[frame["metric"] == "perplexity"]
    wanted = rows_elsewhere(frame, measured, methods, axis)
    counts = wanted.groupby("protocol_id")["key"].transform("size")
    wanted = wanted.assign(count=counts).sort_values("count", ascending=False, kind="stable").drop_duplicates("key")
    parts = [points.collapse(wanted[:0]).assign(dense_key=[], dense_value=[], **{name: [] for name in NUMBER})]
    names: list[tuple[str, ...]] = []  # of each point's text, each more exact
    for _, group in wanted.groupby([*WINDOWS, "protocol_id", *DATA], dropna=False, sort=False):
        dense = _dense_of(group.iloc[0], perplexities)
        if dense is not None:
            own = {"dense_key": dense["key"], "dense_value": float(dense["value"])}
            found = points.collapse(group).assign(**own, **group.iloc[0][list(NUMBER)])
            parts.append(found)
            names += [_names(group.iloc[0], measured)] * len(found)
    found = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    return found.assign(**{name: _distinct(found[name], names) for name in ("name", "series_label")})


def times_dense(found: pd.DataFrame, dense: float | pd.Series) -> pd.DataFrame:
    """Return points as multiples of a dense perplexity, or of one each, with their own one as `perplexity`."""
    value = found["value"] / dense
    values = dict.fromkeys(("value", "low", "high"), value)
    spread = found["spread"] + value.map(lambda times: f"<br>{ratio_words(times)} times dense")
    return found.assign(perplexity=found["value"], **values, spread=spread)


def with_own_dense(found: pd.DataFrame, dense: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the dense model's point on the text of one of the points of `other_texts`, followed by those on it."""
    one = found[found["key"] == key].iloc[0]
    same = found[(found[list(NUMBER)] == one[list(NUMBER)]).all(axis=1)]
    return points.with_dense(dense.assign(value=one["dense_value"]), same)


def _is_imported_dense(rows: pd.DataFrame) -> pd.Series:
    return (rows["method"] == IMPORTED) & (rows["ratio"] == 0)


def _dense_of(row: pd.Series, rows: pd.DataFrame) -> pd.Series | None:
    """Return the dense perplexity on the text of a row: under its protocol if possible, else in another precision."""
    same = rows[(rows[WINDOWS].fillna(0) == row[WINDOWS].fillna(0)).all(axis=1)]
    dense = same[points.is_dense(same) | _is_imported_dense(same)]
    order = (dense["protocol_id"] != row["protocol_id"]).sort_values(kind="stable").index
    return dense.loc[order[0]] if len(order) else None


def _names(row: pd.Series, measured: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of a row's text, each more exact; the first has what differs from the text of a curve.

    The last one identifies the protocol, whose other names need not be unique.
    """
    id = row["protocol_id"][:8]
    count = "all" if pd.isna(row["windows"]) else f"{row['windows']:.0f}"
    windows = f"{count} x {row['window']:.0f} tokens"
    data = next((row[name] for name in DATA if isinstance(row[name], str)), row["protocol"])
    if measured.empty or row["dataset"] != measured["dataset"].iloc[0]:
        return called(row["dataset"]), windows, data, id
    text = measured.iloc[0]
    if any(row[WINDOWS].fillna(0) != text[WINDOWS].fillna(0)):
        return windows, data, id
    if row["protocol_id"] != text["protocol_id"]:
        return format_precision(row["scoring"]) or row["protocol"], data, id
    return data, id


def _distinct(series: pd.Series, names: list[tuple[str, ...]]) -> list[str]:
    """Return the names of series with as much of their texts' names as distinguishes these texts."""
    found = [f"{one}, {name[0]}" for one, name in zip(series, names, strict=True)]
    for more in range(1, max(map(len, names), default=1)):
        texts: dict[str, set[tuple[str, ...]]] = {}
        for label, name in zip(found, names, strict=True):
            texts.setdefault(label, set()).add(name)
        found = [
            f"{label}, {name[more]}" if len(texts[label]) > 1 and more < len(name) else label
            for label, name in zip(found, names, strict=True)
        ]
    return found
