"""What it takes to make a variant: times of stages that had the machine alone, and the peak memory.

A time beside other programs says little of a method, so it is never compared with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from core.fields import Details
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


def cost_of(twins: Sequence[Variant]) -> Cost:
    """Return the cost of a variant, stage by stage the median over its `twins`, which differ only in their seeds."""
    memory = max((run.get("peak_memory") or 0 for one in twins for run in one.stage_runs), default=0)
    seconds, machines = 0.0, []
    for place in range(len(twins[0].stages) if twins else 0):
        runs = [one.stage_runs[place] for one in twins if place < len(one.stage_runs)]
        alone = [run for run in runs if is_alone(run)]
        if not alone:
            return Cost(None, memory or None, "")
        seconds += median(run["seconds"] for run in alone)
        machines += [f"{run.get('threads', '?')} threads of {run.get('device', '?')}" for run in alone]
    return Cost(seconds, memory or None, ", ".join(dict.fromkeys(machines)))
