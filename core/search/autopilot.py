"""The loop of the autopilot: choose a chain, race it against the best one, and learn from the result."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from core.base.errors import UserError
from core.jobs.own import Claim
from core.notation.formatting import format_duration
from core.request.baseline import missing_part
from core.request.expected.estimate import estimate
from core.request.expected.speeds import history_of
from core.search.question import Prepared
from core.search.racing import RUNGS
from core.search.record import Record
from core.search.sampler import ChainSampler, Observation, Residuals
from core.search.space import Candidate
from core.search.trials import Chosen, Compute, Racer, Trial, Tried, observations
from core.specs import ModelId
from core.store.clock import Now
from core.store.store import Store


@dataclass(frozen=True)
class Progressed:
    """A search after a trial."""

    tried: Tried | None  # None: the chain could not be made
    chain: str
    problem: str  # why it could not be made; empty if it could
    best: Tried | None
    count: int
    seconds_left: float  # to the judgement, at most the rest of the minutes
    judgement_seconds: float  # after them, estimated


MIDDLE = RUNGS[1]  # windows of a trial, on average
OnStart = Callable[[str, Chosen], None]  # of a chain


class Estimates:
    """The seconds that the parts of a search take, at the speeds of this machine that the stored runs show."""

    def __init__(self, prepared: Prepared, store: Store):
        self.prepared, self.store = prepared, store
        self._dense = prepared.run("dense", MIDDLE)

    def learn(self, rivals: Sequence[str]) -> None:
        """Estimate anew: the speeds are known better, some first stages are in the cache, and some numbers stored.

        Args:
            rivals: The best chain and the second best, as far as they are known.
        """
        source = self.prepared.source
        self._trials: dict[Candidate, float] = {}
        self._speeds = history_of(self.store).speeds(ModelId(source.id, source.revision))
        dense = self.prepared.judgement("dense")
        specs = [dense, *(self.prepared.judgement(chain) for chain in rivals)]
        runs = [missing_part(spec, self.store.get(spec.variant.key)) for spec in specs]
        runs += [dense] * (2 - len(rivals))  # a chain that is not known yet costs as much
        self.judgement = sum(estimate(run, self._speeds).seconds for run in runs if run)

    def of_trial(self, place: Candidate) -> float:
        """Return the seconds of a chain's trial."""
        if place not in self._trials:
            variant = self._dense.variant.model_copy(update={"stages": self.prepared.space.stages(place)})
            run = self._dense.model_copy(update={"variant": variant})
            self._trials[place] = estimate(run, self._speeds).seconds  # without what is in the cache of variants
        return self._trials[place]


