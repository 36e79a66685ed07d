"""The agent of a Ray cluster, with a Ray that a test plays: seats, and the attempts that wait for them."""

from collections import namedtuple
from types import SimpleNamespace

import pytest

from core.jobs.cluster.messages import Resources, Work
from tests.core.jobs.cluster import SETTINGS

Answer = namedtuple("Answer", "value ready failed")  # functions: ready once it has come, failed if it is an error


class PlayedSeat:
    """An actor that runs the attempt `running`, once it `lives`, until it is `dead`."""

    def __init__(self, options, work):
        self.options, self.works, self.running = options, [work], work.token
        self.lives, self.dead = True, False
        for name in ("token", "wait", "start"):
            setattr(self, name, SimpleNamespace(remote=getattr(self, f"_{name}")))

    def _token(self, ready=lambda: True):
        return Answer(lambda: self.running, lambda: self.dead or (self.lives and ready()), lambda: self.dead)

    def _wait(self, token, started):
        return self._token(lambda: self.running != token)

    def _start(self, work):
        if not self.dead:
            self.works.append(work)
            self.running = work.token
        return self._token()


class PlayedRay:
    """A cluster of one machine with two cores and its seats."""

    def __init__(self, error):
        self.seats, self.error = [], error

    def wait(self, answers, num_returns=1, timeout=0):
        return [one for one in answers if one.ready()], [one for one in answers if not one.ready()]

    def get(self, answer):
        if answer.failed():
            raise self.error
        return answer.value()

    def kill(self, seat):
        seat.dead = True

    def names(self):
        return [seat.options["name"] for seat in self.seats]

    def get_actor(self, name):
        return next(seat for seat in self.seats if seat.options["name"] == name)

    def remote(self, what):
        def make(**options):
            return SimpleNamespace(remote=lambda work: self.seats.append(PlayedSeat(options, work)))

        return SimpleNamespace(options=make)

    def nodes(self):
        alive = {"Alive": True, "NodeManagerHostname": "n", "Resources": {"CPU": 2.0}}
        return [alive, {"Alive": False}]

    def available_resources(self):
        return {"CPU": 2.0 - sum(seat.options["num_cpus"] for seat in self.seats if not seat.dead)}


@pytest.fixture
def module(monkeypatch):
    """The module of the agent, which imports Ray with the settings of the tests."""
    with monkeypatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        from core.jobs.cluster import agent

    return agent


@pytest.fixture
def ray(module, monkeypatch):
    found = PlayedRay(module.RayError("it is dead"))
    monkeypatch.setattr(module, "ray", found)
    monkeypatch.setattr(module, "list_named_actors", found.names)
    return found


@pytest.fixture
def agent(module, ray):
    found = module.Agent()

    def states(*tokens):
        return [*found.of(*tokens).values()]

    def launch(token, cores=2, **needs):
        return begin(Work(1, token, ("worker",), "url"), Resources(cores, **needs))

    found.of, begin = found.states, found.launch
    found.states, found.launch = states, launch
    return found


def test_attempts_follow_one_another_in_one_seat(agent, ray, module, monkeypatch):
    agent.launch("a", memory=5)
    assert module._nodes() == (Resources(cores=2),)
    (seat,) = ray.seats
    assert seat.options == {
        **{"name": "slimscope-a", "lifetime": "detached", "max_restarts": 0, "max_concurrency": module.CALLS},
        **{"num_cpus": 2, "num_gpus": 0, "memory": 5},
    }
    assert seat.works[0] == (1, "a", ("worker",), "url")
    seat.lives = False
    assert agent.states("a") == ["waiting"]
    seat.lives = True
    assert agent.states("a") == ["running"]
    agent.launch("b")
    assert agent.states("a", "b") == ["running", "waiting"] and len(ray.seats) == 1  # that will soon be free
    seat.running = None
    assert agent.states("a", "b") == ["gone", "running"] and [work.token for work in seat.works] == ["a", "b"]
    monkeypatch.setattr(module, "REUSE_SECONDS", -1.0)
    seat.running = None
    assert agent.states("b") == ["gone"]
    agent.launch("c")
    assert ray.names() == ["slimscope-a", "slimscope-c"]  # a seat that has been free for long may end


def test_an_attempt_whose_free_seat_has_ended_starts_in_another(agent, ray):
    agent.launch("a")
    agent.launch("b")
    (seat,) = ray.seats
    start = seat.start.remote

    def dies(work):
        seat.dead = True
        return start(work)

    seat.start.remote = dies
    seat.running = None
    assert agent.states("b") in (["waiting"], ["running"])
    assert agent.states("b") == ["running"] and ray.names() == ["slimscope-a", "slimscope-b"]
    ray.seats[1].dead = True  # with its machine: a seat that runs an attempt is not free afterwards
    agent.launch("c")
    assert agent.states("b", "c") == ["gone", "running"] and len(ray.seats) == 3


def test_another_agent_finds_the_attempts(agent, ray, module):
    agent.launch("a")
    later = module.Agent()
    (seat,) = ray.seats
    seat.running = "b"  # in the seat of an earlier attempt
    assert later.states("a", "b") == {"a": "gone", "b": "running"}
    seat.lives = False
    assert module.Agent().states("a") == {"a": "waiting"}  # the name tells, as it cannot answer yet
    seat.dead = True
    assert module.Agent().states("b") == later.states("b") == {"b": "gone"}
    ray.seats.clear()
    assert module.Agent().states("b") == {"b": "gone"}


def test_attempts_are_killed(agent, ray):
    agent.launch("a")
    agent.launch("b")
    agent.kill("b")  # which waits
    assert not ray.seats[0].dead
    agent.kill("a")
    assert ray.seats[0].dead and agent.states("a", "b") == ["gone", "gone"] and len(ray.seats) == 1


def test_a_seat_that_has_not_started_takes_room(agent, ray, module, monkeypatch):
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 4.0})  # as before the seat's start
    monkeypatch.setattr(module, "_nodes", lambda: [Resources(cores=2)] * 2)

    def holds(name, cores):
        agent._attempts[name] = SimpleNamespace(holds=Resources(cores))

    holds("larger than each machine", 64)
    holds("starts", 2)
    assert agent._have_room(Resources(cores=2))
    holds("starts too", 2)
    assert not agent._have_room(Resources(cores=1))
