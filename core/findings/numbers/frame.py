"""Results as one tidy table, a row per measurement: the source of charts, tables and CSV files."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import JsonValue

from core.fields import ProtocolFields
from core.metrics import DISTANCES, SPEEDS
from core.models.names import display_names
from core.notation.chain import DENSE, common_defaults, format_chain, series_chain
from core.notation.formatting import format_fewshot, label_parts
from core.notation.removal import block_share, model_share, parameters_left
from core.notation.short import series_name, short_name
from core.registry import METHODS, STAGES, all_parameters, family_of, on_own_grid, quantises
from core.results import Measurement, Result, Variant, protocol_ids
from core.specs import UNKNOWN, ModelId, Scalar, Stage

COUNTED = (
    *("block_removed", "model_removed", "parameters", "gmacs", "dense_mb", "packed_mb", "bits_per_weight"),
    *(one.column for one in SPEEDS.values()),
    *DISTANCES,
)
NUMBERS = (*("ratio", "seed", "value", "stderr", "n", "window", "windows", "limit", "fewshot"), *COUNTED)
COLUMNS = (
    *("key", "name", "model", "revision", "dtype", "chain", "series_chain", "series_label", "parts"),
    *("method", "family", "ratio", "ratio_kind", "pattern", "rounded", "own_grid", "recovery", "parent_label"),
    *("calibration", "train", "seed", "layers", "stages", "metric", "dataset", "value", "stderr", "n"),
    *("window", "windows", "spread_windows", "limit", "fewshot", "prompts", "scoring", "version", "source", "protocol"),
    *("protocol_id", "origin"),
    *COUNTED,
)
MEASURED = ("metric", "dataset", "value", "stderr", "n", "origin", *DISTANCES)
UNCOMPARED = (math.nan,) * len(DISTANCES)
# Methods, no recovery (None), then the other stages.
ORDER = [*[stage.name for stage in METHODS], None, *[stage.name for stage in STAGES[len(METHODS) :]]]


class _Protocol(NamedTuple):
    """The protocol columns of a row."""

    window: float | None
    windows: float | None
    spread_windows: bool  # over the whole text instead of its first ones
    limit: float | None
    fewshot: float | None  # number of examples
    prompts: str  # non-default choices of few-shot examples
    scoring: str | None
    version: Scalar
    source: str | None
    protocol: str
    protocol_id: str


def tidy(results: Iterable[Result]) -> pd.DataFrame:
    """Return results as one table.

    Returns:
        `COLUMNS`, one row per measurement, in the registry's order of methods. Values that do not apply are missing.
        `model` is the display name among these results (`core.models.names`), unique per checkpoint.
        `chain` is the written chain and `series_chain` the chain without its last amount; `name` and `series_label`
        are the names of both (`core.notation.short`), and `parts` are the stages that they name.
        `parent_label` is the series before the last stage, if that stage is a recovery.
        `dtype` is the precision of the variant, `scoring` that of the measurement.
        `protocol` describes the protocol. Only numbers with equal metric, dataset and `protocol_id` are comparable.
        Megabytes are 10^6 bytes. `parameters` are millions of stored parameters that no stage removed. `gmacs` are
        10^9 multiply-accumulates of a forward pass over 64 tokens. Latencies, in ms per token, and the peak memory are
        those of batch 1. A perplexity of a text has the `DISTANCES` on the same windows.
    """
    return build_frame([variant_rows(result) for result in results])


class VariantRows(NamedTuple):
    """The rows of one result without the name of the model, which depends on the other results."""

    place: tuple[int, ...]  # sort key, in the registry's order
    model: ModelId
    known: dict[str, Scalar]  # columns with the same value in every row
    protocols: tuple[_Protocol, ...]  # of each row
    numbers: tuple[tuple[Scalar, ...], ...]  # `MEASURED` of each row


def variant_rows(result: Result) -> VariantRows:
    """Return the rows of one result; `build_frame` joins those of several."""
    variant = result.variant
    return VariantRows(
        place=_place(variant),
        model=variant.model_id,
        known={**_variant(variant), **_size(result), **_latency(result)},
        protocols=tuple(_protocol(row) for row in result.measurements),
        numbers=tuple(_numbers(result.measurements)),
    )


def _numbers(rows: Sequence[Measurement]) -> Iterator[tuple[Scalar, ...]]:
    """Yield `MEASURED` of each row."""
    compared: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row.metric in DISTANCES:
            compared.setdefault((row.dataset, row.protocol_id), {})[row.metric] = row.value
    for row in rows:
        found = compared.get((row.dataset, row.protocol_id), {}) if compared and row.of_text else {}
        fidelity = tuple(found.get(name, math.nan) for name in DISTANCES) if found else UNCOMPARED
        yield row.metric, row.dataset, row.value, row.stderr, row.n, row.origin, *fidelity


def build_frame(results: Iterable[VariantRows]) -> pd.DataFrame:
    """Return the table of `tidy` from the rows of each result."""
    every = sorted(results, key=lambda one: one.place)
    names = display_names(one.model for one in every)
    ordered = [one for one in every if one.numbers]
    variants = pd.DataFrame(
        [one.known | {"model": names[one.model]} for one in ordered],
        columns=[name for name in COLUMNS if name not in (*MEASURED, *_Protocol._fields)],
        dtype=object,  # rows share their strings
    )
    places: dict[_Protocol, int] = {}
    of_protocol = [places.setdefault(one, len(places)) for result in ordered for one in result.protocols]
    protocols = pd.DataFrame(list(places), columns=_Protocol._fields, dtype=object)
    counts = [len(one.numbers) for one in ordered]
    parts = [
        variants.take(np.repeat(np.arange(len(ordered)), counts)),
        protocols.take(of_protocol),
        pd.DataFrame([number for one in ordered for number in one.numbers], columns=MEASURED, dtype=object),
    ]
    frame = pd.concat([part.reset_index(drop=True) for part in parts], axis=1)[list(COLUMNS)]
    return frame.astype(dict.fromkeys(NUMBERS, float)).copy()  # consolidated blocks make row selection fast


def protocol_sentence(measurement: Measurement) -> str:
    """Describe a measurement's protocol, such as `window 2048, first 16 windows, float32`."""
    return _protocol(measurement).protocol


