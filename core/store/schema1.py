"""Results as schema 1 wrote them, read into today's.

There a variant was its first stage and one recovery, with every parameter spelt out. Methods' versions were only in the
key, and the circumstances only those of the last stage.
"""

from itertools import product
from typing import Any

from pydantic import Field, ValidationError

from core import results
from core.errors import UserError
from core.fields import Count, Details, Pattern, Ratio, Text
from core.registry import RECOVERIES, get_stage
from core.results import Footprint, LayerReport, Measurement, Result
from core.specs import Dtype, Frozen, RatioKind, Stage, TextWindows, VariantSpec

UNKNOWN = 0  # the version of a stage of which none that is known gives the variant's key
UNTOUCHED = {"dense", *(recovery.name for recovery in RECOVERIES)}  # stages that have no layer reports


class StageInfo(Frozen):
    name: str
    parameters: dict[str, Any] = {}
    text: Text | None = None
    seed: Count | None = None


class Variant(Frozen):
    key: str = Field(pattern="^[0-9a-f]{64}$")
    model: str
    revision: str
    dtype: Dtype
    method: str
    ratio: Ratio | None = None
    ratio_kind: RatioKind = "sparsity"
    pattern: Pattern | None = None
    recovery: str | None = None
    stages: tuple[StageInfo, ...] = Field(min_length=1)
    calibration: Text | None = None
    seed: Count | None = None
    layers: str | None = None
    details: Details = {}


class _Result(Frozen):
    schema_version: int = 1
    variant: Variant
    footprint: Footprint
    measurements: tuple[Measurement, ...] = ()
    layers: tuple[LayerReport, ...] = ()


def wrote(variant: str) -> bool:
    """Whether the JSON of a variant is of schema 1. No text within JSON holds quotes that are not escaped."""
    return '"made":' not in variant


def read(text: str | bytes) -> Result:
    """Return the result in a JSON text of schema 1; a `ValueError` where it is damaged."""
    old = _Result.model_validate_json(text)
    variant = renewed(old.variant)
    return Result(
        variant=variant,
        footprint=old.footprint,
        measurements=old.measurements,
        layers=placed(old.layers, variant),
    )


def renewed(old: Variant) -> results.Variant:
    """Return a variant of schema 1 as today's."""
    return results.Variant(
        key=old.key,
        model=old.model,
        revision=old.revision,
        dtype=old.dtype,
        stages=_stages(old),
        stage_runs=(*({} for _ in old.stages[1:]), old.details),
    )


def placed(layers: tuple[LayerReport, ...], variant: results.Variant) -> tuple[LayerReport, ...]:
    """Return reports of schema 1, which are those of the last stage that changed linears, with that stage's place."""
    place = max((place for place, stage in enumerate(variant.stages) if stage.method not in UNTOUCHED), default=0)
    return tuple(layer.model_copy(update={"stage": place}) for layer in layers) if place else layers


def _stages(old: Variant) -> tuple[Stage, ...]:
    """Return the stages in those versions of their methods that give the key, or else as they were written."""
    written = tuple(_stage(info.name, info.parameters, info.text, info.seed) for info in old.stages)
    first = _stage(old.method, old.stages[0].parameters, old.calibration, old.seed)
    asked = {"ratio": old.ratio, "ratio_kind": old.ratio_kind, "pattern": old.pattern, "layers": old.layers}
    written = (first.model_copy(update=asked), *written[1:])
    try:
        plain = [stage.model_copy(update={"parameters": _not_default(stage)}) for stage in written]
        versions = [range(get_stage(stage.method).version, 0, -1) for stage in written]
    except (UserError, ValidationError):  # of a method or parameters that this version does not have
        return written
    for chosen in product(*versions):  # today's first
        stages = tuple(
            stage.model_copy(update={"version": version}) for stage, version in zip(plain, chosen, strict=True)
        )
        if VariantSpec(model=old.model, revision=old.revision, dtype=old.dtype, stages=stages).key == old.key:
            return stages
    return written


def _stage(method: str, parameters: dict[str, Any], text: str | None, seed: int | None) -> Stage:
    calibration = TextWindows.parse(text) if text else None
    return Stage(method=method, version=UNKNOWN, parameters=parameters, calibration=calibration, seed=seed)


def _not_default(stage: Stage) -> dict[str, Any]:
    return get_stage(stage.method).Parameters.model_validate(stage.parameters).model_dump(exclude_defaults=True)
