"""The process that speaks to Ray for one executor, `python -m core.jobs.cluster.agent`: JSON lines in, JSON lines out.

Ray ends a process that is connected to it 60 seconds after the cluster's head has ended, so the dashboard itself is not
connected. This process ends with its standard input.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import ray
from ray import ObjectRef
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.jobs.cluster.attempt import Attempt, lacking_on_node
from core.jobs.cluster.messages import Launch, Needs, Node, Reply, Request, State
from core.jobs.cluster.start import CLOSED, NAMESPACE, only_this_machine

PING_SECONDS = 2.0  # between two questions to an actor whether it lives
NODE_SECONDS = 60.0  # for a node's answer


class Watched:
    """An actor, and the last answer to the question whether it lives."""

    def __init__(self, actor: ActorHandle[Attempt]):
        self.actor = actor
        self.state: State = "waiting"
        self._asked = time.monotonic()
        self._question: ObjectRef[None] = actor.ping.remote()

    def renewed(self) -> State:
        """Return its state; ask again once the last question is answered."""
        ready, _ = ray.wait([self._question], timeout=0)
        if ready and self.state != "gone":
            try:
                ray.get(self._question)
                self.state = "running"
            except RayActorError:
                self.state = "gone"
            if self.state == "running" and time.monotonic() - self._asked > PING_SECONDS:
                self._asked = time.monotonic()
                self._question = self.actor.ping.remote()
        return self.state


class Agent:
    """The connection to a cluster."""

    def __init__(self) -> None:
        self._watched: dict[str, Watched] = {}  # by the actor's name

    def answer(self, request: Request) -> Reply:
        """Return the answer to a request."""
        reply = Reply(nodes=tuple(_nodes()))
        if request.launch is not None:
            self._launch(request.launch)
        elif request.watch is not None:
            for name in self._watched.keys() - set(request.watch):
                del self._watched[name]
            return reply.model_copy(update={"states": {name: self._state(name) for name in request.watch}})
        elif request.kill is not None:
            self._kill(request.kill)
        elif request.lacking is not None:
            return reply.model_copy(update={"lacking": _lacking(request.lacking)})
        return reply

    def _launch(self, launch: Launch) -> None:
        resources = _resources(launch.needs)
        actor = ray.remote(Attempt).options(name=launch.name, lifetime="detached", max_restarts=0, **resources)
        actor.remote(launch.job_id, launch.token, launch.command, launch.database)
        self._watched[launch.name] = Watched(ray.get_actor(launch.name))

    def _state(self, name: str) -> State:
        if name not in self._watched:
            try:
                self._watched[name] = Watched(ray.get_actor(name))
            except ValueError:  # there is no such actor
                return "gone"
        return self._watched[name].renewed()

    def _kill(self, name: str) -> None:
        self._watched.pop(name, None)
        with suppress(ValueError):  # it has ended
            ray.kill(ray.get_actor(name))


def _resources(needs: Needs) -> dict[str, float]:
    found: dict[str, float] = {"num_cpus": needs.cores, "num_gpus": needs.gpus}
    return found | {"memory": needs.memory} if needs.memory else found


def _nodes() -> list[Node]:
    return [
        Node(
            name=one["NodeManagerHostname"],
            cores=one["Resources"].get("CPU", 0),
            gpus=one["Resources"].get("GPU", 0),
            memory=one["Resources"].get("memory", 0),
        )
        for one in _alive()
    ]


def _alive() -> list[dict[str, Any]]:  # Any: Ray's description of a node
    return [one for one in ray.nodes() if one["Alive"]]  # type: ignore[no-untyped-call]


def _lacking(spec: str) -> str | None:
    """Return what the first node lacks that cannot run a job, as a sentence; None if all nodes can."""
    ask = ray.remote(lacking_on_node)
    asked = []
    for one in _alive():
        there = NodeAffinitySchedulingStrategy(one["NodeID"], soft=False)
        asked.append((one["NodeManagerHostname"], ask.options(num_cpus=0, scheduling_strategy=there).remote(spec)))
    for name, answer in asked:
        try:
            reason = ray.get(answer, timeout=NODE_SECONDS)
        except GetTimeoutError:
            return f"Machine {name} of the cluster did not answer within {NODE_SECONDS:.0f} s."
        if reason is not None:
            return f"Machine {name} of the cluster cannot run this job: {reason}."
    return None


def connect() -> None:
    """Connect to the cluster of `RAY_ADDRESS`, or to that which runs on this machine; `ConnectionError` without it."""
    address = os.environ.get("RAY_ADDRESS", "auto")
    if only_this_machine(address):
        os.environ.update(CLOSED)
    ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)


def serve(requests: TextIO, replies: TextIO, connected: Callable[[], None] = connect) -> None:
    """Answer requests until their end."""

    def write(reply: Reply) -> None:
        replies.write(reply.model_dump_json() + "\n")
        replies.flush()

    try:
        connected()
    except (ConnectionError, RayError, RuntimeError, ValueError, OSError) as error:
        write(Reply(error=_first_line(error)))
        return
    agent = Agent()
    write(Reply(nodes=tuple(_nodes())))
    for line in requests:
        try:
            write(agent.answer(Request.model_validate_json(line)))
        except (RayError, RuntimeError, ValueError) as error:
            write(Reply(error=_first_line(error)))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Ray prints is no reply
    serve(sys.stdin, own)
