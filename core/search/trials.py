"""The trials of a search: a chain is measured on more and more windows, until it loses against the best or has won."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from core.base.errors import UserError
from core.protocols import satisfies
from core.results import Measurement, Result
from core.search.prior import MOST
from core.search.question import WINDOWS, Prepared
from core.search.sampler import Observation
from core.search.space import Candidate, Space
from core.specs import Frozen, Perplexity, RunSpec
from core.store.store import Store

RUNGS = (2, 4, WINDOWS)  # windows on which a chain is measured, on more only while it can still win
# Chance that any rung eliminates a chain that is as good as a preset best one. It is higher if the best one is the
# lowest of several on the same windows, as in a search, because its low loss is partly luck.
FALSE = 0.05
EXPECTED = 0.01, 0.15  # expected standard deviation between windows: nats, and a share of the loss over dense
FREEDOM = 4  # windows that the expectation counts as
HIGHEST = 20.0  # nats: more only shows that the model diverged
REFUSED = MOST, 1.0  # effect in nats and its variance of a chain that could not be made, so that similar ones wait
CUTS = 2  # trials of a chain that may be cut off, as some chain may be what kills the search

# Runs several variants, perhaps at once, and yields each with a function that returns its result or raises its error.
Compute = Callable[[Sequence[RunSpec]], Iterator[tuple[RunSpec, Callable[[], Result]]]]


def one_result(compute: Compute, spec: RunSpec) -> Result:
    """Return the result of one run."""
    ((_, result_of),) = compute([spec])
    return result_of()


def perplexity_on(result: Result, text: Perplexity) -> Measurement | None:
    """Return the perplexity of a result on a text; None without it."""
    return next((row for row in result.measurements if satisfies(row, text, result.variant.dtype)), None)


def times_dense(loss: float) -> float:
    """Return the multiple of the dense perplexity of an effect in nats, bounded for chains that diverged."""
    return math.exp(min(loss, HIGHEST))


class Chosen(NamedTuple):
    """What a chain was chosen for."""

    loss: float  # expected effect in nats
    spread: float  # standard deviation of its error
    seconds: float  # estimated


class Tried(NamedTuple):
    """The outcome of a trial."""

    chain: str
    key: str
    bytes: int  # as the budget counts them
    loss: float  # mean over the windows of the loss minus that of the dense model, in nats
    variance: float  # of the error of `loss`
    windows: int
    eliminated: bool


class Trial(Frozen):
    """A trial of a search. One that does not run and has no end was cut off."""

    chain: str
    expected: Chosen | None = None  # None in searches of earlier versions
    running: bool = False
    outcome: Tried | None = None
    problem: str = ""  # why the chain could not be made


def observations(trials: Iterable[Trial], space: Space) -> tuple[list[Observation], list[Candidate]]:
    """Return what trials measured, and the chains of those that run or were cut off too often.

    Trials name their chain, because the places of parts change when a method is added.
    """
    seen, running = [], []
    cut: Counter[Candidate] = Counter()
    for trial in trials:
        place, outcome = space.find(trial.chain), trial.outcome
        if place is None:
            continue
        if trial.problem:
            seen.append(Observation(place, *REFUSED))
        elif outcome is not None and not math.isnan(outcome.loss):
            variance = outcome.variance if math.isfinite(outcome.variance) else REFUSED[1]  # of a loss that is infinite
            seen.append(Observation(place, min(outcome.loss, MOST), variance))
        elif trial.running:
            running.append(place)
        else:
            cut[place] += 1
    return seen, running + [place for place, count in cut.items() if count >= CUTS]


def loses(losses: np.ndarray, best: np.ndarray) -> bool:
    """Return whether a chain is worse than the best one, by their paired difference.

    Its interval is corrected for the number of rungs, because each one is another chance of a false decision. Few
    windows say little about their own variance, so it is pooled with an expected one: the difference of two chains
    varies between windows in proportion to their loss.

    Args:
        losses: The losses of the chain minus those of the dense model on the windows of a rung, (n,) in nats.
        best: Those of the best chain on the same windows.
    """
    from scipy.special import stdtrit

    differences = losses - best
    n, mean = len(differences), float(np.mean(differences))
    if not math.isfinite(mean):
        return not mean < 0
    if mean <= 0:
        return False
    expected = EXPECTED[0] + EXPECTED[1] * max(0.0, float(np.mean(losses)))
    freedom = n - 1 + FREEDOM
    variance = (float(np.sum((differences - mean) ** 2)) + FREEDOM * expected**2) / freedom
    most = float(stdtrit(freedom, 1 - FALSE / len(RUNGS)))
    return mean > most * math.sqrt(variance / n)


@dataclass
class Racer:
    """Races chains of one model against the best one so far."""

    prepared: Prepared
    compute: Compute
    store: Store
    leader: Tried | None = None
    _losses: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)  # over dense, by key and rung

    def race(self, chains: Sequence[str]) -> dict[str, Tried | UserError]:
        """Measure chains on the windows of each rung until they lose; return the outcome of each, or why it has none.

        Without a best chain to lose against, only the last rung counts. A chain whose real size exceeds the budget is
        never the best.
        """
        tried: dict[str, Tried] = {}
        failed: dict[str, UserError] = {}
        running = list(chains)
        for rung in RUNGS if self.leader else RUNGS[-1:]:
            specs: dict[str, RunSpec] = {}  # by chain
            for chain in running:
                try:
                    specs[chain] = self.prepared.run(chain, rung)
                except UserError as error:
                    failed[chain] = error
            for spec, result_of in self.compute(list(specs.values())) if specs else ():
                chain = next(chain for chain, one in specs.items() if one == spec)
                try:
                    tried[chain] = self._outcome(chain, result_of(), spec, rung)
                except UserError as error:
                    failed[chain] = error
            running = [chain for chain in specs if chain not in failed and not tried[chain].eliminated]
        whole = [tried[chain] for chain in running]
        self.leader = min(filter(None, [self.leader, *whole]), key=lambda one: one.loss, default=None)
        return {chain: failed.get(chain) or tried[chain] for chain in chains}

    def check_dense(self) -> None:
        """Raise `UserError` if the dense model has no finite losses, so that no chain can have an effect."""
        spec = self.prepared.run("dense", RUNGS[-1])
        result = one_result(self.compute, spec)
        row = perplexity_on(result, *spec.perplexity)
        if (row and not math.isfinite(row.value)) or not np.isfinite(self._samples(result, spec)).all():
            raise UserError(
                f"The dense model {self.prepared.source.id} has no finite perplexity on {self.prepared.text}; "
                "give one that has."
            )

    def _outcome(self, chain: str, result: Result, spec: RunSpec, rung: int) -> Tried:
        variant = result.variant
        losses = self._samples(result, spec) - self._samples(self.store.stored(variant.dense_key), spec)  # (windows,)
        size = round(self.prepared.bytes_of(result) or 0)
        out = size > self.prepared.question.most_bytes
        if self.leader is not None:
            step = RUNGS[-1] // rung  # the windows of a rung are evenly spread, so they are among those of the last
            out = out or loses(losses, self._losses[self.leader.key, RUNGS[-1]][::step])
        self._losses[variant.key, rung] = losses
        mean, spread = float(np.mean(losses)), float(np.var(losses, ddof=1)) / rung
        return Tried(chain, variant.key, size, mean, spread, rung, out)

    def _samples(self, result: Result, spec: RunSpec) -> np.ndarray:
        (text,) = spec.perplexity
        row = perplexity_on(result, text)
        samples = None if row is None else self.store.samples(result.variant.key, row)
        if samples is None:
            raise UserError(f"The window losses of {result.variant.key[:12]} on {text} are missing; run it again.")
        losses: np.ndarray = -samples["perplexity"].to_numpy(float)  # (windows,)
        return losses
