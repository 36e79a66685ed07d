"""The seconds that the parts of a search take, at the speeds of this machine as far as they are known."""

from __future__ import annotations

from collections.abc import Sequence

from core.request.baseline import missing_part
from core.request.expected.estimate import estimate
from core.request.expected.speeds import history_of
from core.search.question import Prepared
from core.search.racing import RUNGS
from core.search.space import Candidate
from core.specs import ModelId, RunSpec
from core.store.store import Store

MIDDLE = RUNGS[1]  # windows of a trial, on average


class Estimates:
    """Estimates of a search.

    Args:
        prepared: The question.
        store: Has the runs that show the speeds.
    """

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
        self.judgement = sum(self._of(run) for run in runs if run)

    def of_trial(self, place: Candidate) -> float:
        """Return the seconds of a chain's trial."""
        if place not in self._trials:
            variant = self._dense.variant.model_copy(update={"stages": self.prepared.space.stages(place)})
            self._trials[place] = self._of(self._dense.model_copy(update={"variant": variant}))
        return self._trials[place]

    def _of(self, run: RunSpec) -> float:
        """Return the seconds of a run; nothing counts that is in the cache of variants."""
        return estimate(run, self._speeds).seconds
