"""Resolution of requested stages and scans to checked ones, which match the type of the model; imports no torch."""

import re
from collections.abc import Sequence

from core.amount import WHOLE, Amount, Ratio
from core.base.errors import UserError, echo
from core.methods.base import Method
from core.methods.linear import LinearMethod
from core.models.facts import config_of
from core.models.inspection import inspected
from core.models.shape import is_known
from core.models.source import ModelSource
from core.notation.chain import ChainDefaults, StageRequest, format_chain
from core.registry import build_method, get_stage
from core.request.stages import DEFAULT_RATIO, build_stage, check_stage_order, default_amount
from core.specs import ScanUnit, SensitivityScan, Stage, TextWindows

MOST_SEED = 2**31  # every random generator accepts it


def method_of(one: StageRequest) -> Method:
    """Build the method of a stage with its parameters; a `UserError` if they are invalid."""
    found = get_stage(one.name)
    with one.error_context():
        return found.create(found.parse_parameters(one.settings), None)


def resolve_text(one: StageRequest, defaults: ChainDefaults) -> TextWindows | None:
    """Return the text of a stage, its own or the chain's default; None if it reads none.

    Raises `UserError` if the stage names a text or a seed that its method does not use.
    """
    method = method_of(one)
    reads = method.data_requirement
    if reads != "nothing":
        return one.text or defaults.text(reads)
    for name, value in (("text", one.text), ("seed", None if method.seeded else one.seed)):
        if value is not None:
            with one.error_context(name):
                unused = "no data" if method.seeded else "no data and no randomness"
                raise UserError(f"{method.label} uses {unused}; remove {name}.")
    return None


def resolve_chain(chain: Sequence[StageRequest], defaults: ChainDefaults) -> tuple[Stage, ...]:
    """Return the checked stages of a chain with its defaults; a `UserError` names the place of a fault."""
    stages: list[Stage] = []
    for one in chain:
        stages.append(resolve_stage(one, defaults, stages))
        with one.error_context():
            check_stage_order(stages)
    return tuple(stages)


def resolve_stage(one: StageRequest, defaults: ChainDefaults, before: Sequence[Stage] = ()) -> Stage:
    """Return the requested stage; unlike `resolve_chain`, do not check whether it may follow those `before`."""
    text = resolve_text(one, defaults)
    with one.error_context("seed"):
        seed = check_seed(one.seed if one.seed is not None else defaults.seed or 0)
    with one.error_context("layers"):
        if one.layers is not None and not method_of(one).selects_layers:
            raise UserError(f"{get_stage(one.name).label} compresses the whole model; leave out `layers`.")
    with one.error_context("@"):
        return build_stage(one.name, _amount(one, before), one.settings, text, seed, one.layers, before)


def parse_seed(text: str) -> int:
    """Return the seed in a text; a `UserError` if it is not a whole number or out of range."""
    if not re.fullmatch(WHOLE, text.strip()):
        raise UserError(f"Seed {echo(text)} is not a whole number of at most nine digits; use one such as 0, 1 or 2.")
    return check_seed(int(text))


def check_seed(seed: int) -> int:
    """Return the seed; a `UserError` if it is out of range."""
    if seed < 0:
        raise UserError(f"Seed {seed} is negative; give a seed from 0 to {MOST_SEED}.")
    if seed > MOST_SEED:
        raise UserError(f"Seed {seed} is larger than {MOST_SEED}; give a smaller one.")
    return seed


def _amount(one: StageRequest, before: Sequence[Stage]) -> Amount | None:
    """Return the requested amount; the first removing stage defaults to `DEFAULT_RATIO`."""
    usual = default_amount(get_stage(one.name))
    if one.open:
        raise UserError(f"The amount of {one.name} is open; give one, such as {one.name}@{usual}.")
    if one.amount is not None or not get_stage(one.name).takes_amount:
        return one.amount
    if isinstance(usual, Ratio) and any(stage.removes for stage in before):
        raise UserError(f"{one.name} follows another removing stage and needs a total ratio, such as {one.name}@0.7.")
    return Ratio(DEFAULT_RATIO)


def scan_method(stages: Sequence[Stage]) -> LinearMethod | None:
    """Return the method of a one-stage variant that can be scanned, or None: it must compress linears independently."""
    if len(stages) != 1 or not stages[0].removes or stages[0].is_external:
        return None
    method = build_method(stages[0])
    if not isinstance(method, LinearMethod) or method.uniform.observations:
        return None
    return method.uniform


def build_scan(stages: Sequence[Stage], by: ScanUnit, text: TextWindows, seed: int) -> SensitivityScan:
    """Build the sensitivity scan of a variant; `text` and `seed` apply if its method has none.

    Raises `UserError` if the chain cannot be scanned, or the data has only one sequence.
    """
    if scan_method(stages) is None:
        raise UserError(
            f"{format_chain(stages)} cannot be scanned by {by}; give one stage that compresses linears independently, "
            "such as sparsegpt@0.7."
        )
    [stage] = stages
    text = stage.calibration or text
    if text.windows < 2:
        raise UserError(f"{text} has one sequence, but a scan needs two: one for calibration and one for the loss.")
    return SensitivityScan(by=by, text=text, seed=seed if stage.seed is None else stage.seed)


def check_experts(source: ModelSource, chain: Sequence[StageRequest]) -> None:
    """Raise `UserError` if a stage removes experts of a model that has none."""
    config = config_of(source)
    for one in chain:
        with one.error_context():
            wanted = get_stage(one.name).requires == "experts"
            if wanted and (is_known(config) or inspected(config).experts is None):
                label = get_stage(one.name).label
                raise UserError(f"{label} removes experts, and {source.id} has none; use another method.")
