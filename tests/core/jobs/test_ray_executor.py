"""The parts of a Ray cluster without a cluster: the executor with an agent that a test plays, and seats."""

import pytest

from core.base.errors import UserError
from core.jobs import queue as queues
from core.jobs.cluster import executor as module
from core.jobs.cluster import seat
from core.jobs.cluster.executor import RayExecutor
from core.jobs.cluster.messages import Reply, Resources
from core.jobs.executor import End, Executor
from core.store.store import Store
from tests.core.queues import change, spec

NODE = Resources(cores=2, memory=8e9)


class PlayedAgent:
    """The process of an agent and the pipe to it: it states what a test sets in `states`, `lacking` and `error`."""

    def __init__(self):
        self.requests, self.states, self.lacking, self.error = [], {}, None, None
        self.nodes, self.silent = (NODE, NODE), False
        self.replies = [Reply(self.nodes)]

    def send(self, request):
        self.requests.append(request)
        method, *arguments = request
        states = {token: self.states.get(token, "waiting") for token in arguments if method == "states"}
        if not self.silent:
            self.replies.append(Reply(self.nodes, self.lacking if method == "lacking" else states, self.error))

    def poll(self, seconds=0):
        return bool(self.replies)

    def recv(self):
        return self.replies.pop(0)

    def fileno(self):
        return 0

    close = wait = fileno

    def kill(self):
        self.silent = True


@pytest.fixture
def agent(monkeypatch):
    """The agent of each executor, which has connected."""
    found = PlayedAgent()
    monkeypatch.setattr(module.subprocess, "Popen", lambda *_, **__: found)
    monkeypatch.setattr(module, "Pipe", lambda: (found, found))
    monkeypatch.setattr(module, "STATE_SECONDS", 0.0)
    return found


@pytest.fixture
def ray(agent, results_dir):
    found = RayExecutor(Store().url)
    assert found._await_connection()
    return found


def run(**how):
    return spec("plain").model_copy(update={"threads": 1, "memory": 10**9} | how)


def test_a_launched_attempt_waits_runs_and_is_lost(agent, ray):
    handle = ray.launch(7, "t", run().model_dump_json())
    assert handle.text == "ray:slimscope-t" and ray.sees(handle.text) and not ray.sees("host 7 1.0")
    method, work, needs = agent.requests[-1]
    assert (method, work.job_id, work.token, work.database) == ("launch", 7, "t", str(ray.url))
    assert needs == Resources(cores=1, memory=10**9)
    assert handle.waits_for() == "1 core and 1.0 GB of memory" and handle.poll() is None and not handle.stopped()
    agent.states["t"] = "running"
    assert handle.waits_for() is None and handle.poll() is None
    agent.states["t"] = "gone"
    assert handle.poll() == handle.poll() == End("ended", lost=True)
    assert ray.adopt(handle.text) is None
    adopted = ray.adopt("ray:slimscope-u")
    assert adopted.waits_for() == "a machine of the cluster" and agent.requests[-1] == ("states", "t", "u")
    del handle
    assert adopted.poll() is None and agent.requests[-1] == ("states", "u")  # nobody asks for the other one
    adopted.kill()
    assert agent.requests[-1] == ("kill", "u")


def test_a_cluster_has_room_for_as_many_jobs_as_its_machines(ray):
    assert [ray.capacity(run(threads=count)) for count in (1, 2, 3)] == [4, 2, 1]  # what no machine has waits, one
    assert ray._needs(run(threads=None)).cores == 2 and ray._needs(run(device="cuda")).gpus == 1
    assert ray.launch(1, "t", run(threads=64).model_dump_json()).waits_for() == (
        "no machine of the cluster has 64 cores and 1.0 GB of memory"
    )


def test_only_a_few_attempts_wait_for_a_machine(agent, ray):
    handles = [ray.launch(1, token, run().model_dump_json()) for token in "abc"]
    assert ray.has_room(handles[:1]) and not ray.has_room(handles[:2])
    agent.states[handles[0].token] = "running"
    assert ray.has_room(handles[:2])


