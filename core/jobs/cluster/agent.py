"""The process that speaks to Ray for one executor, `python -m core.jobs.cluster.agent`: JSON lines in, JSON lines out.

Ray ends a process that is connected to it 60 seconds after the cluster's head has ended, so the dashboard itself is not
connected. This process ends with its standard input.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NamedTuple, TextIO

import ray
from ray import ObjectRef
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.jobs.cluster.messages import PREFIX, Launch, Needs, Node, Reply, Request, State
from core.jobs.cluster.seat import CALLS, FREE_SECONDS, Seat, Work, lacking_on_node
from core.jobs.cluster.start import CLOSED, NAMESPACE, only_this_machine

REUSE_SECONDS = FREE_SECONDS / 2  # for which a seat counts as free; later it may end before a call reaches it
FIND_SECONDS = 2.0  # for the answers of all seats
NODE_SECONDS = 60.0  # for a node's answer


class Watched:
    """An attempt in a seat."""

    def __init__(
        self,
        seat: ActorHandle[Seat],
        token: str,
        needs: Needs | None = None,
        launch: Launch | None = None,
        started: ObjectRef[None] | None = None,
    ):
        self.seat = seat
        self.needs = needs  # what the seat holds; None if another agent made it
        self._launch = launch  # that a free seat received
        self._started = started  # the answer of its start there
        self._lives: ObjectRef[None] = seat.ping.remote()
        self._ended: ObjectRef[None] = seat.wait.remote(token, started)

    @property
    def state(self) -> State:
        if _is_ready(self._ended):
            return "gone" if self.not_started is None else "waiting"
        return "running" if _is_ready(self._lives) else "waiting"

    @property
    def keeps_seat(self) -> bool:
        """Whether the seat of an attempt that has ended is still there."""
        return not _failed(self._ended)

    @property
    def not_started(self) -> Launch | None:
        """The attempt if its seat had ended before it arrived."""
        ended = self._started is not None and _is_ready(self._ended) and _failed(self._started)
        return self._launch if ended else None


class Free(NamedTuple):
    """A seat without an attempt."""

    since: float
    seat: ActorHandle[Seat]
    needs: Needs


class Agent:
    """The connection to a cluster."""

    def __init__(self) -> None:
        # By the attempt's name:
        self._watched: dict[str, Watched] = {}
        self._held: dict[str, Launch] = {}  # that wait for a seat of this agent
        self._gone: set[str] = set()
        self._free: list[Free] = []

    def answer(self, request: Request) -> Reply:
        """Return the answer to a request."""
        self._settle()
        reply = Reply(nodes=tuple(_nodes()))
        if request.launch is not None:
            self._held[request.launch.name] = request.launch
            self._place(request.launch)
        elif request.watch is not None:
            self._forget(request.watch)
            return reply.model_copy(update={"states": {name: self._state(name) for name in request.watch}})
        elif request.kill is not None:
            self._kill(request.kill)
        elif request.lacking is not None:
            return reply.model_copy(update={"lacking": _lacking(request.lacking)})
        return reply

    def _settle(self) -> None:
        """Give the seats of attempts that have ended to those that are held."""
        now = time.monotonic()
        self._free = [one for one in self._free if now - one.since < REUSE_SECONDS]
        for name, one in [*self._watched.items()]:
            if one.not_started is not None:
                del self._watched[name]
                self._held[name] = one.not_started
            elif one.state == "gone":
                del self._watched[name]
                self._gone.add(name)
                if one.needs is not None and one.keeps_seat:
                    self._free.append(Free(now, one.seat, one.needs))
        for launch in [*self._held.values()]:
            self._place(launch)

    def _place(self, launch: Launch) -> None:
        """Start a held attempt in a free seat, else in a new one, unless one will soon be free."""
        free = next((one for one in self._free if one.needs.serves(launch.needs)), None)
        if free is None and self._is_busy(launch.needs) and not self._have_room(launch.needs):
            return
        del self._held[launch.name]
        work = Work(launch.job_id, launch.token, launch.command, launch.database)
        if free is not None:
            self._free.remove(free)
            started: ObjectRef[None] = free.seat.start.remote(work)
            self._watched[launch.name] = Watched(free.seat, launch.token, free.needs, launch, started)
        else:
            options = {"name": launch.name, "lifetime": "detached", "max_restarts": 0, "max_concurrency": CALLS}
            ray.remote(Seat).options(**options, **_resources(launch.needs)).remote(work)
            self._watched[launch.name] = Watched(ray.get_actor(launch.name), launch.token, launch.needs)

    def _is_busy(self, needs: Needs) -> bool:
        """Return whether a seat that serves a job runs another one."""
        held = (one.needs for one in self._watched.values() if one.state == "running")
        return any(one is not None and one.serves(needs) for one in held)

    def _have_room(self, needs: Needs) -> bool:
        """Return whether the cluster has as much free as a job needs.

        Ray knows what others hold. What this agent's seats hold reaches Ray's count only once they have started.
        """
        nodes = _nodes()
        free = ray.available_resources()  # type: ignore[no-untyped-call]
        seats = [one.needs for one in self._watched.values()] + [one.needs for one in self._free]
        own = [one for one in seats if one and any(node.fits(one) for node in nodes)]  # others wait for a larger one
        return all(
            min(free.get(kind, 0), sum(getattr(node, name) for node in nodes) - sum(getattr(one, name) for one in own))
            >= getattr(needs, name)
            for kind, name in (("CPU", "cores"), ("GPU", "gpus"), ("memory", "memory"))
        )

    def _state(self, name: str) -> State:
        if name in self._held:
            return "waiting"
        if name not in self._watched and name not in self._gone:
            seat = _find(name)
            if seat is None:
                return "gone"
            self._watched[name] = Watched(seat, _token(name))
        return self._watched[name].state if name in self._watched else "gone"

    def _kill(self, name: str) -> None:
        if self._held.pop(name, None) is None and self._state(name) != "gone":
            ray.kill(self._watched.pop(name).seat)

    def _forget(self, watched: Collection[str]) -> None:
        """Forget the attempts of which nobody asks any more."""
        self._gone &= set(watched)
        for name in self._watched.keys() - set(watched):
            del self._watched[name]


def _is_ready(answer: ObjectRef[None]) -> bool:
    return bool(ray.wait([answer], timeout=0)[0])


def _failed(answer: ObjectRef[None]) -> bool:
    try:
        ray.get(answer)
    except RayError:
        return True
    return False


def _token(name: str) -> str:
    return name.removeprefix(PREFIX)


def _find(name: str) -> ActorHandle[Seat] | None:
    """Return the seat of an attempt that another agent started; None if it has ended.

    A seat that waits for a machine has the name of its attempt, and cannot answer yet.
    """
    seats: dict[str, ActorHandle[Seat]] = {}
    for one in list_named_actors():
        with suppress(ValueError):  # it has ended
            seats[one] = ray.get_actor(one)
    asked: dict[ObjectRef[str | None], ActorHandle[Seat]] = {seat.token.remote(): seat for seat in seats.values()}
    if not asked:
        return None
    ready, silent = ray.wait([*asked], num_returns=len(asked), timeout=FIND_SECONDS)
    for answer in ready:
        with suppress(RayError):
            if ray.get(answer) == _token(name):
                return asked[answer]
    return next((asked[one] for one in silent if asked[one] is seats.get(name)), None)


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
