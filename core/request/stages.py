"""From what a user typed or chose to a validated `RunSpec`; imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import UserError
from core.methods.base import Method
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
    if not method.takes_amount:
        if ratio or pattern:
            raise UserError(f"{method.name} has nothing removed; leave ratio and pattern out.")
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
    wanted = found.of(found.parsed(settings or {}), seed)
    reads_text = wanted.reads != "nothing"
    if reads_text:
        if calibration is None:
            raise UserError(f"{found.label} reads text; give a calibration corpus such as c4-sample:16x2048.")
        wanted.check_amount(calibration)
    return Stage(
        method=found.name,
        version=found.version,
        ratio=_ratio(found, ratio, pattern),
        ratio_kind=found.ratio_kind,
        pattern=pattern,
        parameters=wanted.parameters.model_dump(exclude_defaults=True),
        calibration=calibration if reads_text else None,
        seed=seed if reads_text else None,
        layers=layers if found.by_layer else None,
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
    known = next((known for known in DTYPES if known == dtype), None)
    if known is None:
        raise UserError(f"Unknown dtype {dtype!r}; known: {', '.join(DTYPES)}.")
    return RunSpec(
        variant=VariantSpec(model=model, revision=revision, dtype=known, stages=tuple(stages)),
        perplexity=tuple(perplexity),
        tasks=tuple(tasks),
        latency=latency,
        device=device,
        force=force,
    )


def variant_spec(variant: Variant) -> VariantSpec:
    """Return what makes a stored variant; a `UserError` where this version cannot make it or would make another."""
    name = f"Variant {variant.key[:12]}"
    for stage in variant.stages:
        try:
            found = get_stage(stage.method)
        except UserError:
            raise UserError(f"{name} was made with {stage.method!r}, which this version does not have.") from None
        if not stage.version:
            raise UserError(f"{name} was made by a version of {found.label} that is not known; run it again first.")
        if stage.version != found.version:
            raise UserError(
                f"{name} was made by version {stage.version} of {found.label}, and this is version {found.version}; "
                "run it again first."
            )
        ratio = None if stage.pattern else stage.ratio
        build_stage(
            found.name, ratio, stage.pattern, stage.parameters, stage.calibration, stage.seed or 0, stage.layers
        )  # refuses what a line that someone else wrote may hold
    return VariantSpec(model=variant.model, revision=variant.revision, dtype=variant.dtype, stages=variant.stages)
