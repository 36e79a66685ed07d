"""The runs of a sweep: models x chains x amounts x seeds, each variant once."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pydantic import InstanceOf

from core.amount import Amount
from core.base.errors import UserError, echo
from core.models.facts import load_shape
from core.models.sources import identify
from core.notation.chain import DENSE, StageRequest, last_amount, parse
from core.request.complete import check_covered, complete
from core.request.settings import DEFAULT_SETTINGS, RunSettings
from core.specs import Frozen, RunSpec


class Grid(Frozen):
    """The models, chains, amounts and seeds of a sweep."""

    models: tuple[str, ...]
    chains: tuple[str, ...]  # in the notation of `core.notation.chain`
    amounts: tuple[InstanceOf[Amount], ...] = ()  # that fill an open amount
    seeds: tuple[int, ...] = (0,)
    tasks_at: frozenset[InstanceOf[Amount]] | None = None  # amounts at which tasks are evaluated; None means all


def count(grid: Grid) -> int:
    """Count the runs of a grid, including each model's dense baseline, without checking them.

    The count is an upper bound: a chain without randomness runs once for all seeds, and repeated runs run once.
    """
    chains = sum(len(grid.amounts) if any(stage.open for stage in parse(chain)) else 1 for chain in grid.chains)
    return len(grid.models) * (1 + chains * len(grid.seeds))


def expand_grid(grid: Grid, settings: RunSettings = DEFAULT_SETTINGS) -> tuple[list[RunSpec], dict[str, str]]:
    """Return the runs of a grid in the order of `in_order`, and the error of each invalid model.

    Raises `UserError` if another part of the request is invalid, or all models are.
    """
    if settings.name is not None and len(grid.models) > 1:
        raise UserError(
            f"The name {echo(settings.name)} is for one model, but the sweep has {len(grid.models)}; give one model."
        )
    filled = [one for chain in grid.chains for one in _filled(parse(chain), grid.amounts)]
    if grid.tasks_at is not None and (unknown := grid.tasks_at - {last_amount(chain) for chain in filled}):
        raise UserError(f"Tasks are requested at {min(unknown)}, which is not an amount of this sweep.")
    specs: dict[str, RunSpec] = {}  # by key, which is the same for all seeds without randomness
    unfit: dict[str, str] = {}
    for model in grid.models:
        try:
            source = identify(model, settings.name)
            check_covered(source.id, load_shape(source), settings.partial)
        except UserError as error:
            unfit[model] = str(error)
            continue
        dense = complete(model, DENSE, settings)
        specs[dense.variant.key] = dense
        for chain in filled:
            tasks = settings.tasks if grid.tasks_at is None or last_amount(chain) in grid.tasks_at else ()
            for seed in grid.seeds:
                spec = complete(model, chain, settings.model_copy(update={"seed": seed, "tasks": tasks}))
                specs.setdefault(spec.variant.key, spec)
    if not specs:
        raise UserError(" ".join(unfit.values()))
    return in_order(specs.values()), unfit


def in_order(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return runs so that each chain follows those that it continues, and each model's dense baseline comes first.

    A shared prefix is then computed once, as the next run finds it in the cache.
    """
    first: dict[str, int] = {}  # the place of each prefix by its first appearance

    def place(spec: RunSpec) -> list[int]:
        return [first.setdefault(prefix.key, len(first)) for prefix in spec.variant.prefixes]

    return sorted(specs, key=place)


def _filled(chain: Sequence[StageRequest], amounts: Sequence[Amount]) -> list[tuple[StageRequest, ...]]:
    """Return the chain with each amount in its open place, or unchanged without an open place."""
    place = next((place for place, stage in enumerate(chain) if stage.open), None)
    if place is None:
        return [tuple(chain)]
    if not amounts:
        raise UserError("A sweep needs --ratios or --patterns, such as --ratios 0.1:0.7:0.1 --patterns 2:4,4:8.")
    return [
        tuple(replace(stage, amount=amount, open=False) if stage.open else stage for stage in chain)
        for amount in amounts
    ]
