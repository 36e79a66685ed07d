"""The executor of jobs on a Ray cluster.

A job's handle is the name of its attempt. All that this process knows of the cluster comes from its agent. If that ends
or does not answer, the cluster counts as unreachable, and another agent tries to connect. Until then, a job whose
lease ends is lost.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic, sleep

from sqlalchemy import URL

from core.base.errors import UserError
from core.jobs.cluster.messages import PREFIX, Launch, Needs, Node, Reply, Request, State
from core.jobs.cluster.start import SECURED
from core.jobs.executor import RAY, End, Handle
from core.jobs.here import needed_methods, needed_models, needed_texts
from core.jobs.kinds import WORKER
from core.jobs.processes import child_environment
from core.request.expected.estimate import estimate_left
from core.specs import RunSpec
from core.store.store import Store

AGENT = (sys.executable, "-P", "-m", "core.jobs.cluster.agent")
WAITING = 2  # jobs at most for which Ray has no machine yet; the others stay in the queue, where they can be moved
REPLY_SECONDS = 10.0  # after which an agent counts as lost
CHECK_SECONDS = 90.0  # for the answers of all nodes
CONNECT_SECONDS = 60.0
RETRY_SECONDS = 5.0  # between two agents
STATE_SECONDS = 0.4  # for which the states of attempts are not asked again
CORES = 4  # of a job that states no threads, if the machines have as many


class RayHandle(Handle):
    """An attempt in an actor of Ray."""

    def __init__(self, executor: RayExecutor, name: str, needs: Needs | None = None):
        self.text = RAY + name
        self.name = name
        self._executor = executor
        self._needs = needs
        self._gone = False  # the executor forgets an attempt once it has stated that it is gone

    def poll(self) -> End | None:
        return End("ended", lost=True) if self._state() == "gone" else None

    def waits_for(self) -> str | None:
        if self._state() != "waiting":
            return None
        return self._executor.wanted(self._needs) if self._needs else "a machine of the cluster"

    def _state(self) -> State | None:
        state = "gone" if self._gone else self._executor.state(self.name)
        self._gone = state == "gone"
        return state

    def stopped(self) -> bool:
        return False

    def resume(self) -> None:
        pass

    def kill(self) -> None:
        self._executor.kill(self.name)


class RayExecutor:
    """An executor on the cluster of `RAY_ADDRESS`, or on the one of this machine."""

    is_local = False

    def __init__(self, url: URL, worker: Sequence[str] = WORKER):
        self.url = url
        self._store = Store(url)
        self._worker = tuple(worker)
        self._lock = threading.Lock()
        self._agent: subprocess.Popen[str] | None = None
        self._replies: SimpleQueue[Reply | None] = SimpleQueue()
        self._started = -RETRY_SECONDS
        self._nodes: tuple[Node, ...] | None = None  # None: not connected
        self._problem: str | None = None
        self._states: dict[str, State] = {}
        self._names: set[str] = set()  # of the attempts that are watched
        self._read = -STATE_SECONDS

    def problem(self) -> str | None:
        self._is_connected()
        return self._problem

    def has_room(self, handles: Collection[Handle]) -> bool:
        return self._is_connected() and sum(one.waits_for() is not None for one in handles) < WAITING

    def capacity(self, spec: RunSpec) -> int:
        self._await_connection()
        needs = self._needs(spec)
        return max(1, sum(node.room(needs) for node in self._nodes or ()))

    def refusal(self, specs: Sequence[RunSpec]) -> str | None:
        if any(spec.save is not None for spec in specs):
            return "A job on a cluster saves no model; run it without a folder, then export its result."
        if not self._await_connection():
            return None  # the jobs wait for the cluster
        by_needs = {(needed_methods(spec), needed_models(spec), needed_texts(spec)): spec for spec in specs}
        for spec in by_needs.values():
            reply = self._ask(Request(lacking=spec.model_dump_json()), CHECK_SECONDS)
            if reply is not None and reply.lacking is not None:
                return reply.lacking
        return None

    def launch(self, job_id: int, token: str, spec: str) -> Handle:
        needs = self._needs(RunSpec.model_validate_json(spec))
        name = PREFIX + token
        database = self.url.render_as_string(hide_password=False)
        launch = Launch(name=name, job_id=job_id, token=token, command=self._worker, database=database, needs=needs)
        if self._ask(Request(launch=launch)) is not None:
            with self._lock:
                self._names.add(name)
                self._states[name] = "waiting"
        return RayHandle(self, name, needs)  # if Ray has not started it, the lease ends

    def sees(self, handle: str) -> bool:
        return handle.startswith(RAY) and self._is_connected()

    def adopt(self, handle: str, beating: bool = False) -> Handle | None:
        name = handle.removeprefix(RAY)
        with self._lock:
            self._names.add(name)
            self._read = -STATE_SECONDS
        return None if self.state(name) == "gone" else RayHandle(self, name)

    def state(self, name: str) -> State | None:
        """Return the state of an attempt, which may be half a second old; None if the cluster cannot be reached."""
        if not self._is_connected():
            return None
        with self._lock:
            names, fresh = tuple(sorted(self._names)), monotonic() - self._read < STATE_SECONDS
        if not fresh or name not in self._states:
            reply = self._ask(Request(watch=names))
            if reply is None:
                return None
            with self._lock:
                self._read = monotonic()
                self._states = dict(reply.states)
        state = self._states.get(name)
        if state == "gone":
            with self._lock:
                self._names.discard(name)
        return state

    def kill(self, name: str) -> None:
        """Kill the actor of an attempt."""
        self._ask(Request(kill=name))
        with self._lock:
            self._names.discard(name)

    def wanted(self, needs: Needs) -> str:
        """Return what a job waits for."""
        nodes = self._nodes or ()
        if not any(node.fits(needs) for node in nodes):
            return f"no machine of the cluster has {needs.words()}"
        return needs.words()

    def _needs(self, spec: RunSpec) -> Needs:
        most = max((int(node.cores) for node in self._nodes or ()), default=1)
        memory = spec.memory
        if memory is None:
            try:
                memory = estimate_left([spec], self._store).bytes
            except UserError:  # the run itself reports it
                memory = 0
        return Needs(cores=spec.threads or min(CORES, most), gpus=int(spec.device.startswith("cuda")), memory=memory)

    def _is_connected(self) -> bool:
        with self._lock:
            self._connect()
            return self._nodes is not None

    def _await_connection(self) -> bool:
        """Return whether the cluster can be reached, once that is known."""
        while not self._is_connected() and self._agent is not None:
            sleep(STATE_SECONDS)
        return self._is_connected()

    def _connect(self) -> None:
        """Start an agent if there is none, and read its first reply."""
        if self._agent is not None and self._nodes is None:
            with suppress(Empty):
                self._greet(self._replies.get_nowait())
            if self._nodes is None and monotonic() - self._started > CONNECT_SECONDS:
                self._lose("it did not answer")
        elif self._agent is None and monotonic() - self._started > RETRY_SECONDS:
            self._started = monotonic()
            self._replies = SimpleQueue()
            self._agent = subprocess.Popen(
                AGENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**child_environment(), **SECURED},
                encoding="utf-8",
            )
            threading.Thread(target=_collect, args=(self._agent, self._replies), name="Ray agent", daemon=True).start()

    def _greet(self, reply: Reply | None) -> None:
        if reply is None or reply.error is not None:
            self._lose(reply.error if reply and reply.error else "its process ended")
        else:
            self._nodes, self._problem = reply.nodes, None

    def _lose(self, reason: str) -> None:
        """Give up an agent."""
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait()
        self._agent = self._nodes = None
        self._states, self._read = {}, -STATE_SECONDS
        reason = reason.rstrip(".")
        self._problem = f"The Ray cluster at {_address()} is not reachable ({reason}); jobs wait until it is."

    def _ask(self, request: Request, seconds: float = REPLY_SECONDS) -> Reply | None:
        """Return the answer to a request; None if the cluster cannot be reached, or the request failed."""
        with self._lock:
            if self._agent is None or self._nodes is None:
                return None
            assert self._agent.stdin is not None  # a pipe
            try:
                self._agent.stdin.write(request.model_dump_json() + "\n")
                self._agent.stdin.flush()
                reply = self._replies.get(timeout=seconds)
            except (OSError, Empty):
                reply = None
            if reply is None:
                self._lose("it does not answer")
            elif reply.error is None:
                self._nodes = reply.nodes
            return reply if reply is not None and reply.error is None else None


def _collect(agent: subprocess.Popen[str], replies: SimpleQueue[Reply | None]) -> None:
    """Put the replies of an agent into a queue, and None at its end."""
    assert agent.stdout is not None  # a pipe
    for line in agent.stdout:
        replies.put(Reply.model_validate_json(line))
    replies.put(None)


def _address() -> str:
    return os.environ.get("RAY_ADDRESS", "auto")
