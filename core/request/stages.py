"""Validation of stages; imports no torch."""

from collections.abc import Mapping, Sequence

from core.amount import RATIO_PLACES, Amount, Bits, Factor, Pattern, Ratio, no_pattern
from core.base.errors import UserError, echo
from core.methods.base import Method
from core.methods.terms import REASONS
from core.notation.chain import bits_or_factor_of
from core.registry import build_method, get_stage, leaves, settings_of
from core.results import Variant
from core.specs import COUNTED, DTYPES, Dtype, Scalar, Stage, TextWindows, VariantSpec

DEFAULT_MODEL = "smollm2-135m"
DEFAULT_RATIO = 0.5
DEFAULT_BITS = Bits(4)
DEFAULT_FACTOR = Factor(2)
DEFAULT_WINDOW = 2048
DEFAULT_WINDOWS = 16
DEFAULT_LIMIT = 500  # documents per task in the dashboard
DEFAULT_EXAMPLES, DEFAULT_EXAMPLE = 512, 256  # sequences of training data, and tokens of each


def check_divides(pattern: Pattern, inputs: int, layer: str) -> None:
    """Raise `UserError` if the M of N:M does not divide the inputs of a layer."""
    if inputs % pattern.group:
        raise UserError(
            f"{pattern} does not divide the {inputs} inputs of {layer}; choose another N:M, or exclude such layers."
        )


def pattern_ratio(before: Sequence[Stage], pattern: Pattern) -> float:
    """Compute the pruning ratio of N:M sparsity after earlier stages: 1 - present * N / M.

    `present` is the share of the dense weights that earlier stages on all layers did not remove as units, according to
    their ratios. Zeros of earlier stages count among those of N:M.
    """
    present = nonzero = 1.0  # shares of the dense weights
    for stage in before:
        if stage.prunes and stage.layers is None:
            if stage.ratio_kind == "parameters":
                present *= min(1.0, (1 - stage.required_ratio) / nonzero)
            nonzero = 1 - stage.required_ratio
    if present == 1:
        return pattern.fraction
    return round(1 - present * pattern.kept / pattern.group, RATIO_PLACES)


def check_stage_order(stages: Sequence[Stage]) -> None:
    """Raise `UserError` if a stage cannot follow those before it.

    A stage needs traits of earlier stages or must accept them (`core.methods.terms`). A removing stage must request at
    least the ratio of earlier ones. The run itself checks conditions that depend on the model.
    """
    for place, later in enumerate(stages):
        method, before = build_method(later), stages[:place]
        method.check_before(frozenset().union(*map(leaves, before)))
        if reason := _refusal(method, before):
            raise UserError(f"{method.label} {reason}; put {method.label} first or remove it.")
        if later.removes:
            alike = [one for one in before if one.removes and one.layers == later.layers]
            earlier = (one.required_ratio for one in alike if {one.ratio_kind, later.ratio_kind} <= set(COUNTED))
            if later.required_ratio < (most := max(earlier, default=0.0)):
                raise UserError(
                    f"{later.method}@{later.amount} is less than the {100 * most:g} % that earlier stages removed, "
                    "which its ratio includes; raise it, or remove the stage."
                )


def _refusal(method: Method, before: Sequence[Stage]) -> str | None:
    """Return why a method cannot follow some stages, to continue its label, or None."""
    for trait in REASONS:
        for stage in before:
            if trait in leaves(stage) - method.accepts:
                return method.refusal(trait).format(label=get_stage(stage.method).label, amount=stage.amount)
    return None


def check_agrees(method: type[Method], amount: Amount, ratio: float, before: Sequence[Stage] = ()) -> None:
    """Raise `UserError` if N:M, bits or a factor of a method have another ratio than the given one."""
    if isinstance(amount, Ratio):
        return
    removed = _ratio(method, amount, before)
    if removed is None or abs(ratio - removed) <= 1e-9:
        return
    if method.bit_choices or method.factor_choices:
        raise _takes_no_ratio(method)
    raise UserError(f"{amount} has a ratio of {removed:g}, not {ratio}; leave the ratio out.")


def _ratio(method: type[Method], amount: Amount | None, before: Sequence[Stage] = ()) -> float | None:
    """Return the ratio of an amount after earlier stages; a `UserError` if the method does not support the amount."""
    if not method.takes_amount:
        if amount not in (None, Ratio(0.0)):
            raise UserError(f"{method.name} removes nothing; leave ratio and pattern out.")
        return None
    amount = amount or default_amount(method)
    if method.bit_choices or method.factor_choices:
        if isinstance(amount, Ratio):
            raise _takes_no_ratio(method)
        return bits_or_factor_of(method, amount).fraction
    if isinstance(amount, Ratio):
        return check_ratio(amount.value)
    if not method.supports_nm:
        raise UserError(f"{method.label} does not support N:M sparsity; give a ratio.")
    if not isinstance(amount, Pattern):
        raise no_pattern(str(amount))
    return pattern_ratio(before, amount)


