"""A search whose trials run on a Ray cluster."""

import psutil
import pytest

from core.jobs.cluster.executor import RayExecutor
from core.jobs.cluster.messages import Needs
from core.progress import silent
from core.search.question import Question, prepare
from core.search.session import conduct
from core.search.space import Restrictions
from core.search.trials import Racer
from core.store.store import Store
from tests.core.jobs.cluster import cluster

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("tiny_texts")]


def test_as_many_trials_run_at_once_as_the_cluster_has_room_for(monkeypatch):
    asked = Question(model="./wide", max_mb=0.1, minutes=1, restrictions=Restrictions(methods=("magnitude", "rtn")))
    batches, steps, race = [], [], Racer.race
    monkeypatch.setattr(Racer, "race", lambda self, chains: batches.append(len(chains)) or race(self, chains))
    monkeypatch.setattr(RayExecutor, "_needs", lambda self, spec: Needs(cores=1))
    store = Store()
    prepared = prepare(asked, store)
    with cluster(1, 1) as machines:
        monkeypatch.setenv("SLIMSCOPE_EXECUTOR", "ray")
        monkeypatch.setenv("RAY_ADDRESS", machines.address)
        found = conduct(prepared, store, silent, steps.append)
        agents = [one for one in psutil.Process().children() if "core.jobs.cluster.agent" in one.cmdline()]
    assert len(agents) == 1
    assert batches[0] == 2 and found.tried == len(steps) >= 2
    assert found.fits and all(step.problem == "" for step in steps)
