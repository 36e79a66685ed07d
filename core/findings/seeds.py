"""The variance between the seeds of a method, without which a difference is one of two models only.

Stages that read text or draw random numbers depend on a seed. Chains with such stages of the same methods share one
variance in each number, as three seeds of one chain leave two degrees of freedom (random effects).
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations
from math import inf, log
from statistics import fmean, variance
from typing import Protocol

import pandas as pd

from core.base.errors import UserError
from core.findings.numbers.differences import Samples, SeedsOf, SeedVariance
from core.findings.numbers.paired import difference
from core.results import Measurement, Result, Variant
from core.specs import Stage
from core.statistics.correlations import DIFFERENCES, error_of

Twins = list[Result]  # results that differ only in their seeds


class Stored(Protocol):
    """Results with their outcomes, such as a `Store`."""

    def each(self, model: str | None = None) -> Iterable[Result]:
        """Return the results of a model, or all."""

    def get_many(self, keys: Collection[str]) -> dict[str, Result]:
        """Return the results that exist for these keys."""

    def samples(self, key: str, measurement: Measurement) -> pd.DataFrame | None:
        """Return the outcomes of a number; None if there are none."""


class Seeds:
    """The variances between seeds in stored results, as `SeedsOf`."""

    def __init__(self, stored: Stored):
        self._stored = stored
        self._twins: dict[str, list[Twins]] = {}  # by model
        self._known: dict[tuple[object, ...], SeedVariance | None] = {}

    def __call__(self, result: Result, number: Measurement) -> SeedVariance | None:
        """Return the variance of a number between the seeds of its method; None if no two seeds are stored."""
        variant = result.variant
        if not variant.seeded:
            return SeedVariance(0.0, 1)
        if number.metric not in DIFFERENCES or not number.on_windows:
            return None
        pooled = _pool(variant)
        key = (*pooled, number.identity)
        if key not in self._known:
            groups = [twins for twins in self._groups(variant.model) if _pool(twins[0].variant) == pooled]
            self._known[key] = _between(groups, number, self._stored.samples)
        return self._known[key]

    def _groups(self, model: str) -> list[Twins]:
        if model not in self._twins:
            found: dict[tuple[object, ...], Twins] = {}
            for result in self._stored.each(model):
                variant = result.variant
                if variant.seeded and not variant.is_external:
                    found.setdefault((variant.model_id, variant.dtype, unseeded(variant.stages)), []).append(result)
            self._twins[model] = [twins for twins in found.values() if len(twins) > 1]
        return self._twins[model]


def averaged(seeds: SeedsOf, groups: Sequence[Twins]) -> SeedsOf:
    """Return `seeds` for the means that `core.findings.numbers.differences.over_seeds` makes of groups of twins."""
    known = {group[0].variant.key: group for group in groups}

    def of(result: Result, number: Measurement) -> SeedVariance | None:
        found, group = seeds(result, number), known.get(result.variant.key, [result])
        size = max(1, sum(one.measurement(number) is not None for one in group))
        return found and found._replace(variance=found.variance / size)

    return of


def unseeded(stages: Sequence[Stage]) -> tuple[str, ...]:
    """Return stages as JSON without their seeds."""
    return tuple(stage.model_copy(update={"seed": None}).model_dump_json() for stage in stages)


def _pool(variant: Variant) -> tuple[object, ...]:
    return variant.model_id, variant.dtype, variant.seeded


def _between(groups: Sequence[Twins], number: Measurement, samples: Samples) -> SeedVariance | None:
    """Return the variance of a number between seeds, pooled over groups of twins.

    The variance of the values of twins contains half of the variance that their paired difference has, because twins
    also differ by chance on the windows. The interval of a difference has that part already.
    """
    freedom, total = 0, 0.0
    error = error_of(number.dataset, number.protocol, DIFFERENCES[number.metric])
    for twins in groups:
        rows = [(one.variant.key, row) for one in twins if (row := one.measurement(number)) and 0 < row.value < inf]
        if len(rows) < 2:
            continue
        values = [log(row.value) if row.metric == "perplexity" else row.value for _, row in rows]
        outcomes = [samples(key, row) for key, row in rows]
        errors = []
        for first, second in combinations((frame for frame in outcomes if frame is not None), 2):
            try:
                found = difference(number.metric, first, second, error)
            except UserError:  # their documents differ
                continue
            errors.append((found.stderr or 0.0) ** 2)
        total += (len(values) - 1) * (variance(values) - fmean(errors or [0.0]) / 2)
        freedom += len(values) - 1
    return SeedVariance(max(0.0, total / freedom), freedom) if freedom else None
