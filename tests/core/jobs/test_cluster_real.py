"""A sweep of the default model on a cluster that loses a machine gives the digits of a sweep on one machine."""

import os
import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select

from core.store.store import Store
from core.store.tables import jobs, measurements
from tests.core.jobs.cluster import cluster

pytestmark = [pytest.mark.real, pytest.mark.full]
RATIOS = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8"
SWEEP = ["sweep", "--models", "smollm2-135m", "--methods", "magnitude,wanda,ria", "--ratios", RATIOS, "--threads", "1"]
SWEEP += ["--calibration", "c4-sample:4x512", "--perplexity", "wikitext2@512:4"]


def sweep(place, **environment):
    """Start the sweep with a database of its own."""
    place.mkdir()
    known = os.environ | {"SLIMSCOPE_RESULTS": str(place), "OMP_NUM_THREADS": "1"} | environment
    with open(place / "log", "wb") as log:
        return subprocess.Popen([sys.executable, "-m", "core", *SWEEP], env=known, stdout=log, stderr=log)


def numbers(store):
    """Return each stored number with its full precision, by variant, metric and text."""
    return {
        (result.variant.key, row.metric, row.dataset): row.value
        for _, result, _ in store.own()
        for row in result.measurements
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The numbers of the sweep on one machine."""
    place = tmp_path_factory.mktemp("alone") / "results"
    assert sweep(place).wait() == 0, (place / "log").read_text()
    return numbers(Store(f"sqlite:///{place / 'local.db'}"))


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_sweep_that_loses_a_machine_has_the_digits_of_one_machine(kind, alone, request, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_server").new_database()
    store = Store(url)
    with cluster() as machines:
        for name in ("first", "second"):
            machines.add(1, SLIMSCOPE_CACHE=str(tmp_path / name / "cache"), SLIMSCOPE_RESULTS=str(tmp_path / name))
        how = {"SLIMSCOPE_EXECUTOR": "ray", "RAY_ADDRESS": machines.address, "SLIMSCOPE_DB": url}
        running = sweep(tmp_path / "results", **how, SLIMSCOPE_STORAGE=str(tmp_path / "storage"))
        lost = None
        while running.poll() is None:
            time.sleep(1)
            with store.begin() as connection:
                done = connection.execute(select(func.count()).where(jobs.c.state == "done")).scalar()
                busy = connection.execute(select(func.count()).where(jobs.c.stage == "compress")).scalar()
            if lost is None and done >= 4 and busy:
                lost = machines.nodes.pop()
                machines.kill(lost)
                machines.add(1, SLIMSCOPE_CACHE=str(tmp_path / "third"), SLIMSCOPE_RESULTS=str(tmp_path / "third"))
        assert running.returncode == 0, (tmp_path / "results" / "log").read_text()
    assert lost is not None and numbers(store) == alone
    with store.begin() as connection:
        rows = connection.execute(select(jobs.c.state, jobs.c.attempts)).all()
        stored = connection.execute(select(func.count()).select_from(measurements)).scalar()
    assert len(rows) == 25 and {row.state for row in rows} == {"done"}
    assert max(row.attempts for row in rows) > 1  # what ran on the lost machine ran again
    assert stored == len(alone)
