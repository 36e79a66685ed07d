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
from multiprocessing import Pipe
from time import monotonic, sleep
from weakref import WeakSet

from sqlalchemy import URL

from core.base.errors import UserError
from core.jobs.cluster.messages import Reply, Resources, State, Work
from core.jobs.cluster.start import PREFIX, SECURED
from core.jobs.executor import RAY, End, Executor, Handle
from core.jobs.here import needed_models, needed_texts
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

    def __init__(self, executor: RayExecutor, token: str, needs: Resources | None = None):
        self.text = RAY + PREFIX + token
        self.token, self._executor, self._needs = token, executor, needs
        executor.handles.add(self)

    def poll(self) -> End | None:
        return End("ended", lost=True) if self._executor.state(self.token) == "gone" else None

    def waits_for(self) -> str | None:
        if self._executor.state(self.token) != "waiting":
            return None
        if self._needs is None:
            return "a machine of the cluster"
        able = any(node.room(self._needs) for node in self._executor.nodes or ())
        return self._needs.words() if able else f"no machine of the cluster has {self._needs.words()}"

    def kill(self) -> None:
        self._executor.ask("kill", self.token)


class RayExecutor(Executor):
    """An executor on the cluster of `RAY_ADDRESS`, or on the one of this machine."""

    is_local = False

    def __init__(self, url: URL, command: Sequence[str] = WORKER):
        super().__init__(url, command)
        self.handles: WeakSet[RayHandle] = WeakSet()  # whose states the agent is asked for
        self._store = Store(url)
        self._lock = threading.Lock()
        self._agent: subprocess.Popen[bytes] | None = None
        self._started = -RETRY_SECONDS
        self.nodes: tuple[Resources, ...] | None = None  # None: not connected
        self._problem: str | None = None
        self._states: dict[str, State] = {}  # by token
        self._read = 0.0  # when they were

    def problem(self) -> str | None:
        self._is_connected()
        return self._problem

    def has_room(self, handles: Collection[Handle]) -> bool:
        return self._is_connected() and sum(one.waits_for() is not None for one in handles) < WAITING

    def capacity(self, spec: RunSpec) -> int:
        self._await_connection()
        needs = self._needs(spec)
        return max(1, sum(node.room(needs) for node in self.nodes or ()))

    def refusal(self, specs: Sequence[RunSpec]) -> str | None:
        if any(spec.save is not None for spec in specs):
            return "A job on a cluster saves no model; run it without a folder, then export its result."
        if not self._await_connection():
            return None  # the jobs wait for the cluster
        by_needs = {}  # one run for the same models, texts and methods
        for spec in specs:
            methods = frozenset((stage.method, stage.version) for stage in spec.variant.stages)
            by_needs[methods, needed_models(spec), needed_texts(spec)] = spec
        for spec in by_needs.values():
            lacking = self.ask("lacking", spec.model_dump_json(), seconds=CHECK_SECONDS)
            if isinstance(lacking, str):
                return lacking
        return None

    def launch(self, job_id: int, token: str, spec: str) -> Handle:
        needs = self._needs(RunSpec.model_validate_json(spec))
        handle = RayHandle(self, token, needs)
        self.ask("launch", Work(job_id, token, self.command, self.url.render_as_string(hide_password=False)), needs)
        return handle

    def sees(self, handle: str) -> bool:
        return handle.startswith(RAY) and self._is_connected()

    def adopt(self, handle: str, beating: bool = False) -> Handle | None:
        found = RayHandle(self, handle.removeprefix(RAY + PREFIX))
        return None if found.poll() else found

    def state(self, token: str) -> State | None:
        """Return the state of an attempt, which may be half a second old; None if the cluster cannot be reached."""
        if not self._is_connected():
            return None
        if token not in self._states or monotonic() - self._read > STATE_SECONDS:
            states = self.ask("states", *sorted(one.token for one in self.handles))
            self._states, self._read = states if isinstance(states, dict) else {}, monotonic()
        return self._states.get(token)

    def _needs(self, spec: RunSpec) -> Resources:
        most = max([1, *(int(node.cores) for node in self.nodes or ())])  # a head that is alone has none
        memory = spec.memory
        if memory is None:
            try:
                memory = estimate_left([spec], self._store).bytes
            except UserError:  # the run itself reports it
                memory = 0
        return Resources(spec.threads or min(CORES, most), int(spec.device.startswith("cuda")), memory)

    def _is_connected(self) -> bool:
        with self._lock:
            self._connect()
            return self.nodes is not None

    def _await_connection(self) -> bool:
        """Return whether the cluster can be reached, once that is known."""
        while not self._is_connected() and self._agent is not None:
            sleep(STATE_SECONDS)
        return self._is_connected()

    def _connect(self) -> None:
        """Start an agent if there is none, and read its first reply."""
        if self._agent is None and monotonic() - self._started > RETRY_SECONDS:
            self._started = monotonic()
            self._pipe, theirs = Pipe()
            self._agent = subprocess.Popen(
                (*AGENT, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**child_environment(), **SECURED},
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
        elif self._agent is not None and self.nodes is None:
            late = monotonic() - self._started > CONNECT_SECONDS
            if self._pipe.poll() or late:
                self._receive(0.0, "it did not answer")

    def _receive(self, seconds: float, silent: str = "it does not answer") -> Reply | None:
        """Return the agent's next reply; None if its request failed, or it is lost: it has ended or is silent."""
        try:
            reply: Reply | None = self._pipe.recv() if self._pipe.poll(seconds) else None
        except (OSError, EOFError):
            reply, silent = None, "its process ended"
        if reply is None or (reply.error is not None and self.nodes is None):
            self._lose(silent if reply is None else str(reply.error))
        elif reply.error is None:
            self.nodes, self._problem = reply.nodes, None
            return reply
        return None

    def _lose(self, reason: str) -> None:
        """Give up an agent."""
        if self._agent is not None:
            self._agent.kill()
            self._agent.wait()
        self._agent = self.nodes = None
        self._states = {}
        address, reason = os.environ.get("RAY_ADDRESS", "auto"), reason.rstrip(".")
        self._problem = f"The Ray cluster at {address} is not reachable ({reason}); jobs wait until it is."

    def ask(self, method: str, *arguments: object, seconds: float = REPLY_SECONDS) -> object:
        """Return the agent's answer to a request; None if the cluster cannot be reached, or the request failed."""
        with self._lock:
            if self.nodes is None:
                return None
            try:
                self._pipe.send((method, *arguments))
            except OSError:
                self._lose("its process ended")
                return None
            reply = self._receive(seconds)
        return None if reply is None else reply.answer
