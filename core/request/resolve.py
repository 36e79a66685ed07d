"""From the stages of a chain as they are asked for to checked stages; what needs no model. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.chain import ChainDefaults, StageRequest
from core.errors import UserError
from core.methods.base import Method
from core.methods.terms import Reads
from core.registry import get_stage
from core.request.stages import DEFAULT_RATIO, build_stage, check_stage_order, default_amount
from core.specs import Stage, TextWindows

MOST_SEED = 2**31  # every generator takes it


def data_requirement_of(one: StageRequest) -> Reads:
    """Return what text a stage will read. Raises `UserError` where its parameters do not fit."""
    return _method(one).data_requirement


def seeded(one: StageRequest) -> bool:
    """Return whether the seed decides the result of a stage. Raises `UserError` where its parameters do not fit."""
    return _method(one).seeded


def _method(one: StageRequest) -> Method:
    """Return the method of a stage, as its parameters make it. Raises `UserError` where these do not fit."""
    found = get_stage(one.name)
    with one.error_context():
        return found.create(found.parse_parameters(one.settings), None)


def resolve_text(one: StageRequest, beside: ChainDefaults) -> TextWindows | None:
    """Return the text of a stage that reads one, its own or that which is given beside the chain.

    Raises `UserError` where the stage names a text, or a seed, and reads none.
    """
    reads = data_requirement_of(one)
    if reads != "nothing":
        return one.text or beside.text(reads)
    drawn = seeded(one)
    for name, value in (("text", one.text), ("seed", None if drawn else one.seed)):
        if value is not None:
            with one.error_context(name):
                nothing = "reads no text" if drawn else "reads no text and draws nothing"
                raise UserError(f"{get_stage(one.name).label} {nothing}, so it takes no {name}.")
    return None


def resolve_chain(chain: Sequence[StageRequest], beside: ChainDefaults) -> tuple[Stage, ...]:
    """Return the checked stages of a chain, with what is given beside it; a `UserError` says where one does not fit."""
    stages: list[Stage] = []
    for one in chain:
        stages.append(resolve_stage(one, beside, stages))
        with one.error_context():
            check_stage_order(stages)
    return tuple(stages)


def resolve_stage(one: StageRequest, beside: ChainDefaults, before: Sequence[Stage] = ()) -> Stage:
    """Return the stage that is asked for after those `before`, whether or not it may follow them."""
    text = resolve_text(one, beside)
    with one.error_context("seed"):
        seed = check_seed(one.seed if one.seed is not None else beside.seed or 0)
    with one.error_context("layers"):
        if one.layers is not None and not _method(one).selects_layers:
            raise UserError(f"{get_stage(one.name).label} works on the whole model; leave the layers out.")
    with one.error_context("@"):
        ratio = _ratio(one, before)
        return build_stage(one.name, ratio, one.pattern, one.settings, text, seed, one.layers, before)


def check_seed(seed: int) -> int:
    """Return the seed; a `UserError` where no generator takes it."""
    if seed < 0:
        raise UserError(f"Seed {seed} is negative; seeds are 0, 1, 2 and so on.")
    if seed > MOST_SEED:
        raise UserError(f"Seed {seed} is larger than {MOST_SEED}, the last one.")
    return seed


def _ratio(one: StageRequest, before: Sequence[Stage]) -> float | None:
    """Return the ratio that is asked for; where nothing is, the first stage that removes anything gets the default."""
    usual = default_amount(get_stage(one.name))
    if one.open:
        raise UserError(
            f"The amount of {one.name} is left open; give one, such as {one.name}@{usual or DEFAULT_RATIO}."
        )
    if one.ratio is not None or one.pattern or not get_stage(one.name).takes_amount:
        return one.ratio
    if usual is None and any(stage.removes for stage in before):
        raise UserError(f"Say how much {one.name} is to leave removed in all, such as {one.name}@0.7.")
    return DEFAULT_RATIO
