"""From what a user typed or chose to a validated `RunSpec`; imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.chain import bits_of, factor_of
from core.errors import UserError, echo
from core.methods.base import Method
from core.methods.convolution.base import ConvMethod
from core.methods.embedding.base import EmbeddingMethod
from core.methods.lowrank.base import LowRank
from core.methods.preparation import TransformMethod
from core.methods.reconstruction import Reconstruction
from core.methods.structured.base import BlockRemovalMethod, FactoredUnitMethod, HiddenSizeMethod, SliceMethod
from core.registry import build_method, get_stage, settings_of
from core.results import Variant
from core.specs import (
    COUNTED,
    DTYPES,
    UNCHANGED,
    Dtype,
    Perplexity,
    RunSpec,
    Stage,
    Task,
    TextWindows,
    VariantSpec,
    parse_pattern,
)
from core.training.base import Recovery

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_RATIO = 0.5
DEFAULT_BITS, WHOLE_BITS = "4bit", 16  # of a weight that is rounded, and of one that is not
DEFAULT_FACTOR = "2x"  # by which an embedding gets smaller
RATIO_PLACES = 6  # as many as `:g` shows, so that no two ratios are shown alike
DEFAULT_WINDOW = 2048
DEFAULT_WINDOWS = 16
DEFAULT_LIMIT = 500  # documents of each task that the dashboard asks for
DEFAULT_EXAMPLES, DEFAULT_EXAMPLE = 512, 256  # windows and tokens that a recovery is trained on


def check_divides(pattern: str, inputs: int, what: str) -> None:
    """Raise `UserError` where the M of an N:M pattern does not divide the inputs of `what`, a layer."""
    if inputs % parse_pattern(pattern)[1]:
        raise UserError(
            f"Pattern {pattern} does not divide {what} with {inputs} inputs; choose another pattern or leave such "
            "layers out."
        )


def pattern_ratio(before: Sequence[Stage], pattern: str) -> float:
    """Return the share of the dense model that is gone once an N:M pattern holds for what earlier stages have left.

    That is 1 - (1 - taken) n / m: earlier zeros are among those of the pattern, but weights that are no longer there,
    by the ratios that stages on all layers were asked for, come on top.
    """
    kept, group = parse_pattern(pattern)
    present = left = 1.0  # shares of the dense model that are there, and that are there and not zero
    for stage in before:
        if stage.prunes and stage.layers is None:
            if stage.ratio_kind == "parameters":
                present *= min(1.0, (1 - stage.required_ratio) / left)
            left = 1 - stage.required_ratio
    return 1 - kept / group if present == 1 else round(1 - present * kept / group, RATIO_PLACES)


def check_stage_order(stages: Sequence[Stage]) -> None:
    """Raise `UserError` where a stage cannot follow those before it: a reconstruction without a mask, or a removal.

    That would not keep what they left, could not cut it, or is asked for less than is gone. What only the model tells
    shows when it is made.
    """
    for place, later in enumerate(stages):
        prepared = [stage for stage in stages[:place] if stage.method in UNCHANGED]
        before = [stage for stage in stages[:place] if stage.removes and stage.ratio]
        method = build_method(later)
        if isinstance(method, Reconstruction) and not any(stage.ratio_kind == "sparsity" for stage in before):
            raise method.unmasked()
        rounded = next(
            (left for stage in before if (left := build_method(stage)).quantised_places & method.modifies), None
        )
        if rounded and not isinstance(method, Recovery):  # which rounds again in every step
            raise UserError(
                f"{method.label} would take the weights off the grid that {rounded.label} left; put it first, or leave "
                "it out."
            )
        if isinstance(method, TransformMethod) and before:
            raise UserError(
                f"{method.label} would mix what {build_method(before[-1]).label} left; put it first, or leave it out."
            )
        if later.removes:
            for earlier in (*prepared, *before):
                if reason := _unfit(earlier, later):
                    raise UserError(f"{build_method(later).label} {reason}; put it first, or leave it out.")
            most = max((stage.required_ratio for stage in before if _comparable(stage, later)), default=0.0)
            if later.required_ratio < most:
                asked = later.pattern or f"{later.required_ratio:g}"
                raise UserError(
                    f"{later.method}@{asked} is less than the {100 * most:g} % that are gone already: a ratio counts "
                    "what earlier stages removed; ask for more, or leave it out."
                )


def _comparable(earlier: Stage, later: Stage) -> bool:
    """Whether two ratios are shares of the same weights."""
    return earlier.layers == later.layers and {earlier.ratio_kind, later.ratio_kind} <= set(COUNTED)


def _unfit(earlier: Stage, later: Stage) -> str | None:
    """Return what a stage would do to what an earlier one left, None where it keeps that."""
    left, method = build_method(earlier), build_method(later)
    if isinstance(left, TransformMethod):
        cuts = isinstance(method, HiddenSizeMethod | SliceMethod)
        return f"cannot cut the hidden states that {left.label} turned" if cuts else None
    if method.bit_choices and earlier.ratio_kind == "sparsity" and method.preserves == "nothing":
        return f"has no code for the zeros that {left.label} left"
    if isinstance(left, EmbeddingMethod) and "tables" in method.modifies:
        return f"needs a whole table of embeddings, and {left.label} left its factors"
    if earlier.pattern and earlier.ratio_kind == "sparsity" and method.preserves != "all":
        return f"would not keep the {earlier.pattern} pattern that {left.label} left"
    if earlier.ratio_kind == "sparsity" and method.preserves == "nothing":
        return f"would mix the zeros that {left.label} left"
    if isinstance(left, LowRank | FactoredUnitMethod) and later.ratio_kind == "parameters":
        return f"needs whole matrices, and {left.label} left products of two"
    if isinstance(left, ConvMethod):
        return f"needs whole convolutions, and {left.label} left products of two"
    if isinstance(left, SliceMethod) and isinstance(method, LowRank):
        return f"cannot factor the shortcuts that {left.label} put between blocks"
    if isinstance(left, SliceMethod) and isinstance(method, BlockRemovalMethod | HiddenSizeMethod | SliceMethod):
        return f"needs hidden states that mean the same in every block, and {left.label} rotated them block by block"
    return None


def _ratio(
    method: type[Method], ratio: float | None, pattern: str | None, before: Sequence[Stage] = ()
) -> float | None:
    if not method.takes_amount:
        if ratio or pattern:
            raise UserError(f"{method.name} has nothing removed; leave ratio and pattern out.")
        return None
    if method.bit_choices:
        gone = 1 - bits_of(method, pattern or DEFAULT_BITS) / WHOLE_BITS
        if ratio is not None and (pattern is None or abs(ratio - gone) > 1e-9):
            raise UserError(f"{method.label} has no ratio; give bits a weight, such as {method.name}@{DEFAULT_BITS}.")
        return gone
    if method.factor_choices:
        gone = round(1 - 1 / factor_of(method, pattern or DEFAULT_FACTOR), RATIO_PLACES)
        if ratio is not None and (pattern is None or abs(ratio - gone) > 1e-9):
            raise UserError(f"{method.label} has no ratio; give a factor, such as {method.name}@{DEFAULT_FACTOR}.")
        return gone
    if pattern is not None:
        if not method.supports_nm:
            raise UserError(f"{method.label} has no N:M patterns; give a ratio.")
        gone = pattern_ratio(before, pattern)
        if ratio is not None and abs(ratio - gone) > 1e-9:
            raise UserError(f"Pattern {pattern} removes {gone:g} of the weights, not {ratio}; leave the ratio out.")
        return gone
    return check_ratio(DEFAULT_RATIO if ratio is None else ratio)


def check_ratio(ratio: float) -> float:
    """Return the ratio with as many places as ratios have; a `UserError` where it is none."""
    if not 0 <= ratio < 1:
        raise UserError(f"Ratio {ratio} is outside [0, 1): it is the share of weights removed, such as 0.5.")
    if round(ratio, RATIO_PLACES) == 1:
        raise UserError(
            f"Ratio {ratio} is too near to 1: ratios have {RATIO_PLACES} decimal places, so 0.999999 is most."
        )
    return round(ratio, RATIO_PLACES)


def default_amount(method: type[Method]) -> str | None:
    """Return what stands for the ratio of a method where nothing is asked for: bits, or a factor; None of others."""
    if method.bit_choices:
        return DEFAULT_BITS
    return DEFAULT_FACTOR if method.factor_choices else None


def build_stage(
    method: str,
    ratio: float | None = None,
    pattern: str | None = None,
    settings: Mapping[str, Any] | None = None,
    calibration: TextWindows | None = None,
    seed: int = 0,
    layers: str | None = None,
    before: Sequence[Stage] = (),
) -> Stage:
    """Return the validated stage. Calibration enters only where the method reads a text, the seed also where it draws.

    `before` are the stages that it follows, which decide what an N:M pattern comes to.
    """
    found = get_stage(method)
    wanted = found.create(found.parse_parameters(settings or {}), seed, pattern)
    reads_text = wanted.data_requirement != "nothing"
    if reads_text:
        if calibration is None:
            raise UserError(f"{found.label} reads text; give a calibration corpus such as c4-sample:16x2048.")
        wanted.check_amount(calibration)
    if pattern:
        wanted.check_pattern(pattern)
    return Stage(
        method=found.name,
        version=wanted.result_version,
        ratio=_ratio(found, ratio, pattern, before),
        ratio_kind=found.ratio_kind,
        pattern=pattern or default_amount(found),
        parameters=wanted.stored_parameters(),
        calibration=calibration if reads_text else None,
        seed=seed if wanted.seeded else None,
        layers=layers if wanted.selects_layers else None,
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
    scoring: Dtype | None = None,
) -> RunSpec:
    """Return the validated run. `model` and `revision` are as `core.models.sources.identify` gives them.

    A precision of scoring that changes nothing is left out, so that runs that ask for the same are the same.
    """
    known = next((known for known in DTYPES if known == dtype), None)
    if known is None:
        raise UserError(f"Unknown dtype {echo(dtype)}; known: {', '.join(DTYPES)}.")
    return RunSpec(
        variant=VariantSpec(model=model, revision=revision, dtype=known, stages=tuple(stages)),
        perplexity=tuple(perplexity),
        tasks=tuple(tasks),
        scoring=scoring if tasks and scoring != known else None,
        latency=latency,
        device=device,
        force=force,
    )


def variant_spec(variant: Variant) -> VariantSpec:
    """Return what makes a stored variant; a `UserError` where this version cannot make it or would make another."""
    name = f"Variant {variant.key[:12]}"
    if variant.is_external:
        raise UserError(f"{name} was {variant.method}: how it was made is not known, so it cannot be made here.")
    for place, stage in enumerate(variant.stages):
        try:
            found = get_stage(stage.method)
        except UserError:
            raise UserError(f"{name} was made with {stage.method!r}, which this version does not have.") from None
        if not stage.version:
            raise UserError(f"{name} was made by a version of {found.label} that is not known; run it again first.")
        if stage.version != (current := build_method(stage).result_version):
            raise UserError(
                f"{name} was made by version {stage.version} of {found.label}, and this is version {current}; "
                "run it again first."
            )
        build_stage(
            found.name,
            stage.ratio,
            stage.pattern,
            settings_of(stage),
            stage.calibration,
            stage.seed or 0,
            stage.layers,
            variant.stages[:place],
        )  # refuses what a line that someone else wrote may hold
    return VariantSpec(model=variant.model, revision=variant.revision, dtype=variant.dtype, stages=variant.stages)