def test_a_run_that_a_machine_cannot_run_is_refused(agent, ray):
    assert ray.refusal([run(), run(threads=2)]) is None
    assert len([one for one in agent.requests if one[0] == "lacking"]) == 1  # both need the same
    agent.lacking = "Machine n of the cluster cannot run this job: its text is only there."
    assert ray.refusal([run()]) == agent.lacking
    assert "saves no model" in ray.refusal([run(save="/folder")])


@pytest.mark.parametrize("fails", ["silent", "error"])
def test_an_agent_that_does_not_answer_is_replaced(agent, ray, monkeypatch, fails):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    handle = ray.launch(1, "t", run().model_dump_json())
    setattr(agent, fails, "it failed")
    assert handle.poll() is None and handle.waits_for() is None
    assert ray.problem() == (
        "The Ray cluster at 127.0.0.1:9 is not reachable (it does not answer); jobs wait until it is."
        if fails == "silent"
        else None  # a request that fails says nothing on the cluster
    )
    assert ray.has_room([]) == ray.sees(handle.text) == (fails == "error")
    if fails == "silent":
        agent.replies.append(Reply((NODE,)))
    agent.silent, agent.error = False, None
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    assert ray._await_connection() and ray.problem() is None and handle.waits_for()


def test_a_cluster_that_cannot_be_reached_is_a_problem(agent, results_dir):
    agent.replies = [Reply(error="no cluster.")]
    found = RayExecutor(Store().url)
    assert found.capacity(run()) == 1 and found.refusal([run()]) is None and "(no cluster)" in found.problem()


def test_a_job_states_what_it_needs():
    assert Resources(cores=1).words() == "1 core"
    assert Resources(cores=2, gpus=1, memory=3 * 10**9).words() == "2 cores, 1 GPU and 3.0 GB of memory"
    rooms = ((1, 0, 3e9), 2), ((2, 0, 7e9), 1), ((3,), 0), ((1, 1), 0)
    assert [NODE.room(Resources(*needs)) for needs, _ in rooms] == [count for _, count in rooms]
    pairs = ((2, 0, 5), (2, 0, 5)), ((2, 0, 4), (2, 0, 5)), ((2,), (1,))
    assert [Resources(*one).serves(Resources(*other)) for one, other in pairs] == [True, False, False]


def test_the_variable_chooses_the_executor(monkeypatch, results_dir):
    url = Store().url
    assert isinstance(queues.chosen_executor(url), Executor)
    monkeypatch.setenv("SLIMSCOPE_EXECUTOR", "ray")
    assert isinstance(queues.chosen_executor(url), RayExecutor)
    assert queues.chosen_executor(url) is queues.chosen_executor(url)  # a search has a queue for each batch
    monkeypatch.setattr(queues, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Ray is not installed; run pip install '.\[ray\]' in a checkout"):
        queues.chosen_executor(url)
    monkeypatch.setenv("SLIMSCOPE_EXECUTOR", "rai")
    with pytest.raises(UserError, match="Unknown SLIMSCOPE_EXECUTOR 'rai'; did you mean 'ray'"):
        queues.chosen_executor(url)


def test_a_seat_runs_attempts_one_after_another_and_records_a_crash(played, store, monkeypatch):
    monkeypatch.setattr(seat.Seat, "_watch", lambda self: None)  # it would end this process
    monkeypatch.setattr(seat, "PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("SLIMSCOPE_SLOTS", "2")
    first, second = played.submit_all([spec("a"), spec("b")])
    played.step()
    works = [
        seat.Work(one, played.job(one).token, ("sh", "-c", f"echo $2; exit {code}"), str(store.url))
        for one, code in ((first, 3), (second, 0))
    ]
    found = seat.Seat(works[0])
    found.wait(works[0].token)
    job = played.job(first)
    assert (job.state, job.error) == ("failed", "The job's process ended with exit code 3; last output: bound")
    change(store, second, lease=played.job(second).read + 60)
    found.start(works[1])
    assert found.token() in (works[1].token, None)
    found.wait(works[1].token)
    assert found.token() is None and played.job(second).state == "running"  # the worker writes its own end


def test_a_job_waits_for_a_core_while_only_the_head_is_there(agent, ray):
    agent.nodes = (Resources(),)
    waits = [ray.launch(1, token, run(threads=None).model_dump_json()).waits_for() for token in "ab"]
    assert waits[1] == "no machine of the cluster has 1 core and 1.0 GB of memory"
