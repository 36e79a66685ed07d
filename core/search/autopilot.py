"""The loop of the autopilot: choose a chain, race it against the best one, and learn from the result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from optuna import Trial
from optuna.trial import TrialState

from core.base.errors import UserError
from core.notation.formatting import format_duration
from core.search.estimates import Estimates
from core.search.question import Prepared
from core.search.residuals import Residuals
from core.search.sampler import (
    BLOCKS,
    CHAIN,
    PROBLEM,
    TABLES,
    VARIANCE,
    ChainSampler,
    NothingLeftError,
    observations,
)
from core.search.space import Candidate
from core.search.study import ENDS, JUDGEMENT, SECONDS, SINCE, open_study
from core.search.trials import Compute, Racer, Tried
from core.store.store import Store

TRIED, EXPECTED = "tried", "expected"  # attributes of a trial: its outcome, and what was expected of it


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


class Chosen(NamedTuple):
    """What a chain was chosen for."""

    loss: float  # expected effect in nats
    spread: float  # standard deviation of its error
    seconds: float  # estimated


OnStart = Callable[[str, Chosen], None]  # of a chain


class Autopilot:
    """A search that resumes where an earlier one with the same question stopped.

    Args:
        prepared: The question.
        store: Where the results go.
        compute: Runs variants.
        at_once: Trials that run at once.
        now: The clock.
        on_start: Called before the first trial of all with its chain and what that was chosen for.
    """

    def __init__(
        self,
        prepared: Prepared,
        store: Store,
        compute: Compute,
        at_once: int = 1,
        now: Callable[[], float] = time.monotonic,
        on_start: OnStart | None = None,
    ):
        self.on_start = on_start
        self.prepared, self.at_once, self.now = prepared, at_once, now
        question, space = prepared.question, prepared.space
        self.estimates = Estimates(prepared, store)
        self.racer = Racer(prepared, compute, store)
        residuals = Residuals(space, prepared.prior)
        self._whole = 60 * question.minutes
        self.sampler = ChainSampler(
            space,
            residuals,
            question.most_bytes,
            self.estimates.of_trial,
            lambda: max(0.0, self.seconds_left),
            self._whole,
        )
        self.study = open_study(question, self.sampler, store.url)
        self.outcomes = [
            Tried(*trial.user_attrs[TRIED])
            for trial in self.study.get_trials(deepcopy=False)
            if TRIED in trial.user_attrs
        ]
        self._learn()

    @property
    def seconds_left(self) -> float:
        """The seconds that the question leaves after all its searches."""
        return self._whole - float(self.study.user_attrs.get(SECONDS, 0.0))

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
        seen, _ = observations(self.study, self.prepared.space)
        order = {self.prepared.space.chain(place): number for number, place in enumerate(self.sampler.ranked(seen))}
        left = (one for one in self.outcomes if not one.eliminated)
        return sorted(left, key=lambda one: order.get(one.chain, len(order)))

    def search(self) -> Iterator[Progressed]:
        """Try chains until the time ends or no other may be better; yield after each trial."""
        self._restore_leader()
        while self.seconds_left > 0:
            with self._counted():
                trials = self._ask()
                self._announce(trials)
                found = self.racer.race(list(trials)) if trials else {}
                if trials and not any(isinstance(one, Tried) and math.isfinite(one.loss) for one in found.values()):
                    self.racer.check_dense()  # if it fails itself, all other chains would, too
            if not trials:
                return
            for chain, trial in trials.items():
                yield self._ended(trial, chain, found[chain])

    def _announce(self, trials: dict[str, Trial]) -> None:
        """Call `on_start` with the first trial of all."""
        for chain, trial in list(trials.items())[:1]:
            if self.on_start and not self.outcomes:
                self.on_start(chain, Chosen(*trial.user_attrs[EXPECTED]))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the time of some work."""
        started = self.now()
        self.study.set_user_attr(SINCE, time.time())
        try:
            yield
        finally:
            self.study.set_user_attr(SINCE, None)
            spent = float(self.study.user_attrs.get(SECONDS, 0.0)) + self.now() - started
            self.study.set_user_attr(SECONDS, spent)

    def _ask(self) -> dict[str, Trial]:
        """Return the next trials by their chains, as many as run at once and as the time allows."""
        trials: dict[str, Trial] = {}
        while len(trials) < self.at_once:
            trial = self.study.ask()
            try:
                place = Candidate(
                    trial.suggest_int(BLOCKS, 0, len(self.prepared.space.blocks) - 1),
                    trial.suggest_int(TABLES, 0, len(self.prepared.space.tables) - 1),
                )
            except NothingLeftError:
                self.study.tell(trial, state=TrialState.FAIL)
                break
            chain = self.prepared.space.chain(place)
            trial.set_user_attr(EXPECTED, list(self._chosen(place)))
            trial.set_user_attr(CHAIN, chain)
            trials[chain] = trial
        return trials

    def _chosen(self, place: Candidate) -> Chosen:
        seen, _ = observations(self.study, self.prepared.space)
        expected = self.sampler.residuals.posterior(np.array([place]), seen)
        return Chosen(float(expected.loss[0]), float(expected.spread[0]), self.estimates.of_trial(place))

    def _ended(self, trial: Trial, chain: str, outcome: Tried | UserError) -> Progressed:
        if isinstance(outcome, UserError):
            trial.set_user_attr(PROBLEM, str(outcome))
            self.study.tell(trial, state=TrialState.FAIL)
            return self._progressed(chain, None, str(outcome))
        trial.set_user_attr(TRIED, list(outcome))
        trial.set_user_attr(VARIANCE, outcome.variance)
        self.study.tell(trial, outcome.loss)
        self.outcomes.append(outcome)
        return self._progressed(chain, outcome, "")

    def _progressed(self, chain: str, outcome: Tried | None, problem: str) -> Progressed:
        left = self._learn()
        best, count = self.racer.leader, len(self.outcomes)
        return Progressed(outcome, chain, problem, best, count, left, self.estimates.judgement)

    def _learn(self) -> float:
        """Estimate anew, tell other processes, and return the seconds to the judgement."""
        self.estimates.learn([one.chain for one in self.ranked()[:2]])
        search = self._seconds_of_search()
        self.study.set_user_attr(ENDS, self._whole - self.seconds_left + search)
        self.study.set_user_attr(JUDGEMENT, self.estimates.judgement)
        return search

    def _seconds_of_search(self) -> float:
        """Return the seconds until the judgement: all that are left, or less if few chains may be better."""
        return self._seconds_of_trials(max(0.0, self.seconds_left))

    def _seconds_of_trials(self, most: float) -> float:
        """Return the seconds of all chains that may be better, or `most` if they take longer."""
        return self.sampler.seconds_of_all(*observations(self.study, self.prepared.space), most)

    def _restore_leader(self) -> None:
        """Race the best chain of an earlier search once more; its numbers are stored."""
        whole = [one for one in self.outcomes if not one.eliminated]
        if whole:
            self.racer.race([min(whole, key=lambda one: one.loss).chain])
