"""Results as one tidy table, a row a measurement: what charts, tables and CSV files are made from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from core.chain import DENSE, series, shared, written
from core.registry import METHODS, STAGES, spelt_out
from core.results import Measurement, Result, Variant
from core.specs import IMPORTED, Stage
from core.words import parts, series_name

COUNTED = (
    *("block_removed", "model_removed", "parameters", "gmacs", "dense_mb", "packed_mb", "bits_per_weight"),
    *("prefill_ms", "decode_ms", "memory_mb"),
)
NUMBERS = (
    *("ratio", "seed", "value", "stderr", "n", "window", "windows", "limit", "fewshot"),
    *COUNTED,
)
COLUMNS = (
    *("key", "model", "revision", "dtype", "chain", "series", "label", "parts"),
    *("method", "family", "ratio", "ratio_kind", "pattern", "recovery", "untuned"),
    *("calibration", "train", "seed", "layers", "stages", "metric", "dataset", "value", "stderr", "n"),
    *("window", "windows", "limit", "fewshot", "scoring", "version", "source", "protocol", "protocol_id", "origin"),
    *COUNTED,
)
KNOWN = {stage.name: stage for stage in STAGES}


class Identity(NamedTuple):
    """What tells one series of a model from all others."""

    model: str
    chain: str  # its last amount left open
    dtype: str
    cut_short: bool


def tidy(results: Iterable[Result]) -> pd.DataFrame:
    """Return `COLUMNS`, one row a measurement, in the registry's order of methods; what does not apply is missing.

    `chain` is as it is written and `series` the same with its last amount left open; `label` is the series' name for
    people, no other one's of the model, `untuned` the label of the series that its last stage was applied to where that
    stage removes nothing, and `parts` the stages that the label names. `scoring` is the precision that a number was
    measured in, `dtype` that which its variant was computed in. `protocol` is for people, `protocol_id` for
    comparing: numbers of one metric and dataset compare only where it is equal. Megabytes are 10^6 bytes, `parameters`
    millions that are not zero, `gmacs` 10^9 multiply-accumulates of one forward over 64 tokens, latencies ms a token
    and peak memory at batch 1.
    """
    # Each before what it was trained to.
    names = [stage.name for stage in STAGES]
    order = [*names[: len(METHODS)], None, *names[len(METHODS) :]]

    def place(result: Result) -> tuple[int, ...]:
        names = (result.variant.method, result.variant.recovery)
        known = (order.index(name) if name in order else len(order) for name in names)
        return *known, len(result.variant.stages)

    results, rows = sorted(results, key=place), []
    labels = _labels([result.variant for result in results])
    for result in results:
        known = _variant(result.variant, labels) | _size(result) | _latency(result)
        rows += [known | _measurement(measurement) for measurement in result.measurements]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(dict.fromkeys(NUMBERS, float))


def protocol_sentence(measurement: Measurement) -> str:
    """Return what a number depends on besides the variant, such as `window 2048, first 16 windows, float32`."""
    protocol = {name: value for name, value in measurement.protocol.items() if name != "source"}
    parts = []
    if (window := protocol.pop("window", None)) is not None:
        windows = protocol.pop("windows", None)
        parts += [f"window {window}", "all windows" if windows is None else f"first {windows} windows"]
    if (fewshot := protocol.pop("fewshot", None)) is not None:
        limit = protocol.pop("limit", None)
        parts += [f"{fewshot}-shot", "all documents" if limit is None else f"first {limit} documents"]
    dtype = protocol.pop("dtype", None)
    parts += [f"{name} {value}" for name, value in protocol.items() if value is not None]
    return ", ".join([*parts, dtype] if dtype else parts)


def _variant(variant: Variant, labels: dict[Identity, str]) -> dict[str, Any]:
    beside, before = shared(variant.stages), _untuned(variant)
    method = KNOWN.get(variant.method)  # None where a result comes from a version with more methods
    return {
        "key": variant.key,
        "model": variant.model,
        "revision": variant.revision,
        "dtype": variant.dtype,
        "chain": written(variant.stages),
        "series": series(variant.stages),
        "label": labels[_identity(variant)],
        "parts": "+".join(part.name for part in parts(variant.stages)),
        "method": variant.method,
        "family": method.family if method else IMPORTED if variant.imported else "other",
        "ratio": variant.ratio,
        "ratio_kind": variant.ratio_kind,
        "pattern": variant.pattern,
        "recovery": variant.recovery,
        "untuned": labels[_identity(before)] if before else None,
        "calibration": None if beside.calibration is None else str(beside.calibration),
        "train": None if beside.train is None else str(beside.train),
        "seed": beside.seed,
        "layers": variant.layers,
        "stages": json.dumps(_stages(variant)),
    }


def _identity(variant: Variant) -> Identity:
    return Identity(variant.model, series(variant.stages), variant.dtype, variant.cut_short)


def _untuned(variant: Variant) -> Variant | None:
    """Return what the last stage was applied to, where that removes nothing and all before read the same texts."""
    if not variant.stages[-1].recovers:
        return None
    stages = variant.stages[:-1] or (Stage(method=DENSE),)
    before, after = shared(stages), shared(variant.stages)
    if before.calibration not in (None, after.calibration) or before.train not in (None, after.train):
        return None
    return variant.model_copy(update={"stages": stages, "made": variant.made[:-1]})


def _labels(variants: Iterable[Variant]) -> dict[Identity, str]:
    """Return the label of every series, and of those that its last stage was applied to.

    What was trained is told with its parameters only where others of the model have the same name without.
    """
    every = [one for variant in variants for one in (variant, _untuned(variant)) if one]
    first = {_identity(variant): variant for variant in reversed(every)}
    found = {identity: _label(variant) for identity, variant in first.items()}
    for identity in _alike(found):
        found[identity] = _label(first[identity], trainings=True)
    for identity in _alike(found):
        found[identity] += f" ({identity.chain})"
    return found


def _alike(labels: dict[Identity, str]) -> list[Identity]:
    """Return the series whose label is that of another one of the model, too."""
    there = Counter((identity.model, label) for identity, label in labels.items())
    return [identity for identity, label in labels.items() if there[identity.model, label] > 1]


def _label(variant: Variant, trainings: bool = False) -> str:
    return series_name(variant.stages, variant.dtype, trainings) + (" (cancelled)" if variant.cut_short else "")


def _stages(variant: Variant) -> list[dict[str, Any]]:
    several = sum(stage.removes for stage in variant.stages) > 1  # where one removes, columns say how much
    told: list[dict[str, Any]] = []
    for stage in variant.stages:
        told.append({"name": stage.method, "parameters": spelt_out(stage)})
        if several and stage.removes:
            told[-1] |= {"ratio": stage.ratio, "pattern": stage.pattern, "layers": stage.layers}
        if stage.calibration:
            told[-1] |= {"text": str(stage.calibration), "seed": stage.seed}
    return told


def _size(result: Result) -> dict[str, float | None]:
    """Return what was counted of a variant; of an imported one what is told of it."""
    footprint = result.footprint
    if footprint is None:
        return {name: result.variant.details.get(name) for name in ("parameters", "packed_mb")}
    return {
        "block_removed": footprint.block_removed,
        "model_removed": footprint.model_removed,
        "parameters": (footprint.model_parameters - footprint.model_zeros) / 1e6,
        "gmacs": None if footprint.macs is None else footprint.macs / 1e9,
        "dense_mb": footprint.dense_bytes / 1e6,
        "packed_mb": footprint.packed_bytes / 1e6,
        "bits_per_weight": footprint.bits_per_weight,
    }


def _latency(result: Result) -> dict[str, float]:
    columns = {"prefill": "prefill_ms", "decode": "decode_ms", "memory": "memory_mb"}
    return {
        columns[row.metric]: row.value
        for row in result.measurements
        if row.metric in columns and row.protocol.get("batch", 1) == 1
    }


def _measurement(row: Measurement) -> dict[str, Any]:
    return {
        "metric": row.metric,
        "dataset": row.dataset,
        "value": row.value,
        "stderr": row.stderr,
        "n": row.n,
        **{name: row.protocol.get(name) for name in ("window", "windows", "limit", "fewshot", "version", "source")},
        "scoring": row.protocol.get("dtype"),
        "protocol": protocol_sentence(row),
        "protocol_id": row.protocol_id,
        "origin": row.origin,
    }
