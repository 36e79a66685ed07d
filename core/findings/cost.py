"""What it takes to make a variant: times of stages that had the machine alone, and the peak memory.

A time beside other programs says little of a method, so it is never compared with others.
"""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from core.fields import Details
from core.findings.seeds import unseeded
from core.notation.formatting import format_duration
from core.results import Variant

ALONE = 0.05  # of all cores: what other programs may use beside a stage that has the machine alone
NOT_ALONE = "not measured alone"


class Cost(NamedTuple):
    """The cost of a variant's stages."""

    seconds: float | None  # None if a stage never had the machine alone
    memory: float | None  # peak of the processes that made it, in bytes
    machine: str  # with which the times were measured: `2 threads of cpu (AMD EPYC)`


def is_alone(run: Details) -> bool:
    """Return whether a stage had the machine alone; without a record nobody knows."""
    load = run.get("other_load")
    return load is not None and load <= ALONE


def cost_of(twins: Sequence[Variant], others: Iterable[Variant] = ()) -> Cost:
    """Return the cost of a variant, stage by stage the median over its `twins`, which differ only in their seeds.

    A time of any of the `others` counts, too, if its stages up to this one are the same.
    """
    memory = max((run.get("peak_memory") or 0 for one in twins for run in one.stage_runs), default=0)
    seconds, machines, known = 0.0, [], {one.key for one in twins}
    measured = [*twins, *(one for one in others if one.key not in known)]
    for place in range(len(twins[0].stages) if twins else 0):
        begin = _begin(twins[0], place)
        same = [one for one in measured if _begin(one, place) == begin]
        runs = [one.stage_runs[place] for one in same if place < len(one.stage_runs)]
        alone = [run for run in runs if is_alone(run)]
        if not alone:
            return Cost(None, memory or None, "")
        seconds += median(run["seconds"] for run in alone)
        machines += [f"{run.get('threads', '?')} threads of {run.get('device', '?')}" for run in alone]
    return Cost(seconds, memory or None, ", ".join(dict.fromkeys(machines)))


def needs(variant: Variant) -> list[str]:
    """Return the texts that making a variant reads, and the time that its stages took."""
    texts = {stage.calibration.corpus for stage in variant.stages if stage.calibration}
    seconds = [run["seconds"] for run in variant.stage_runs if "seconds" in run]
    return [*sorted(texts), *([format_duration(sum(seconds))] if seconds else [])]


def _begin(variant: Variant, place: int) -> tuple[object, ...]:
    """Return what a variant's stages up to a place depend on, without seeds."""
    return variant.model_id, variant.dtype, unseeded(variant.stages[: place + 1])
