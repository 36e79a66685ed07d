"""Conversion of database rows from schema 1 to the current schema.

A variant of schema 1 has its first stage and one recovery, with every parameter. Method versions are only part of the
key. Only the last stage has details.
"""

from itertools import product

from pydantic import Field, ValidationError

from core import results
from core.amount import Amount
from core.base.errors import UserError
from core.fields import Count, Details, RatioValue, Text, WrittenPattern
from core.registry import RECOVERIES, get_stage
from core.results import LayerReport
from core.specs import Dtype, Frozen, RatioKind, Scalar, Stage, TextWindows, Unchecked, VariantSpec

UNKNOWN = 0  # the version of a stage if no known version gives the variant's key
UNTOUCHED = {"dense", *(recovery.name for recovery in RECOVERIES)}  # stages without layer reports


class StageInfo(Frozen):
    """A stage in schema 1."""

    name: str
    parameters: Unchecked = {}
    text: Text | None = None
    seed: Count | None = None


class Variant(Frozen):
    """A variant in schema 1."""

    key: str = Field(pattern="^[0-9a-f]{64}$")
    model: str
    revision: str
    dtype: Dtype
    method: str
    ratio: RatioValue | None = None
    ratio_kind: RatioKind = "sparsity"
    pattern: WrittenPattern | None = None
    recovery: str | None = None
    stages: tuple[StageInfo, ...] = Field(min_length=1)
    calibration: Text | None = None
    seed: Count | None = None
    layers: str | None = None
    details: Details = {}


def wrote(variant: str) -> bool:
    """Return whether the JSON of a variant has schema 1; JSON escapes quotes in texts, so only a key can match."""
    return '"made":' not in variant


def renewed(old: Variant) -> results.Variant:
    """Return a variant of schema 1 in the current schema."""
    return results.Variant(
        key=old.key,
        model=old.model,
        revision=old.revision,
        dtype=old.dtype,
        stages=_stages(old),
        stage_runs=(*({} for _ in old.stages[1:]), old.details),
    )


def placed(layers: tuple[LayerReport, ...], variant: results.Variant) -> tuple[LayerReport, ...]:
    """Return layer reports of schema 1 with the place of their stage: the last that changed linears."""
    place = max((place for place, stage in enumerate(variant.stages) if stage.method not in UNTOUCHED), default=0)
    return tuple(layer.model_copy(update={"stage": place}) for layer in layers) if place else layers


def _stages(old: Variant) -> tuple[Stage, ...]:
    """Return the stages in the method versions that give the key, or else as stored."""
    written = tuple(_stage(info.name, info.parameters, info.text, info.seed) for info in old.stages)
    first = _stage(old.method, old.stages[0].parameters, old.calibration, old.seed)
    amount = Amount.from_columns(old.ratio, old.pattern)
    request = {"ratio": old.ratio, "ratio_kind": old.ratio_kind, "amount": amount, "layers": old.layers}
    written = (first.model_copy(update=request), *written[1:])
    try:
        plain = [stage.model_copy(update={"parameters": _not_default(stage)}) for stage in written]
        versions = [range(get_stage(stage.method).version, 0, -1) for stage in written]
    except (UserError, ValidationError):  # this version lacks a method or parameter
        return written
    for chosen in product(*versions):  # current versions first
        stages = tuple(
            stage.model_copy(update={"version": version}) for stage, version in zip(plain, chosen, strict=True)
        )
        if VariantSpec(model=old.model, revision=old.revision, dtype=old.dtype, stages=stages).key == old.key:
            return stages
    return written


def _stage(method: str, parameters: dict[str, Scalar], text: str | None, seed: int | None) -> Stage:
    calibration = TextWindows.parse(text) if text else None
    return Stage(method=method, version=UNKNOWN, parameters=parameters, calibration=calibration, seed=seed)


def _not_default(stage: Stage) -> dict[str, Scalar]:
    return dict(get_stage(stage.method).Parameters.model_validate(stage.parameters).model_dump(exclude_defaults=True))
