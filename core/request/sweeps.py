"""The runs of a sweep: models x methods x (ratios and patterns) x seeds, each variant once."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from core.chain import StageRequest, parse
from core.errors import UserError, echo
from core.models.facts import load_shape
from core.models.sources import identify
from core.request.complete import complete
from core.specs import Dtype, Frozen, Perplexity, RunSpec, Task, TextWindows, parse_bits, parse_factor, parse_pattern

Amount = tuple[float | None, str | None]  # a ratio or a pattern


class Grid(Frozen):
    models: tuple[str, ...]
    chains: tuple[str, ...]  # as they are written; an amount left open is filled
    ratios: tuple[float, ...] = ()
    patterns: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    tasks_at: tuple[str, ...] | None = None  # ratios and patterns that the tasks are measured on; None is all


class Measuring(TypedDict, total=False):
    """What every run of a sweep has in common; absent is as in `core.request.complete.complete`."""

    calibration: TextWindows | None
    train: TextWindows | None
    perplexity: Sequence[Perplexity]
    device: str
    dtype: str
    scoring: Dtype | None
    latency: bool
    force: bool
    name: str | None


def count(grid: Grid) -> int:
    """Return how many runs a grid asks for, each model's dense baseline among them, before any is looked at.

    That is the most: what draws nothing has one run for all seeds, and what is asked for twice is run once.
    """
    targets = open_amounts(grid)
    chains = sum(len(targets) if any(stage.open for stage in parse(chain)) else 1 for chain in grid.chains)
    return len(grid.models) * (1 + chains * len(grid.seeds))


def open_amounts(grid: Grid) -> list[Amount]:
    """Return the amounts that fill the one that a chain leaves open."""
    return [*((ratio, None) for ratio in grid.ratios), *((None, pattern) for pattern in grid.patterns)]


def expand_grid(
    grid: Grid, *, tasks: Sequence[Task] = (), **measuring: Unpack[Measuring]
) -> tuple[list[RunSpec], dict[str, str]]:
    """Return the runs in order, each model's dense baseline first; and the models without any, by what is wrong.

    Raises `UserError`, before anything is run, for all else that is wrong, and where every model is.
    """
    targets = open_amounts(grid)
    name = measuring.get("name")
    if name is not None and len(grid.models) > 1:
        raise UserError(
            f"The name {echo(name)} is for one model, and there are {len(grid.models)}; sweep over one of them."
        )
    filled = [one for chain in grid.chains for one in _filled(parse(chain), targets)]
    with_tasks = None if grid.tasks_at is None else {parse_amount(text) for text in grid.tasks_at}
    if with_tasks is not None and (strange := with_tasks - {_last(chain) for chain in filled}):
        ratio, pattern = min(strange, key=str)
        raise UserError(f"Tasks are asked for at {pattern or ratio}, which is not a point of this sweep.")
    specs: dict[str, RunSpec] = {}  # by key: what draws nothing has one key for all seeds
    unfit: dict[str, str] = {}
    for model in grid.models:
        try:
            load_shape(identify(model, name))
        except UserError as error:
            unfit[model] = str(error)
            continue
        dense = complete(model, "dense", tasks=tasks, **measuring)
        specs[dense.variant.key] = dense
        for chain in filled:
            at = tasks if with_tasks is None or _last(chain) in with_tasks else ()
            for seed in grid.seeds:
                spec = complete(model, chain, seed=seed, tasks=at, **measuring)
                specs.setdefault(spec.variant.key, spec)
    if not specs:
        raise UserError(" ".join(unfit.values()))
    return list(specs.values()), unfit


def _filled(chain: Sequence[StageRequest], targets: Sequence[Amount]) -> list[tuple[StageRequest, ...]]:
    """Return the chain at each target where it leaves an amount open; else the chain."""
    if not any(stage.open for stage in chain):
        return [tuple(chain)]
    if not targets:
        raise UserError("A sweep needs --ratios or --patterns, such as --ratios 0.1:0.7:0.1 --patterns 2:4,4:8.")
    return [tuple(stage.with_amount(*target) if stage.open else stage for stage in chain) for target in targets]


def _last(chain: Sequence[StageRequest]) -> Amount:
    """Return the last amount of a chain."""
    amounts = [(stage.ratio, stage.pattern) for stage in chain if stage.ratio is not None or stage.pattern]
    return amounts[-1] if amounts else (None, None)


def parse_amount(text: str) -> Amount:
    """Return the amount that is written as a ratio, a pattern, bits or a factor; a `UserError` where it is none."""
    if parse_bits(text) is not None or parse_factor(text) is not None:
        return None, text
    if ":" in text:
        parse_pattern(text)
        return None, text
    try:
        return float(text), None
    except ValueError:
        raise UserError(
            f"{echo(text)} is no ratio, such as 0.5, no pattern, such as 2:4, no bits, such as 4bit, and no factor, "
            "such as 2x."
        ) from None
