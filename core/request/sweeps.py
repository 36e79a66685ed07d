"""The runs of a sweep: models x methods x (ratios and patterns) x seeds, each variant once."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from core.errors import UserError
from core.models.facts import facts
from core.models.sources import identify
from core.registry import get_method
from core.request.complete import complete
from core.specs import Calibration, Frozen, Perplexity, RunSpec, Task, parse_pattern

Target = tuple[float | None, str | None]  # a ratio or a pattern


class Grid(Frozen):
    models: tuple[str, ...]
    methods: tuple[str, ...]
    ratios: tuple[float, ...] = ()
    patterns: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    recoveries: tuple[str, ...] = ()
    tasks_at: tuple[str, ...] | None = None  # ratios and patterns that the tasks are measured on; None is all


class Measuring(TypedDict, total=False):
    """What every run of a sweep has in common; absent is as in `core.request.complete.complete`."""

    calibration: Calibration | None
    perplexity: Sequence[Perplexity]
    device: str
    dtype: str
    latency: bool
    force: bool


def points(
    grid: Grid,
    *,
    tasks: Sequence[Task] = (),
    recovery_settings: Mapping[str, Any] | None = None,
    training: Calibration | None = None,
    **measuring: Unpack[Measuring],
) -> tuple[list[RunSpec], dict[str, str]]:
    """Return the runs in order, each model's dense baseline first; and the models without any, by what is wrong.

    Raises `UserError`, before anything is run, for all else that is wrong, and where every model is.
    """
    methods = [name for name in grid.methods if get_method(name).takes_amount]
    targets: list[Target] = [(ratio, None) for ratio in grid.ratios]
    targets += [(None, pattern) for pattern in grid.patterns]
    if methods and not targets:
        raise UserError("A sweep needs --ratios or --patterns, such as --ratios 0.1:0.7:0.1 --patterns 2:4,4:8.")
    with_tasks = None if grid.tasks_at is None else {_target(text) for text in grid.tasks_at}
    if with_tasks is not None and (strange := with_tasks - set(targets)):
        ratio, pattern = min(strange, key=str)
        raise UserError(f"Tasks are asked for at {pattern or ratio}, which is not a point of this sweep.")
    specs: dict[str, RunSpec] = {}  # by key: what draws nothing has one key for all seeds
    unfit: dict[str, str] = {}
    for model in grid.models:
        try:
            facts(identify(model))
        except UserError as error:
            unfit[model] = str(error)
            continue
        dense = complete(model, "dense", tasks=tasks, **measuring)
        specs[dense.variant.key] = dense
        for method in methods:
            for target in targets:
                for seed in grid.seeds:
                    at = tasks if with_tasks is None or target in with_tasks else ()
                    for recovery in (None, *grid.recoveries):
                        spec = complete(
                            model,
                            method,
                            ratio=target[0],
                            pattern=target[1],
                            seed=seed,
                            tasks=at,
                            recovery=recovery,
                            recovery_settings=recovery_settings if recovery else None,
                            training=training if recovery else None,
                            **measuring,
                        )
                        specs.setdefault(spec.variant.key, spec)
    if not specs:
        raise UserError(" ".join(unfit.values()))
    return list(specs.values()), unfit


def _target(text: str) -> Target:
    if ":" in text:
        parse_pattern(text)
        return None, text
    try:
        return float(text), None
    except ValueError:
        raise UserError(f"{text!r} is neither a ratio, such as 0.5, nor a pattern, such as 2:4.") from None
