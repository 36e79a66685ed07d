"""From what a user typed or chose to a validated `RunSpec`; imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from core.errors import UserError
from core.methods.base import Method, Parameters
from core.registry import get_stage
from core.results import Variant
from core.specs import DTYPES, Calibration, Perplexity, RunSpec, Stage, Task, VariantSpec, parse_pattern

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_RATIO = 0.5
RATIO_PLACES = 6  # as many as `:g` shows, so that no two ratios are shown alike
DEFAULT_WINDOW = 2048
DEFAULT_WINDOWS = 16
DEFAULT_EXAMPLES, DEFAULT_EXAMPLE = 512, 256  # windows and tokens that a recovery is trained on


def check_divides(pattern: str, inputs: int, what: str) -> None:
    """Raise `UserError` where the M of an N:M pattern does not divide the inputs of `what`, a layer."""
    if inputs % parse_pattern(pattern)[1]:
        raise UserError(
            f"Pattern {pattern} does not divide {what} with {inputs} inputs; choose another pattern or leave such "
            "layers out."
        )


def _ratio(method: type[Method], ratio: float | None, pattern: str | None) -> float | None:
    if method.family in ("dense", "recovery"):
        if ratio or pattern:
            what = "The dense model has" if method.family == "dense" else f"{method.label} gets"
            raise UserError(f"{what} nothing removed; leave ratio and pattern out.")
        return None
    if pattern is not None:
        kept, group = parse_pattern(pattern)
        if not method.patterns:
            raise UserError(f"{method.label} has no N:M patterns; give a ratio.")
        if ratio is not None and abs(ratio - (1 - kept / group)) > 1e-9:
            raise UserError(
                f"Pattern {pattern} removes {1 - kept / group:g} of the weights, not {ratio}; leave the ratio out."
            )
        return 1 - kept / group
    ratio = DEFAULT_RATIO if ratio is None else ratio
    if not 0 <= ratio < 1:
        raise UserError(f"Ratio {ratio} is outside [0, 1): it is the share of weights removed, such as 0.5.")
    if round(ratio, RATIO_PLACES) == 1:
        raise UserError(
            f"Ratio {ratio} is too near to 1: ratios have {RATIO_PLACES} decimal places, so 0.999999 is most."
        )
    return round(ratio, RATIO_PLACES)


def parse_parameters(method: type[Method], settings: Mapping[str, Any]) -> Parameters:
    """Validate a method's parameters; values may be text. A `UserError` names the first that does not fit."""
    fields = method.Parameters.model_fields
    for name in settings:
        if name not in fields:
            known = f"its parameters are {', '.join(fields)}" if fields else "it has no parameters"
            raise UserError(f"{method.label} has no parameter {name!r}; {known}.")
    try:
        return method.Parameters.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise UserError(f"{method.label}: {name} = {settings[name]!r} does not fit: {first['msg'].lower()}.") from None


def build_stage(
    method: str,
    ratio: float | None = None,
    pattern: str | None = None,
    settings: Mapping[str, Any] | None = None,
    calibration: Calibration | None = None,
    seed: int = 0,
    layers: str | None = None,
) -> Stage:
    """Return the validated stage. Calibration and seed enter only where the method reads activations."""
    found = get_stage(method)
    parameters = parse_parameters(found, settings or {})
    reads_text = found.needs != "nothing"
    if reads_text and calibration is None:
        raise UserError(f"{found.label} reads text; give a calibration corpus such as c4-sample:16x2048.")
    if found.needs == "training" and parameters.held_out >= calibration.windows:
        raise UserError(
            f"{found.label} holds {parameters.held_out} examples out and is given {calibration.windows}, so none is "
            "left to train on; give more, or a smaller held_out."
        )
    return Stage(
        method=found.name,
        version=found.version,
        ratio=_ratio(found, ratio, pattern),
        ratio_kind=found.ratio_kind,
        pattern=pattern,
        parameters=parameters.model_dump(exclude_defaults=True),
        calibration=calibration if reads_text else None,
        seed=seed if reads_text else None,
        layers=layers if found.scope == "linear" and found.family != "dense" else None,
    )


def build_run(
    model: str,
    revision: str,
    stages: Sequence[Stage],
    perplexity: Sequence[Perplexity] = (),
    tasks: Sequence[Task] = (),
    dtype: str = "float32",
    device: str = "cpu",
    latency: bool = False,
    force: bool = False,
) -> RunSpec:
    """Return the validated run. `model` and `revision` are as `core.models.sources.identify` gives them."""
    if dtype not in DTYPES:
        raise UserError(f"Unknown dtype {dtype!r}; known: {', '.join(DTYPES)}.")
    return RunSpec(
        variant=VariantSpec(model=model, revision=revision, dtype=dtype, stages=tuple(stages)),
        perplexity=tuple(perplexity),
        tasks=tuple(tasks),
        latency=latency,
        device=device,
        force=force,
    )


def variant_spec(variant: Variant) -> VariantSpec:
    """Return what makes a stored variant; a `UserError` where this version would make another."""
    first = build_stage(
        variant.method,
        None if variant.pattern else variant.ratio,
        variant.pattern,
        variant.stages[0].parameters,
        Calibration.parse(variant.calibration) if variant.calibration else None,
        variant.seed or 0,
        variant.layers,
    )
    later = [
        build_stage(
            stage.name,
            settings=stage.parameters,
            calibration=Calibration.parse(stage.text) if stage.text else None,
            seed=stage.seed or 0,
        )
        for stage in variant.stages[1:]
    ]
    spec = VariantSpec(model=variant.model, revision=variant.revision, dtype=variant.dtype, stages=(first, *later))
    if spec.key != variant.key:
        raise UserError(f"Variant {variant.key[:12]} was made by another version of its method; run it again first.")
    return spec