def _sentence(protocol: ProtocolFields) -> str:
    protocol = {name: value for name, value in protocol.items() if name != "source"}
    parts = []
    if (window := protocol.pop("window", None)) is not None:
        windows = protocol.pop("windows", None)
        spread = protocol.pop("spread", False)
        some = f"{windows} windows spread over the text" if spread else f"first {windows} windows"
        parts += [f"window {window}", "all windows" if windows is None else some]
    if (fewshot := protocol.pop("fewshot", None)) is not None:
        limit = protocol.pop("limit", None)
        parts.append(format_fewshot(fewshot))
        parts.append("all documents" if limit is None else f"first {limit} documents")
    dtype = format_precision(protocol.pop("dtype", None))
    parts += [f"{name} {value}" for name, value in protocol.items() if value is not None]
    return ", ".join([*parts, dtype] if dtype else parts)


def format_precision(dtype: str | None) -> str | None:
    """Return the display text of a precision."""
    return "unknown precision" if dtype == UNKNOWN else dtype


def _place(variant: Variant) -> tuple[int, ...]:
    names = (variant.method, variant.recovery)
    return *(ORDER.index(name) if name in ORDER else len(ORDER) for name in names), len(variant.stages)


def _variant(variant: Variant) -> dict[str, Scalar]:
    defaults = common_defaults(variant.stages)
    own = ("key", "revision", "dtype", "method", "ratio", "ratio_kind", "pattern", "recovery", "layers")
    before = _untuned(variant)
    return {name: getattr(variant, name) for name in own} | {
        "name": short_name(variant),
        "chain": format_chain(variant.stages),
        "series_chain": series_chain(variant.stages),
        "series_label": _series(variant),
        "parent_label": _series(before) if before else None,
        "parts": "+".join(part.name for part in label_parts(variant.stages)),
        "family": family_of(variant.method, variant.is_external),
        "own_grid": on_own_grid(variant.model, variant.stages),
        "rounded": not variant.is_external and any(map(quantises, variant.stages)),
        "calibration": None if defaults.calibration is None else str(defaults.calibration),
        "train": None if defaults.train is None else str(defaults.train),
        "seed": defaults.seed,
        "stages": json.dumps(_stages(variant)),
    }


