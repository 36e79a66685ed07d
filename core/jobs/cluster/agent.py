"""The process that speaks to Ray for one executor, `python -m core.jobs.cluster.agent FD`, at the other end of a pipe.

Ray ends a process that is connected to it 60 seconds after the cluster's head has ended, so the dashboard itself is not
connected. This process ends with its pipe.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import ray
from ray import ObjectRef
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from core.jobs.cluster.messages import Reply, Resources, State, Work
from core.jobs.cluster.seat import CALLS, FREE_SECONDS, Seat
from core.jobs.cluster.start import CLOSED, NAMESPACE, PREFIX, only_this_machine

REUSE_SECONDS = FREE_SECONDS / 2  # for which a seat counts as free; later it may end before a call reaches it
FIND_SECONDS = 2.0  # for the answers of all seats
NODE_SECONDS = 60.0  # for a node's answer


class Attempt:
    """An attempt; without a seat it waits for one of this agent, which then has its `work` and `needs`."""

    def __init__(self, token: str, work: Work | None = None, needs: Resources | None = None):
        self.token, self.work, self.needs = token, work, needs
        self.seat: ActorHandle[Seat] | None = None
        self.holds: Resources | None = None  # what the seat holds while the attempt has it; None if another made it
        self._started: ObjectRef[None] | None = None  # the answer of its start in a free seat

    def enter(
        self, seat: ActorHandle[Seat], holds: Resources | None = None, started: ObjectRef[None] | None = None
    ) -> None:
        """Watch the attempt in a seat."""
        self.seat, self.holds, self._started = seat, holds, started
        self._lives: ObjectRef[str | None] = seat.token.remote()
        self.end: ObjectRef[None] = seat.wait.remote(self.token, started)

    @property
    def state(self) -> State:
        if self.seat is None or self.came_late:
            return "waiting"
        if _is_ready(self.end):
            return "gone"
        return "running" if _is_ready(self._lives) else "waiting"

    @property
    def came_late(self) -> bool:
        """Whether its seat had ended before it arrived."""
        return self._started is not None and _is_ready(self.end) and _failed(self._started)


class Free(NamedTuple):
    """A seat without an attempt."""

    since: float
    seat: ActorHandle[Seat]
    holds: Resources


class Agent:
    """The connection to a cluster; its public methods answer requests."""

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}  # by token
        self._free: list[Free] = []

    def launch(self, work: Work, needs: Resources) -> None:
        """Start an attempt, now or later."""
        self._attempts[work.token] = Attempt(work.token, work, needs)
        self._settle()

    def states(self, *tokens: str) -> dict[str, State]:
        """Return the states of attempts, and forget all others."""
        self._settle()
        known = {token: self._attempts.get(token) or _find(token) for token in tokens}
        self._attempts = {token: one for token, one in known.items() if one is not None}
        return {token: "gone" if one is None else one.state for token, one in known.items()}

    def kill(self, token: str) -> None:
        """Kill the seat of an attempt, unless it has ended."""
        one = self._attempts.pop(token, None) or _find(token)
        if one is not None and one.seat is not None and one.state != "gone":
            ray.kill(one.seat)

    def lacking(self, spec: str) -> str | None:
        """Return what the first node lacks that cannot run a job (JSON), as a sentence; None if all nodes can."""
        from core.jobs.here import lacking_here  # only here, as it reads models' facts

        ask = ray.remote(lacking_here)
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

    def _settle(self) -> None:
        """Give the seats of attempts that have ended to those that wait."""
        self._free = [one for one in self._free if time.monotonic() - one.since < REUSE_SECONDS]
        for one in self._attempts.values():
            if one.seat is not None and one.holds is not None and (one.came_late or one.state == "gone"):
                if not _failed(one.end):
                    self._free.append(Free(time.monotonic(), one.seat, one.holds))
                one.seat, one.holds = None if one.came_late else one.seat, None
        for one in self._attempts.values():
            if one.seat is None and one.work is not None and one.needs is not None:
                self._place(one, one.work, one.needs)

    def _place(self, one: Attempt, work: Work, needs: Resources) -> None:
        """Start a waiting attempt in a free seat, else in a new one, unless one will soon be free."""
        free = next((free for free in self._free if free.holds.serves(needs)), None)
        if free is not None:
            self._free.remove(free)
            one.enter(free.seat, free.holds, free.seat.start.remote(work))
        elif not self._is_busy(needs) or self._have_room(needs):
            name = PREFIX + work.token
            options = {"name": name, "lifetime": "detached", "max_restarts": 0, "max_concurrency": CALLS}
            options |= {"num_cpus": needs.cores, "num_gpus": needs.gpus}
            options |= {"memory": needs.memory} if needs.memory else {}
            ray.remote(Seat).options(**options).remote(work)
            one.enter(ray.get_actor(name), needs)

    def _is_busy(self, needs: Resources) -> bool:
        """Return whether a seat that serves a job runs another one."""
        seats = (one for one in self._attempts.values() if one.holds is not None and one.holds.serves(needs))
        return any(one.state == "running" for one in seats)

    def _have_room(self, needs: Resources) -> bool:
        """Return whether the cluster has as much free as a job needs.

        Ray knows what others hold. What this agent's seats hold reaches Ray's count only once they have started.
        """
        nodes = _nodes()
        seats = [one.holds for one in self._attempts.values() if one.holds] + [one.holds for one in self._free]
        own = [one for one in seats if any(node.room(one) for node in nodes)]  # others wait for a larger one
        whole, held = (Resources(*map(sum, zip(*side, strict=True))) for side in (nodes, own))
        free = _resources(ray.available_resources())  # type: ignore[no-untyped-call]
        return all(
            min(left, all_of_it - part) >= wanted
            for left, all_of_it, part, wanted in zip(free, whole, held, needs, strict=True)
        )


def _is_ready(answer: ObjectRef[Any]) -> bool:  # Any: whatever it is
    return bool(ray.wait([answer], timeout=0)[0])


def _failed(answer: ObjectRef[None]) -> bool:
    try:
        ray.get(answer)
    except RayError:
        return True
    return False


def _find(token: str) -> Attempt | None:
    """Return an attempt that another agent started; None if it has ended.

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
    found = next((asked[one] for one in silent if asked[one] is seats.get(PREFIX + token)), None)
    for answer in ready:
        with suppress(RayError):
            found = asked[answer] if ray.get(answer) == token else found
    if found is None:
        return None
    attempt = Attempt(token)
    attempt.enter(found)
    return attempt


