"""Jobs on a Ray cluster: they run, fail, are cancelled, and outlive the processes of the cluster."""

import re

import pytest

from core.jobs import worker
from core.jobs.cluster.executor import RayExecutor
from core.jobs.cluster.messages import Resources
from core.jobs.logs import log_tail
from core.jobs.queue import Queue
from core.specs import RunSpec, Stage, VariantSpec
from core.store.store import Store
from tests.core.fake_worker import LEASE, gate
from tests.core.jobs.cluster import cluster
from tests.core.queues import FAKE, ended, running, spec, until

pytestmark = pytest.mark.ray
LEASE_SECONDS = 30.0  # a worker that starts on a busy machine takes over 8 s until its first sign of life
REFUSAL = RayExecutor.refusal  # the queue of these tests submits what no machine has


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """A cluster whose two machines have two cores each, and one folder for the results."""
    folder = tmp_path_factory.mktemp("results")
    with cluster(2, 2, SLIMSCOPE_RESULTS=str(folder), **{LEASE: str(LEASE_SECONDS)}) as found:
        found.folder = folder
        yield found


@pytest.fixture
def on_ray(machines, quick_supervisor, monkeypatch):
    """A queue whose jobs run on the cluster, with one core each."""
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(machines.folder))
    monkeypatch.setenv("RAY_ADDRESS", machines.address)
    monkeypatch.setattr(worker, "LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(RayExecutor, "_needs", lambda self, spec: Resources(cores=1))
    monkeypatch.setattr(RayExecutor, "refusal", lambda self, specs: None)
    found = supervised()
    yield found
    gate().unlink(missing_ok=True)
    found.cancel_all()
    until(lambda: not found.active())
    end(found)


def supervised():
    """Return a queue whose jobs run on the cluster of `RAY_ADDRESS`."""
    store = Store()
    found = Queue(store, RayExecutor(store.url, FAKE))
    found.start()
    return found


def end(queue):
    queue.stop()
    queue._supervisor.executor._lose("the test has ended")


def test_jobs_end_on_a_cluster_as_on_one_machine(on_ray):
    kinds = ("plain", "killed", "refused")
    done, killed, refused = (ended(on_ray, one) for one in on_ray.submit_all([spec(kind) for kind in kinds]))
    assert (done.state, done.attempts) == ("done", 1) and done.handle == f"ray:slimscope-{done.token}"
    assert [row.value for row in on_ray.store.get(done.spec.variant.key).measurements] == [20.0]
    assert killed.state == "failed" and killed.attempts == 1
    assert killed.error == (
        "The job's process was killed (SIGKILL); most likely the memory ran out; last output: running killed"
    )
    assert (refused.state, refused.error) == ("failed", "The corpus is too short.")


@pytest.mark.full
@pytest.mark.postgres
def test_the_password_of_the_database_is_in_no_row_and_no_log(
    machines, on_ray, postgres_server, monkeypatch, caplog, capfd
):
    url = postgres_server.new_database().replace("postgres@", "postgres:canary@")
    monkeypatch.setenv("SLIMSCOPE_DB", url)
    on_ray.stop()  # one process supervises a folder of results
    other = supervised()
    try:
        found = [ended(other, one) for one in other.submit_all([spec("killed"), spec("refused")])]
    finally:
        end(other)
    assert {job.state for job in found} == {"failed"}
    texts = [job.model_dump_json() for job in found] + [log_tail(job.id, 100) for job in found] + [caplog.text]
    assert not any("canary" in text for text in (*texts, *capfd.readouterr()))


@pytest.mark.full
def test_a_run_whose_method_has_another_version_on_a_machine_is_refused(on_ray):
    stages = (Stage(method="magnitude", version=99, ratio=0.5),)
    asked = RunSpec(variant=VariantSpec(model="m", revision="r", stages=stages))
    reason = REFUSAL(on_ray._supervisor.executor, [asked])
    assert re.fullmatch(r"Machine \S+ of the cluster cannot run this job: its methods have other versions .+", reason)


@pytest.mark.full
def test_a_cancelled_job_ends(on_ray):
    job = running(on_ray, on_ray.submit(spec("training")), "prune")
    until(lambda: log_tail(job.id, 1) == "running training")
    on_ray.cancel(job.id)
    assert ended(on_ray, job.id).state == "cancelled"