class Autopilot:
    """A search that resumes where an earlier one with the same question stopped.

    Args:
        prepared: The question.
        store: Where the results go.
        compute: Runs variants.
        at_once: Trials that run at once.
        now: The clock.
        on_start: Called before the first trial of all with its chain and what that was chosen for.
        job: The job of this process, if it has one already.
    """

    def __init__(
        self,
        prepared: Prepared,
        store: Store,
        compute: Compute,
        at_once: int = 1,
        now: Callable[[], float] = time.monotonic,
        on_start: OnStart | None = None,
        job: int | None = None,
    ):
        self.on_start = on_start
        self.prepared, self.at_once, self.now = prepared, at_once, now
        question, space = prepared.question, prepared.space
        self.estimates = Estimates(prepared, store)
        self.racer = Racer(prepared, compute, store)
        residuals = Residuals(space, prepared.prior)
        self._whole = 60 * question.minutes
        times = self.estimates.of_trial, lambda: max(0.0, self.seconds_left), self._whole
        self.sampler = ChainSampler(space, residuals, question.most_bytes, *times)
        self.record = Record(store, question, job)
        self._learn()

    @property
    def outcomes(self) -> list[Tried]:
        """The outcomes of all trials."""
        return [trial.outcome for trial in self.record.trials if trial.outcome is not None]

    @property
    def seconds_left(self) -> float:
        """The seconds that the question leaves after all its searches."""
        return self._whole - self.record.seconds

    @property
    def exhausted(self) -> bool:
        """Whether no other chain may be better, whatever the time."""
        return not self._seconds_of_trials(1.0)

    def check_minutes(self) -> None:
        """Raise `UserError` if no trial was measured, and the minutes of the question hold none."""
        if self.outcomes or self.sampler.choose([]) is not None:
            return
        least = self.sampler.least_seconds()
        if self._whole < least < math.inf:
            raise UserError(
                f"{self.prepared.question.minutes:g} minutes hold no trial, as the quickest one takes "
                f"{format_duration(least)}; give at least {math.ceil(least / 60)} min."
            )

    def ranked(self) -> list[Tried]:
        """Return the outcomes of the chains that were not eliminated, the best expected one first."""
        seen, _ = self._observed()
        order = {self.prepared.space.chain(place): number for number, place in enumerate(self.sampler.ranked(seen))}
        left = (one for one in self.outcomes if not one.eliminated)
        return sorted(left, key=lambda one: order.get(one.chain, len(order)))

    def begin(self, claim: Claim) -> int:
        """Let a job search, as `Record.begin` does; before it, no trial starts."""
        return self.record.begin(claim, **self._times(self._seconds_of_trials()))

    def search(self) -> Iterator[Progressed]:
        """Try chains until the time ends or no other may be better; yield after each trial."""
        if whole := [one for one in self.outcomes if not one.eliminated]:  # of an earlier search, all stored
            self.racer.race([min(whole, key=lambda one: one.loss).chain])
        while self.seconds_left > 0:
            with self._counted():
                trials = self._ask()
                if not trials:
                    return
                found = self.racer.race(list(trials))
                if not any(isinstance(one, Tried) and math.isfinite(one.loss) for one in found.values()):
                    self.racer.check_dense()  # if it fails itself, all other chains would, too
            for chain, number in trials.items():
                yield self._ended(number, found[chain])

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the time of some work."""
        started = self.now()
        self.record.write(since=Now())
        try:
            yield
        finally:
            self.record.seconds += self.now() - started
            self.record.write(since=None, seconds=self.record.seconds)

    def _ask(self) -> dict[str, int]:
        """Return the numbers of the next trials by their chains, as many as run at once and as the time allows."""
        trials: dict[str, int] = {}
        while len(trials) < self.at_once:
            seen, running = self._observed()
            place = self.sampler.choose(seen, running)
            if place is None:
                break
            chain, at = self.prepared.space.chain(place), np.array([place])
            loss, spread = (float(one[0]) for one in self.sampler.residuals.posterior(at, seen))
            chosen = Chosen(loss, spread, self.estimates.of_trial(place))
            trials[chain] = len(self.record.trials)
            self.record.put(trials[chain], Trial(chain=chain, expected=chosen, running=True))
            if self.on_start and len(trials) == 1 and not self.outcomes:
                self.on_start(chain, chosen)
        return trials

    def _observed(self) -> tuple[list[Observation], list[Candidate]]:
        return observations(self.record.trials, self.prepared.space)

    def _ended(self, number: int, outcome: Tried | UserError) -> Progressed:
        end = {"problem": str(outcome)} if isinstance(outcome, UserError) else {"outcome": outcome}
        trial = self.record.trials[number].model_copy(update={"running": False, **end})
        self.record.put(number, trial)
        self._learn()
        left = self._seconds_of_trials()
        self.record.state(**self._times(left))
        best, count = self.racer.leader, len(self.outcomes)
        return Progressed(trial.outcome, trial.chain, trial.problem, best, count, left, self.estimates.judgement)

    def _learn(self) -> None:
        self.estimates.learn([one.chain for one in self.ranked()[:2]])

    def _times(self, left: float) -> dict[str, float]:
        """Return what other processes see of the times, with these seconds to the judgement."""
        return {"ends": self._whole - self.seconds_left + left, "judgement_seconds": self.estimates.judgement}

    def _seconds_of_trials(self, most: float | None = None) -> float:
        """Return the seconds of all chains that may be better, or `most` if they take longer; by default all left."""
        return self.sampler.seconds_of_all(*self._observed(), max(0.0, self.seconds_left) if most is None else most)
