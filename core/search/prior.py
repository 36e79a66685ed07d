"""What a search expects of a chain before any measurement: the sum of the stored effects of its stages.

An effect is ln(perplexity / dense perplexity). A stage that was not measured takes the effect that follows from its
method at other amounts, then from other models, then from a rough rule of its amount. Each source has a standard
deviation of its error, which the search narrows by measuring (`core.search.sampler`).

A sum that ends in a stage on the embedding or head has the errors of the estimates that pages show
(`core.findings.estimates.rule`).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

import numpy as np

from core.amount import Bits, Factor
from core.findings.best.budget import USABLE_TIMES_DENSE
from core.findings.estimates.rule import RuleError
from core.notation.chain import format_chain
from core.registry import BY_NAME, build_method, on_own_grid
from core.request.combining import TABLES, ends_on_tables
from core.results import Result
from core.specs import Stage, canonical_json

MOST = 5.0  # nats: a larger effect only shows that the model diverged
LEAST = 1e-3  # nats: below it, effects are rounding
LEAST_OF_LAW = 3  # different amounts
MOST_FACTOR = 20.0  # logarithm of the measured over the rough effect
# The error of each source, as nats plus a share of the effect.
MEASURED, SAME_METHOD, OTHER_SETTINGS = (0.02, 0.1), (0.05, 0.35), (0.05, 0.5)
OTHER_MODEL, RULE = (0.1, 0.7), (0.1, 1.0)
SUM = 0.15  # share of a sum of effects that it misses, where too few measured chains check the sum
RECOVERED = 0.3  # share of the earlier effects that an unmeasured recovery removes; and the error of that share

Stages = tuple[Stage, ...]


class Effect(NamedTuple):
    """An expected effect in nats, and the standard deviation of its error."""

    loss: float
    spread: float


class MeasuredEffect(NamedTuple):
    """The measured effect of a chain in nats."""

    stages: Stages
    loss: float


Effects = Mapping[str, MeasuredEffect]  # by chain


def stored_effects(results: Iterable[Result]) -> dict[str, MeasuredEffect]:
    """Return the effect of each stored chain of a model, the mean over the texts on which dense is measured, too.

    Args:
        results: The results of one model, the dense one among them.
    """
    known = [result for result in results if not result.variant.is_external and not result.variant.cut_short]
    losses = {  # ln(perplexity) by text and protocol, of each variant
        result.variant.key: {
            (row.dataset, row.protocol_id): math.log(row.value) if math.isfinite(row.value) and row.value > 0 else 100.0
            for row in result.measurements
            if row.metric == "perplexity" and row.of_text
        }
        for result in known
    }
    effects: dict[str, list[float]] = defaultdict(list)
    stages: dict[str, Stages] = {}
    for result in known:
        variant, dense = result.variant, losses.get(result.variant.dense_key, {})
        if variant.key != variant.dense_key and not on_own_grid(variant.model, variant.stages):
            chain, own = format_chain(variant.stages), losses[variant.key]
            stages[chain] = tuple(variant.stages)
            effects[chain] += [own[text] - dense[text] for text in own.keys() & dense.keys()]
    return {chain: MeasuredEffect(stages[chain], min(fmean(each), MOST)) for chain, each in effects.items() if each}


class Prior:
    """The expected effects of chains, from those of one model and of others."""

    def __init__(self, own: Effects, others: Sequence[Effects] = ()):
        self.own, self.others = own, others
        self.only_others = not own and any(others)
        self._errors = RuleError(tuple(error for effects in (own, *others) for error in _errors(effects)))
        self._curves = [_curves(own), *map(_curves, others)]

    def of_chain(self, stages: Sequence[Stage]) -> Effect:
        """Return the expected effect of a chain: that of its longest measured start plus those of the other stages."""
        if not stages:
            return Effect(0.0, 0.0)
        counts = range(len(stages), 1, -1)
        measured = next((count for count in counts if format_chain(stages[:count]) in self.own), 1)
        chain = format_chain(stages[:measured])
        start = _with_error(self.own[chain].loss, MEASURED) if chain in self.own else self.of_stage(stages[0])
        if measured == len(stages):
            return start
        loss, variance = start.loss, start.spread**2
        for stage in stages[measured:]:
            if stage.recovers:
                variance += (RECOVERED * loss) ** 2
                loss -= RECOVERED * loss
            else:
                more = self.of_stage(stage)
                loss, variance = loss + more.loss, variance + more.spread**2
        error = self._errors.of(format_chain(stages[-1:])) if ends_on_tables(format_chain(stages)) else None
        loss += error.mean if error else 0.0
        variance += (error.spread if error else SUM * loss) ** 2
        return Effect(min(loss, MOST), math.sqrt(variance))

    def of_stage(self, stage: Stage) -> Effect:
        """Return the expected effect of a stage alone."""
        chain = format_chain((stage,))
        if chain in self.own:
            return _with_error(self.own[chain].loss, MEASURED)
        if not stage.removes:
            return Effect(0.0, 0.02)
        rough, method, settings = rule(stage), stage.method, canonical_json(stage.parameters)
        own, *others = self._curves
        if (method, settings) in own:
            return _with_error(rough * _at(own[method, settings], rough), SAME_METHOD)
        if near := [curve for (name, _), curve in own.items() if name == method]:
            return _with_error(rough * median(_at(curve, rough) for curve in near), OTHER_SETTINGS)
        if elsewhere := [effects[chain].loss for effects in self.others if chain in effects]:
            return _with_error(median(elsewhere), OTHER_SETTINGS)
        alike = [curves[method, settings] for curves in others if (method, settings) in curves]
        if near := alike or [curve for curves in others for (name, _), curve in curves.items() if name == method]:
            return _with_error(rough * median(_at(curve, rough) for curve in near), OTHER_MODEL)
        return _with_error(rough, RULE)


def _errors(effects: Effects) -> Iterator[tuple[str, float]]:
    """Yield the last stage of each measured chain whose two parts are measured, too, and the error of their sum."""
    for chain, (stages, loss) in effects.items():
        parts = format_chain(stages[:-1]), format_chain(stages[-1:])
        if len(stages) > 1 and ends_on_tables(chain) and effects.keys() >= set(parts):
            expected = sum(effects[part].loss for part in parts)
            if expected < math.log(USABLE_TIMES_DENSE):
                yield parts[1], loss - expected


def rule(stage: Stage) -> float:
    """Return a rough effect of a stage in nats from its amount alone: its order of magnitude on small models."""
    method, amount = build_method(stage), stage.amount
    if isinstance(amount, Bits):
        return max(LEAST, (8 if method.modifies == TABLES else 16) * float(4.0 ** (1 - amount.bits)))
    if isinstance(amount, Factor):
        return max(LEAST, amount.factor - 1)
    width = getattr(method.parameters, "bits", None)  # of a method that prunes and rounds at once
    rounding = 0.0 if width is None else 16 * float(4.0 ** (1 - width))
    return max(LEAST, (3 if method.ratio_kind == "sparsity" else 10) * stage.required_ratio**2 + rounding)


def _with_error(loss: float, error: tuple[float, float]) -> Effect:
    loss = min(loss, MOST)
    return Effect(loss, error[0] + error[1] * abs(loss))


def _curves(effects: Effects) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return, of each method and its parameters, the rough and the measured effects of single stages in order."""
    curves: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for stages, loss in effects.values():
        (first, *others) = stages
        if not others and first.removes and first.method in BY_NAME:  # of this version
            rough = rule(first)
            curves[first.method, canonical_json(first.parameters)].append((rough, max(loss, LEAST) / rough))
    return {name: sorted(points) for name, points in curves.items()}


def _at(curve: Sequence[tuple[float, float]], rough: float) -> float:
    """Return the measured over the rough effect, interpolated in logarithms.

    Beyond enough measured ones it follows the P2 law (arXiv:2411.10272), L = L0 + C r^-g, a line in logarithms, because
    the rough effect of a ratio is a power of it. Beyond few it is constant.
    """
    places, factors = (np.log([point[axis] for point in curve]) for axis in (0, 1))
    place = math.log(rough)
    if not places[0] <= place <= places[-1] and len(set(places.tolist())) >= LEAST_OF_LAW:
        slope, start = np.polyfit(places, factors, 1)
        return math.exp(min(float(start + slope * place), MOST_FACTOR))
    return math.exp(float(np.interp(place, places, factors)))
