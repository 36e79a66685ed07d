"""Tables that compare several variants, a group of columns for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from core.findings.axes import PACKED, PARAMETERS
from core.findings.cost import cost_of
from core.findings.numbers.differences import NUMBER
from core.findings.numbers.reporting import UNADJUSTED, TableRow, form_of, verdict_text
from core.findings.pairs import paired
from core.metrics import METRICS, SPEEDS
from core.notation.removal import block_share
from core.results import Result

QUALITY = [one.name for one in METRICS.values() if one.on in ("windows", "documents")]
OTHER_PROTOCOL = "other protocol"
SECONDS = "Time to compress, without other programs (s)"

Identity = tuple[str, str, str]  # as `NUMBER`


def quality_columns(rows: pd.DataFrame, found: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each number that at least two variants have, at least under some protocol.

    Args:
        rows: Measurements of the variants, as of `core.findings.numbers.frame.tidy`.
        found: Rows of `core.findings.numbers.differences` of each other variant to the first one.
        names: Names of the variants by key; the first is the baseline.

    Returns:
        Columns Number, Protocol, and a group of columns for each variant: its value and, except for the baseline, the
        difference with its interval, and the verdict. A cell marks a number under another protocol.
    """
    baseline, *others = names
    rows = rows[rows["key"].isin(names) & rows["metric"].isin(QUALITY)]
    values: dict[tuple[str, ...], TableRow] = {(row["key"], *_identity(row)): row for row in rows.to_dict("records")}
    pairs = {}
    for row in found.to_dict("records"):
        pairs[(row["key"], *_identity(row))] = row
        values.setdefault((row["key"], *_identity(row)), row)  # means of tasks have no measurement of their own
        values.setdefault((baseline, *_identity(row)), row | {"value": row["reference"]})
    every = pd.DataFrame([{**row, "unpaired_reason": None} for row in values.values()])
    if every.empty:
        return pd.DataFrame(columns=["Number", "Protocol"])
    table = []
    for row in paired.in_order(every.drop_duplicates(list(NUMBER))).to_dict("records"):
        cells = {key: _value(values, key, _identity(row)) for key in names}
        if sum(cell != "" for cell in cells.values()) < 2:
            continue
        line = {"Number": paired.number_name(row), f"{names[baseline]}: Value": cells[baseline]}
        for key in others:
            pair = pairs.get((key, *_identity(row)))
            line[f"{names[key]}: Value"] = cells[key]
            line[f"{names[key]}: Difference, {UNADJUSTED}"] = _difference(pair)
            line[f"{names[key]}: Baseline compared"] = "" if pair is None else verdict_text(pair)
        table.append(line | {"Protocol": row["protocol"]})
    return pd.DataFrame(table)


def cost_columns(results: Sequence[Result], names: Mapping[str, str]) -> pd.DataFrame:
    """Return sizes, speeds and times of variants: a row for each number, and a column for each variant by name."""
    columns: dict[str, dict[str, float]] = {}
    for result in results:
        column = columns[names[result.variant.key]] = {}
        if size := result.footprint:
            share = block_share(result)
            column[PACKED.title] = size.packed_bytes / 1e6
            column["Bits per weight"] = size.bits_per_weight
            column[PARAMETERS.title] = (size.model_parameters - size.model_zeros) / 1e6
            column["Block weights removed (%)"] = float("nan") if share is None else 100 * share
            if size.macs:
                column["GMACs for 64 tokens"] = size.macs / 1e9
        for row in result.measurements:
            if row.metric in SPEEDS:
                on = f"batch {row.protocol['batch']}, {row.protocol['dtype']}"
                column[f"{SPEEDS[row.metric].title}, {on}"] = row.value
        seconds = cost_of([result.variant]).seconds
        if seconds is not None and result.variant.key != result.variant.dense_key:
            column[SECONDS] = seconds
    table = pd.DataFrame(columns).dropna(how="all")
    return table.rename_axis("Number").reset_index()


def _identity(row: TableRow) -> Identity:
    dataset, metric, protocol = (str(row[name]) for name in NUMBER)
    return dataset, metric, protocol


def _value(values: Mapping[tuple[str, ...], TableRow], key: str, number: Identity) -> str:
    row = values.get((key, *number))
    if row is not None:
        return paired.number_words(row, "value")
    alike = any(one[0] == key and one[1:3] == number[:2] for one in values)
    return OTHER_PROTOCOL if alike else ""


def _difference(pair: TableRow | None) -> str:
    if pair is None or pd.notna(pair["unpaired_reason"]):
        return ""
    return " ".join(part for part in form_of(str(pair["metric"])).words(pair) if part)