def _takes_no_ratio(method: type[Method]) -> UserError:
    needed = "bits per weight" if method.bit_choices else "a factor"
    return UserError(f"{method.label} takes no ratio; give {needed}, such as {method.name}@{default_amount(method)}.")


def check_ratio(ratio: float) -> float:
    """Round a ratio to `RATIO_PLACES`; a `UserError` if it is outside [0, 1)."""
    if not 0 <= ratio < 1:
        raise UserError(f"Ratio {ratio} is outside [0, 1); give a share such as 0.5.")
    if round(ratio, RATIO_PLACES) == 1:
        raise UserError(
            f"Ratio {ratio} is too close to 1; give at most 0.999999, as ratios have {RATIO_PLACES} decimal places."
        )
    return round(ratio, RATIO_PLACES)


def default_amount(method: type[Method]) -> Amount:
    """Return the default bits, factor or ratio of a method."""
    if method.bit_choices:
        return DEFAULT_BITS
    return DEFAULT_FACTOR if method.factor_choices else Ratio(DEFAULT_RATIO)


def build_stage(
    method: str,
    amount: Amount | None = None,
    settings: Mapping[str, Scalar] | None = None,
    calibration: TextWindows | None = None,
    seed: int = 0,
    layers: str | None = None,
    before: Sequence[Stage] = (),
) -> Stage:
    """Validate a stage.

    It stores `calibration` only if the method reads text, and `seed` only if the result depends on it. The ratio of
    N:M depends on the stages `before`.
    """
    found = get_stage(method)
    wanted = found.create(found.parse_parameters(settings or {}), seed, amount)
    reads_text = wanted.data_requirement != "nothing"
    if reads_text:
        if calibration is None:
            raise UserError(
                f"{found.label} needs {wanted.data_requirement} data; give some, such as c4-sample:16x2048."
            )
        wanted.check_amount(calibration)
    ratio, amount = _ratio(found, amount, before), amount or default_amount(found)
    if isinstance(amount, Pattern):
        wanted.check_pattern(amount)
    wanted.check_shifts(amount)
    return Stage(
        method=found.name,
        version=wanted.result_version,
        ratio=ratio,
        ratio_kind=found.ratio_kind,
        amount=None if isinstance(amount, Ratio) else amount,  # a ratio is rounded
        parameters=wanted.stored_parameters(),
        calibration=calibration if reads_text else None,
        seed=seed if wanted.seeded else None,
        layers=layers if wanted.selects_layers else None,
    )


def parse_dtype(text: str) -> Dtype:
    """Return a precision such as `float16`; a `UserError` for another word."""
    known = next((known for known in DTYPES if known == text), None)
    if known is None:
        raise UserError(f"Unknown dtype {echo(text)}; known: {', '.join(DTYPES)}.")
    return known


def check_version(stage: Stage, owner: str) -> None:
    """Raise `UserError` if this version of the program makes a stage otherwise than its `owner` asks for."""
    try:
        found = get_stage(stage.method)
    except UserError:
        raise UserError(f"{owner} uses {stage.method!r}, which this version lacks.") from None
    if stage.version != (current := build_method(stage).result_version):
        other = f"version {stage.version} of {found.label}"
        raise UserError(f"{owner} uses {other}, but the current version is {current}; run it again.")


def variant_spec(variant: Variant) -> VariantSpec:
    """Return the spec that reproduces a stored variant; a `UserError` if this version cannot reproduce it."""
    name = f"Variant {variant.key[:12]}"
    if variant.is_external:
        raise UserError(f"{name} was {variant.method} without its stages, so it cannot be reproduced.")
    for place, stage in enumerate(variant.stages):
        check_version(stage, name)
        found = get_stage(stage.method)
        build_stage(
            found.name,
            stage.amount,
            settings_of(stage),
            stage.calibration,
            stage.seed or 0,
            stage.layers,
            variant.stages[:place],
        )  # rejects invalid values of rows from others
        if stage.amount and stage.ratio is not None:
            check_agrees(found, stage.amount, stage.ratio, variant.stages[:place])
    return VariantSpec(model=variant.model, revision=variant.revision, dtype=variant.dtype, stages=variant.stages)
