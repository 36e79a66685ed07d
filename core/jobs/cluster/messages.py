"""Requests of the executor to its agent, and the agent's answers: one JSON object a line."""

from __future__ import annotations

from typing import Literal

from core.specs import Frozen

State = Literal["waiting", "running", "gone"]  # of an attempt; waiting: Ray has no machine for it yet
PREFIX = "slimscope-"  # of an attempt's name, before its token


class Needs(Frozen):
    """The part of a machine that a job needs."""

    cores: int
    gpus: int = 0
    memory: int = 0  # bytes; 0: unknown

    def serves(self, other: Needs) -> bool:
        """Return whether an actor that holds this can run a job with other needs."""
        return (self.cores, self.gpus) == (other.cores, other.gpus) and self.memory >= other.memory

    def words(self) -> str:
        """Return it as words, such as `2 cores and 3.1 GB of memory`."""
        parts = [f"{self.cores} core" + "s" * (self.cores > 1)]
        parts += [f"{self.gpus} GPU"] * (self.gpus > 0)
        parts += [f"{self.memory / 1e9:.1f} GB of memory"] * (self.memory > 0)
        return ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]


class Launch(Frozen):
    """Start an attempt."""

    name: str  # its token after `PREFIX`
    job_id: int
    token: str
    command: tuple[str, ...]  # of the worker; the job and its token follow
    database: str  # URL, with its password
    needs: Needs


class Request(Frozen):
    """A request; exactly one of its fields is set."""

    launch: Launch | None = None
    watch: tuple[str, ...] | None = None  # names of attempts, whose states are returned
    kill: str | None = None  # the name of an attempt
    lacking: str | None = None  # JSON of a run: ask each node what it lacks


class Node(Frozen):
    """A machine of the cluster and all that it has."""

    name: str
    cores: float
    gpus: float
    memory: float  # bytes

    def fits(self, needs: Needs) -> bool:
        """Return whether it has enough for a job that has it alone."""
        return self.room(needs) > 0

    def room(self, needs: Needs) -> int:
        """Return how many jobs with these needs it has enough for at once."""
        wanted = (self.cores, needs.cores), (self.gpus, needs.gpus), (self.memory, needs.memory)
        return min(int(whole // part) for whole, part in wanted if part)


class Reply(Frozen):
    """An answer; its first one follows the connection to the cluster."""

    nodes: tuple[Node, ...] = ()  # that are alive
    states: dict[str, State] = {}  # of `watch`, by name
    lacking: str | None = None  # of `lacking`: the sentence of the first node that lacks something
    error: str | None = None  # why the request failed, one sentence
