"""Jobs on a Ray cluster: they run, fail, are cancelled, and survive the loss of each of their processes."""

import re
import time
from types import SimpleNamespace

import psutil
import pytest

from core.errors import UserError
from core.jobs import executors, worker
from core.jobs.cluster.executor import RayExecutor, RayHandle
from core.jobs.cluster.messages import Needs, Node
from core.jobs.executor import LocalExecutor
from core.jobs.queue import Queue
from core.specs import RunSpec, Stage, VariantSpec
from core.store.store import Store
from tests.core.fake_worker import LEASE, gate
from tests.core.jobs.cluster import cluster
from tests.core.queues import FAKE, ended, running, spec, until

LEASE_SECONDS = 8.0
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
    monkeypatch.setattr(RayExecutor, "_needs", lambda self, spec: Needs(cores=1))
    monkeypatch.setattr(RayExecutor, "refusal", lambda self, specs: None)
    store = Store()
    found = Queue(store, RayExecutor(store.url, FAKE))
    found.start()
    yield found
    gate().unlink(missing_ok=True)
    found.cancel_all()
    until(lambda: not found.active())
    found.stop()
    found._supervisor.executor._lose("the test has ended")


def process_of(job):
    """Return the worker's process of a job."""
    (found,) = [one for one in psutil.process_iter(["cmdline"]) if job.token in (one.info["cmdline"] or ())]
    return found


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


def test_a_cluster_states_how_many_jobs_it_has_room_for(on_ray, monkeypatch):
    executor = on_ray._supervisor.executor  # of two machines with two cores each
    assert executor.capacity(spec("plain")) == 4
    for needs, count in (Needs(cores=2), 2), (Needs(cores=3), 1):  # what no machine has waits, one at a time
        monkeypatch.setattr(RayExecutor, "_needs", lambda self, spec, needs=needs: needs)
        assert executor.capacity(spec("plain")) == count


@pytest.mark.postgres
def test_the_password_of_the_database_is_in_no_row_and_no_log(
    machines, on_ray, postgres_server, monkeypatch, caplog, capfd
):
    url = postgres_server.new_database().replace("postgres@", "postgres:canary@")
    monkeypatch.setenv("SLIMSCOPE_DB", url)
    store = Store()
    on_ray.stop()  # one process supervises a folder of results
    other = Queue(store, RayExecutor(store.url, FAKE))
    other.start()
    try:
        found = [ended(other, one) for one in other.submit_all([spec("broken"), spec("killed"), spec("refused")])]
    finally:
        other.stop()
        other._supervisor.executor._lose("the test has ended")
    assert {job.state for job in found} == {"failed"}
    texts = [job.model_dump_json() for job in found] + [other.log_tail(job.id) for job in found] + [caplog.text]
    assert not any("canary" in text for text in (*texts, *capfd.readouterr()))


def test_a_run_whose_method_has_another_version_on_a_machine_is_refused(on_ray):
    stages = (Stage(method="magnitude", version=99, ratio=0.5),)
    asked = RunSpec(variant=VariantSpec(model="m", revision="r", stages=stages))
    reason = REFUSAL(on_ray._supervisor.executor, [asked])
    assert re.fullmatch(r"Machine \S+ of the cluster cannot run this job: its methods have other versions .+", reason)


def test_a_cancelled_job_ends_within_ten_seconds(on_ray):
    job = running(on_ray, on_ray.submit(spec("training")), "prune")
    until(lambda: on_ray.log_tail(job.id, 1) == "running training")
    on_ray.cancel(job.id)
    job = ended(on_ray, job.id)
    assert job.state == "cancelled" and job.finished - job.cancel < 10


def test_a_job_runs_again_after_its_machine_was_killed(on_ray, machines):
    job = running(on_ray, on_ray.submit(spec("wait")))
    below = {node: psutil.Process(node.all_processes["raylet"][0].process.pid) for node in machines.nodes}
    host = process_of(job)
    (node,) = [node for node, raylet in below.items() if host in raylet.children(recursive=True)]
    machines.kill(node)
    machines.nodes.remove(node)
    until(lambda: on_ray.job(job.id).attempts == 2 and on_ray.job(job.id).stage == "evaluate")
    gate().touch()
    assert ended(on_ray, job.id).state == "done"
    machines.add(2)


def test_another_agent_finds_the_jobs_of_a_killed_one(on_ray):
    job = running(on_ray, on_ray.submit(spec("wait")))
    on_ray._supervisor.executor._agent.kill()
    until(lambda: on_ray.problem is not None)
    assert on_ray.problem.startswith("The Ray cluster at 127.0.0.1:")
    until(lambda: on_ray.problem is None)
    gate().touch()
    job = ended(on_ray, job.id)
    assert (job.state, job.attempts) == ("done", 1)


def test_jobs_follow_one_another_in_one_actor(on_ray, monkeypatch):
    monkeypatch.setattr(RayExecutor, "_needs", lambda self, spec: Needs(cores=2))  # a whole machine
    alike = [spec("wait").model_copy(update={"threads": count}) for count in range(1, 5)]
    first, second, third, last = on_ray.submit_all(alike)
    places = {process_of(running(on_ray, one)).parent().pid for one in (first, second)}
    for one in (first, second):  # the others wait at the gate, so it stays closed
        on_ray.cancel(one)
    assert all(ended(on_ray, one).state == "cancelled" for one in (first, second))
    again = {process_of(running(on_ray, one)).parent().pid for one in (third, last)}
    assert again & places  # a seat that has ended when the agent looks is replaced
    on_ray._supervisor.executor._agent.kill()  # another agent finds the jobs in actors with other names
    until(lambda: on_ray.problem is not None)
    until(lambda: on_ray.problem is None)
    gate().touch()
    jobs = [ended(on_ray, one) for one in (third, last)]
    assert [(job.state, job.attempts) for job in jobs] == [("done", 1)] * 2