def _resources(of: Mapping[str, float]) -> Resources:
    return Resources(*(of.get(kind, 0) for kind in ("CPU", "GPU", "memory")))


def _nodes() -> tuple[Resources, ...]:
    return tuple(_resources(one["Resources"]) for one in _alive())


def _alive() -> list[dict[str, Any]]:  # Any: Ray's description of a node
    return [one for one in ray.nodes() if one["Alive"]]  # type: ignore[no-untyped-call]


def connect() -> None:
    """Connect to the cluster of `RAY_ADDRESS`, or to that which runs on this machine; `ConnectionError` without it."""
    address = os.environ.get("RAY_ADDRESS", "auto")
    if only_this_machine(address):
        os.environ.update(CLOSED)
    ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)


def serve(pipe: Connection) -> None:
    """Connect and answer requests until their end."""
    try:
        connect()
    except (ConnectionError, RayError, RuntimeError, ValueError, OSError) as error:
        pipe.send(Reply(error=_first_line(error)))
        return
    agent = Agent()
    pipe.send(Reply(_nodes()))
    while True:
        try:
            method, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = getattr(agent, method)(*arguments)
            pipe.send(Reply(_nodes(), answer))
        except (RayError, RuntimeError, ValueError) as error:
            pipe.send(Reply(error=_first_line(error)))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
