"""The loop of the autopilot: choose a chain, race it against the best one, and learn from the result."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from core.base.errors import UserError
from core.jobs.own import Claim
from core.notation.formatting import format_duration
from core.request.baseline import missing_part
from core.request.expected.estimate import estimate
from core.request.expected.speeds import history_of
from core.search.question import Prepared
from core.search.record import Record
from core.search.sampler import ChainSampler, Observation, Residuals
from core.search.space import Candidate
from core.search.trials import RUNGS, Chosen, Compute, Racer, Trial, Tried, observations
from core.specs import ModelId
from core.store.clock import Now
from core.store.store import Store

MIDDLE = RUNGS[1]  # windows of a trial, on average
OnStart = Callable[[str, Chosen], None]  # of a chain


@dataclass(frozen=True)
class Progressed:
    """A search after a trial."""

    trial: Trial
    best: Tried | None
    count: int  # of the trials with an outcome
    seconds_left: float  # to the judgement, at most the rest of the minutes
    judgement_seconds: float  # after them, estimated


class Autopilot:
    """A search that resumes where an earlier one with the same question stopped; `job` is that of this process."""

    def __init__(
        self, prepared: Prepared, store: Store, job: int | None = None, now: Callable[[], float] = time.monotonic
    ):
        self.prepared, self.now = prepared, now
        question, space = prepared.question, prepared.space
        self.record = Record(store, question, job)
        self._dense, self._whole = prepared.run("dense", MIDDLE), 60 * question.minutes
        times = self.trial_seconds, lambda: self.seconds_left, self._whole
        self.sampler = ChainSampler(space, Residuals(space, prepared.prior), question.most_bytes, *times)
        self._learn()

    @property
    def outcomes(self) -> list[Tried]:
        """The outcomes of all trials."""
        return [trial.outcome for trial in self.record.trials if trial.outcome is not None]

    @property
    def seconds_left(self) -> float:
        """The seconds that the question leaves after all its searches."""
        return max(0.0, self._whole - self.record.seconds)

    @property
    def exhausted(self) -> bool:
        """Whether no other chain may be better, whatever the time."""
        return not self.sampler.seconds_of_all(*self._observed(), 1.0)

    def trial_seconds(self, place: Candidate) -> float:
        """Return the seconds of a chain's trial, at the speeds of this machine that the stored runs show."""
        if place not in self._seconds:
            variant = self._dense.variant.model_copy(update={"stages": self.prepared.space.stages(place)})
            run = self._dense.model_copy(update={"variant": variant})
            self._seconds[place] = estimate(run, self._speeds).seconds  # without what is in the cache of variants
        return self._seconds[place]

    def ranked(self) -> list[Tried]:
        """Return the outcomes of the chains that were not eliminated, the best expected one first."""
        seen, _ = self._observed()
        order = {self.prepared.space.chain(place): number for number, place in enumerate(self.sampler.ranked(seen))}
        left = (one for one in self.outcomes if not one.eliminated)
        return sorted(left, key=lambda one: order.get(one.chain, len(order)))

    def begin(self, claim: Claim) -> int:
        """Let a job search, as `Record.begin` does; before it, no trial starts.

        Raises:
            UserError: No trial was measured, and the minutes of the question hold none.
        """
        if not self.outcomes and self.sampler.choose([]) is None:
            least = self.sampler.least_seconds()
            if self._whole < least < math.inf:
                raise UserError(
                    f"{self.prepared.question.minutes:g} minutes hold no trial, as the quickest one takes "
                    f"{format_duration(least)}; give at least {math.ceil(least / 60)} min."
                )
        return self.record.begin(claim, **self._times())

    def search(self, compute: Compute, at_once: int = 1, on_start: OnStart | None = None) -> Iterator[Progressed]:
        """Try chains, some at once, until the time ends or no other may be better; yield after each trial.

        Before the first trial of all, `on_start` is called with its chain and what that was chosen for.
        """
        racer = Racer(self.prepared, compute, self.record.store)
        if whole := [one for one in self.outcomes if not one.eliminated]:  # of an earlier search, all stored
            racer.race([min(whole, key=lambda one: one.loss).chain])
        while self.seconds_left > 0:
            started = self.now()
            self.record.write(since=Now())
            try:
                trials = self._ask(at_once, on_start)
                if not trials:
                    return
                found = racer.race(list(trials))
                if not any(isinstance(one, Tried) and math.isfinite(one.loss) for one in found.values()):
                    racer.check_dense()  # if it fails itself, all other chains would, too
            finally:
                self.record.seconds += self.now() - started
                self.record.write(since=None, seconds=self.record.seconds)
            for chain, number in trials.items():
                one = found[chain]
                end = {"problem": str(one)} if isinstance(one, UserError) else {"outcome": one}
                trial = self.record.trials[number].model_copy(update={"running": False, **end})
                self.record.put(number, trial)
                self._learn()
                self.record.state(**self._times())
                left = self.ends - self.record.seconds
                yield Progressed(trial, racer.leader, len(self.outcomes), left, self.judgement_seconds)

    def _ask(self, at_once: int, on_start: OnStart | None) -> dict[str, int]:
        """Return the numbers of the next trials by their chains, as many as run at once and as the time allows."""
        trials: dict[str, int] = {}
        while len(trials) < at_once:
            seen, running = self._observed()
            place = self.sampler.choose(seen, running)
            if place is None:
                break
            chain, at = self.prepared.space.chain(place), np.array([place])
            loss, spread = (float(one[0]) for one in self.sampler.residuals.posterior(at, seen))
            chosen = Chosen(loss, spread, self.trial_seconds(place))
            trials[chain] = len(self.record.trials)
            self.record.put(trials[chain], Trial(chain=chain, expected=chosen, running=True))
            if on_start and len(trials) == 1 and not self.outcomes:
                on_start(chain, chosen)
        return trials

    def _observed(self) -> tuple[list[Observation], list[Candidate]]:
        return observations(self.record.trials, self.prepared.space)

    def _learn(self) -> None:
        """Estimate anew: the speeds are known better, some first stages are in the cache, and some numbers stored."""
        source, store = self.prepared.source, self.record.store
        self._seconds: dict[Candidate, float] = {}  # of trials
        self._speeds = history_of(store).speeds(ModelId(source.id, source.revision))
        judged = [self.prepared.judgement(chain) for chain in ("dense", *(one.chain for one in self.ranked()[:2]))]
        runs = [missing_part(spec, store.get(spec.variant.key)) for spec in judged]
        runs += [judged[0]] * (3 - len(judged))  # a chain that is not known yet costs as much
        self.judgement_seconds = sum(estimate(run, self._speeds).seconds for run in runs if run)

    def _times(self) -> dict[str, float]:
        """Return what other processes see of the times: the trials take those of all chains that may be better."""
        left = self.sampler.seconds_of_all(*self._observed(), self.seconds_left)
        self.ends = self.record.seconds + left
        return {"ends": self.ends, "judgement_seconds": self.judgement_seconds}
