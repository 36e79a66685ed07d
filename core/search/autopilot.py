"""The loop of the autopilot: choose a chain, race it against the best one, and learn from the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from optuna import Trial
from optuna.trial import TrialState

from core.errors import UserError
from core.request.complete import complete
from core.request.expected.estimate import estimate
from core.request.expected.speeds import history_of
from core.search.question import Prepared
from core.search.racing import RUNGS
from core.search.residuals import Residuals
from core.search.sampler import (
    BLOCKS,
    CHAIN,
    PROBLEM,
    TABLES,
    VARIANCE,
    ChainSampler,
    EverythingTriedError,
    observations,
)
from core.search.space import Candidate
from core.search.study import SECONDS, SINCE, open_study
from core.search.trials import Compute, Racer, Tried
from core.specs import ModelId, RunSpec
from core.store.store import Store

TRIED = "tried"  # attribute of a trial: its outcome
MIDDLE = RUNGS[1]  # windows on which the seconds of a trial are estimated


@dataclass(frozen=True)
class Progressed:
    """A search after a trial."""

    tried: Tried | None  # None: the chain could not be made
    chain: str
    problem: str  # why it could not be made; empty if it could
    best: Tried | None
    count: int
    seconds_left: float


class Autopilot:
    """A search that resumes where an earlier one with the same question stopped.

    Args:
        prepared: The question.
        store: Where the results go.
        compute: Runs variants.
        at_once: Trials that run at once.
        now: The clock.
    """

    def __init__(
        self,
        prepared: Prepared,
        store: Store,
        compute: Compute,
        at_once: int = 1,
        now: Callable[[], float] = time.monotonic,
    ):
        self.prepared, self.at_once, self.now = prepared, at_once, now
        self._estimates: dict[Candidate, float] = {}
        question, space = prepared.question, prepared.space
        text = prepared.text.model_copy(update={"windows": MIDDLE})
        self._dense = complete(question.model, "dense", perplexity=[text], device=question.device)
        self._speeds = history_of(store).speeds(ModelId(prepared.source.id, prepared.source.revision))
        self.racer = Racer(
            question.model,
            prepared.text,
            prepared.defaults,
            question.most_bytes,
            compute,
            store,
            question.device,
        )
        residuals = Residuals(space, prepared.prior)
        self.sampler = ChainSampler(
            space, residuals, question.most_bytes, self._seconds, lambda: max(0.0, self.seconds_left)
        )
        self.study = open_study(question, self.sampler, store.url)
        self.outcomes = [
            Tried(*trial.user_attrs[TRIED])
            for trial in self.study.get_trials(deepcopy=False)
            if TRIED in trial.user_attrs
        ]

    @property
    def seconds_left(self) -> float:
        """The seconds that the question leaves after all its searches."""
        return 60 * self.prepared.question.minutes - float(self.study.user_attrs.get(SECONDS, 0.0))

    def ranked(self) -> list[Tried]:
        """Return the outcomes of the chains that were not eliminated, the best expected one first."""
        seen, _ = observations(self.study, self.prepared.space)
        order = {self.prepared.space.chain(place): number for number, place in enumerate(self.sampler.ranked(seen))}
        whole = [one for one in self.outcomes if not one.eliminated]
        return sorted(whole, key=lambda one: order.get(one.chain, len(order)))

    def search(self) -> Iterator[Progressed]:
        """Try chains until the time ends or nothing is left; yield after each trial."""
        self._restore_leader()
        while self.seconds_left > 0:
            started = self.now()
            trials = self._ask()
            if not trials:
                return
            self.study.set_user_attr(SINCE, time.time())
            found = self.racer.race(list(trials))
            self.study.set_user_attr(SINCE, None)
            self._estimates.clear()  # chains that start as these did are quicker now
            spent = float(self.study.user_attrs.get(SECONDS, 0.0)) + self.now() - started
            self.study.set_user_attr(SECONDS, spent)
            for chain, trial in trials.items():
                yield self._ended(trial, chain, found[chain])

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
            except EverythingTriedError:
                self.study.tell(trial, state=TrialState.FAIL)
                break
            chain = self.prepared.space.chain(place)
            trial.set_user_attr(CHAIN, chain)
            trials[chain] = trial
        return trials

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
        return Progressed(outcome, chain, problem, self.racer.leader, len(self.outcomes), self.seconds_left)

    def _restore_leader(self) -> None:
        """Race the best chain of an earlier search once more; its numbers are stored."""
        whole = [one for one in self.outcomes if not one.eliminated]
        if whole:
            self.racer.race([min(whole, key=lambda one: one.loss).chain])

    def _seconds(self, place: Candidate) -> float:
        """Estimate the seconds of a chain's trial; nothing counts that is in the cache of variants."""
        if place not in self._estimates:
            self._estimates[place] = estimate(self._spec(place), self._speeds).seconds
        return self._estimates[place]

    def _spec(self, place: Candidate) -> RunSpec:
        variant = self._dense.variant.model_copy(update={"stages": self.prepared.space.stages(place)})
        return self._dense.model_copy(update={"variant": variant})
