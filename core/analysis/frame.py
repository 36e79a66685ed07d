"""Results as one tidy table, a row a measurement: what charts, tables and CSV files are made from."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pandas as pd

from core.chain import shared
from core.registry import METHODS, STAGES, spelt_out
from core.results import Footprint, Measurement, Result, Variant
from core.specs import Stage, sha256
from core.words import amount

COUNTED = (
    *("block_removed", "model_removed", "parameters", "gmacs", "dense_mb", "packed_mb", "bits_per_weight"),
    *("prefill_ms", "decode_ms", "memory_mb"),
)
NUMBERS = (
    *("ratio", "seed", "value", "stderr", "n", "window", "windows", "limit", "fewshot"),
    *COUNTED,
)
COLUMNS = (
    *("key", "model", "revision", "dtype", "method", "label", "family", "ratio", "ratio_kind", "pattern"),
    *(
        "recovery",
        "untuned",
        "seed",
        "calibration",
        "train",
        "layers",
        "stages",
        "metric",
        "dataset",
        "value",
        "stderr",
        "n",
    ),
    *("window", "windows", "limit", "fewshot", "version", "source", "protocol", "protocol_id", "origin"),
    *COUNTED,
)
KNOWN = {stage.name: stage for stage in STAGES}


def tidy(results: Iterable[Result]) -> pd.DataFrame:
    """Return `COLUMNS`, one row a measurement, in the registry's order of methods; what does not apply is missing.

    `protocol` is for people, `protocol_id` for comparing: numbers of one metric and dataset compare only where it is
    equal. Megabytes are 10^6 bytes, `parameters` millions that are not zero, `gmacs` 10^9 multiply-accumulates of one
    forward over 64 tokens, latencies ms a token and peak memory at batch 1.
    """
    # Each before what it was trained to.
    names = [stage.name for stage in STAGES]
    order = [*names[: len(METHODS)], None, *names[len(METHODS) :]]

    def place(result: Result) -> tuple[int, ...]:
        names = (result.variant.method, result.variant.recovery)
        return tuple(order.index(name) if name in order else len(order) for name in names)

    results, rows = sorted(results, key=place), []
    trainings: dict[tuple[str, str], set[str]] = defaultdict(set)  # what is told apart only where it has to be
    for result in results:
        trainings[(result.variant.model, _label(result.variant))].add(_training(result.variant))
    for result in results:
        several = len(trainings[(result.variant.model, _label(result.variant))]) > 1
        known = _variant(result.variant, several) | _footprint(result.footprint) | _latency(result)
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


def _variant(variant: Variant, several: bool) -> dict[str, Any]:
    beside = shared(variant.stages)
    method = KNOWN.get(variant.method)  # None where a result comes from a version with more methods
    label = _label(variant)
    if several and variant.recovery:
        label += f" ({_training(variant)})"
    if variant.cut_short:
        label += " (cancelled)"
    return {
        "key": variant.key,
        "model": variant.model,
        "revision": variant.revision,
        "dtype": variant.dtype,
        "method": variant.method,
        "label": label,
        "family": method.family if method else "other",
        "ratio": variant.ratio,
        "ratio_kind": variant.ratio_kind,
        "pattern": variant.pattern,
        "recovery": variant.recovery,
        "untuned": _label(variant, len(variant.stages) - 1) if variant.stages[-1].recovers else None,
        "seed": beside.seed,
        "calibration": None if beside.calibration is None else str(beside.calibration),
        "train": None if beside.train is None else str(beside.train),
        "layers": variant.layers,
        "stages": json.dumps(_stages(variant)),
    }


def _label(variant: Variant, count: int | None = None) -> str:
    """Return the name of a variant, or of its first `count` stages, without what it was trained with and on.

    The amount of the last stage that removes anything is left out, so that variants that differ in it share a curve.
    """
    stages = variant.stages[:count]
    last = max((place for place, stage in enumerate(stages) if stage.removes), default=None)
    return " + ".join(
        _name(stage, with_amount=stage.removes and place != last, dtype=None if place else variant.dtype)
        for place, stage in enumerate(stages)
    )


def _name(stage: Stage, with_amount: bool, dtype: str | None) -> str:
    method = KNOWN.get(stage.method)
    parts = [] if stage.recovers else _changed(stage)
    if stage.layers:
        parts.append(f"layers {stage.layers}")
    if dtype not in (None, "float32"):
        parts.append(dtype)
    name = method.label if method else stage.method
    if with_amount:
        name += f" {amount(stage.ratio, stage.pattern)}"
    return f"{name} ({', '.join(parts)})" if parts else name


def _training(variant: Variant) -> str:
    """Return what its recoveries were given; empty without one."""
    recoveries = [stage for stage in variant.stages if stage.recovers]
    return "; ".join(", ".join([*_changed(stage), str(stage.calibration)]) for stage in recoveries)


def _changed(stage: Stage) -> list[str]:
    """Return the parameters that are not at their default, as words."""
    method = KNOWN.get(stage.method)
    fields = method.Parameters.model_fields if method else {}
    parts = []
    for name, value in stage.parameters.items():
        if name not in fields or value != fields[name].default:
            shown = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
            parts.append(f"{name.replace('_', ' ')} {shown}")
    return parts


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


def _footprint(footprint: Footprint) -> dict[str, float | None]:
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
        "protocol": protocol_sentence(row),
        "protocol_id": sha256(row.identity[2])[:8],
        "origin": row.origin,
    }