def test_an_attempt_whose_free_seat_has_ended_starts_in_another(on_ray, monkeypatch):
    monkeypatch.setattr(RayExecutor, "_needs", lambda self, spec: Needs(cores=2))  # a whole machine
    alike = [spec("wait").model_copy(update={"threads": count}) for count in range(1, 4)]
    first, second, third = on_ray.submit_all(alike)
    hosts = [process_of(running(on_ray, one)).parent() for one in (first, second)]
    running(on_ray, third, "machine")
    agent = psutil.Process(on_ray._supervisor.executor._agent.pid)
    agent.suspend()  # it looks at the seats only after they have ended
    for one in (first, second):
        on_ray.cancel(one)
    for host in hosts:
        host.wait(8)
    agent.resume()
    running(on_ray, third)
    gate().touch()
    job = ended(on_ray, third)
    assert (job.state, job.attempts) == ("done", 1)


@pytest.mark.full
def test_a_job_runs_again_after_its_actor_was_killed(on_ray):
    job = running(on_ray, on_ray.submit(spec("wait")))
    worker_process = process_of(job)
    worker_process.parent().kill()
    until(lambda: on_ray.job(job.id).attempts == 2 and on_ray.job(job.id).stage == "evaluate")
    worker_process.wait(10)  # it ends with its actor
    gate().touch()
    assert ended(on_ray, job.id).state == "done"


@pytest.mark.full
def test_jobs_beyond_the_cluster_wait_and_can_be_cancelled(on_ray, monkeypatch):
    monkeypatch.setattr(RayExecutor, "_needs", lambda self, spec: Needs(cores=64))
    job = running(on_ray, on_ray.submit(spec("plain")), "machine")
    assert job.detail == "no machine of the cluster has 64 cores"
    time.sleep(LEASE_SECONDS + 2)
    assert on_ray.job(job.id).attempts == 1  # its lease is kept
    on_ray.cancel(job.id)
    assert ended(on_ray, job.id).state == "cancelled"


def test_jobs_go_on_after_the_head_was_killed(on_ray, machines):
    job = running(on_ray, on_ray.submit(spec("wait")))
    port = machines.kill_head()
    until(lambda: on_ray.problem is not None)
    assert "is not reachable" in on_ray.problem
    until(lambda: on_ray.job(job.id).state == "queued")
    machines.start_head(port)
    machines.add(2)
    running(on_ray, job.id)
    gate().touch()
    job = ended(on_ray, job.id)
    assert (job.state, job.attempts) == ("done", 2)


def test_a_seat_that_has_not_started_takes_room(machines, monkeypatch):
    from core.jobs.cluster import agent  # imports Ray, which reads the settings of the cluster once

    machine = Node(name="n", cores=2, gpus=0, memory=0)
    monkeypatch.setattr(agent, "_nodes", lambda: [machine, machine])
    monkeypatch.setattr(agent.ray, "available_resources", lambda: {"CPU": 4.0})  # as before the seat's start
    found = agent.Agent()

    def holds(name, cores):
        found._watched[name] = SimpleNamespace(needs=Needs(cores=cores))

    holds("larger than each machine", 64)
    holds("starts", 2)
    assert found._have_room(Needs(cores=2))
    holds("starts too", 2)
    assert not found._have_room(Needs(cores=1))


def test_each_reader_of_an_attempt_receives_its_end():
    states = ["gone", None]  # the executor states it once
    handle = RayHandle(SimpleNamespace(state=lambda name: states.pop(0)), "slimscope-1")
    assert handle.waits_for() is None
    assert handle.poll() is not None and handle.poll() is not None


def test_a_job_states_what_it_needs():
    assert Needs(cores=1).words() == "1 core"
    assert Needs(cores=2, gpus=1, memory=3 * 10**9).words() == "2 cores, 1 GPU and 3.0 GB of memory"
    node = Node(name="n", cores=2, gpus=0, memory=8e9)
    assert (
        node.fits(Needs(cores=2, memory=7 * 10**9))
        and not node.fits(Needs(cores=3))
        and not node.fits(Needs(cores=1, gpus=1))
    )
    assert node.room(Needs(cores=1, memory=3 * 10**9)) == 2


def test_the_variable_chooses_the_executor(monkeypatch, results_dir):
    url = Store().url
    assert isinstance(executors.chosen_executor(url), LocalExecutor)
    monkeypatch.setenv("SLIMSCOPE_EXECUTOR", "ray")
    assert isinstance(executors.chosen_executor(url), RayExecutor)
    assert executors.chosen_executor(url) is executors.chosen_executor(url)  # a search has a queue for each batch
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Ray is not installed; run `pip install 'slimscope\[ray\]'`\."):
        executors.chosen_executor(url)
    monkeypatch.setenv("SLIMSCOPE_EXECUTOR", "rai")
    with pytest.raises(UserError, match="Unknown SLIMSCOPE_EXECUTOR 'rai'; did you mean 'ray'"):
        executors.chosen_executor(url)