def _series(variant: Variant) -> str:
    own = on_own_grid(variant.model, variant.stages)
    return series_name(variant.stages, variant.dtype, variant.cut_short, own)


def _untuned(variant: Variant) -> Variant | None:
    """Return the variant before its last stage, if that is a recovery and the stages before use the same data."""
    if not variant.stages[-1].recovers:
        return None
    stages = variant.stages[:-1] or (Stage(method=DENSE),)
    before, after = common_defaults(stages), common_defaults(variant.stages)
    if before.calibration not in (None, after.calibration) or before.train not in (None, after.train):
        return None
    return variant.model_copy(update={"stages": stages, "stage_runs": variant.stage_runs[:-1]})


def _stages(variant: Variant) -> list[dict[str, JsonValue]]:
    several = sum(stage.removes for stage in variant.stages) > 1  # columns have the amount of a single stage
    stages: list[dict[str, JsonValue]] = []
    for stage in variant.stages:
        stages.append({"name": stage.method, "parameters": all_parameters(stage)})
        if several and stage.removes:
            pattern = None if stage.amount is None else stage.amount.pattern
            stages[-1] |= {"ratio": stage.ratio, "pattern": pattern, "layers": stage.layers}
        if stage.calibration:
            stages[-1] |= {"text": str(stage.calibration), "seed": stage.seed}
    return stages


def _size(result: Result) -> dict[str, float | None]:
    """Return a variant's counted sizes; for an imported variant those that its import gives."""
    footprint = result.footprint
    if footprint is None:
        return {name: result.variant.details.get(name) for name in ("parameters", "packed_mb")}
    return {
        "block_removed": block_share(result),
        "model_removed": model_share(result),
        "parameters": None if (left := parameters_left(result)) is None else left / 1e6,
        "gmacs": None if footprint.macs is None else footprint.macs / 1e9,
        "dense_mb": footprint.dense_bytes / 1e6,
        "packed_mb": footprint.packed_bytes / 1e6,
        "bits_per_weight": footprint.bits_per_weight,
    }


def _latency(result: Result) -> dict[str, float]:
    return {
        SPEEDS[row.metric].column: row.value
        for row in result.measurements
        if row.metric in SPEEDS and row.protocol.get("batch", 1) == 1
    }


def _protocol(row: Measurement) -> _Protocol:
    return _one_protocol(*chain.from_iterable(row.protocol.items()))


@lru_cache(maxsize=4096, typed=True)  # a store has many numbers and few protocols
def _one_protocol(*items: Any) -> _Protocol:  # Any: names and values alternate
    protocol = dict(zip(items[::2], items[1::2], strict=True))
    after = ("dtype", "version", "source")
    before = [protocol.get("window"), protocol.get("windows"), protocol.get("spread", False), protocol.get("limit")]
    values = [*before, *_fewshot(protocol.get("fewshot")), *map(protocol.get, after)]
    return _Protocol._make([*values, _sentence(protocol), protocol_ids(*items)[1]])


def _fewshot(written: str | int | None) -> tuple[int | None, str]:
    """Return the number of few-shot examples of a protocol and its non-default choices."""
    if not isinstance(written, str):
        return written, ""
    k, _, how = written.partition(",")
    return int(k), how
