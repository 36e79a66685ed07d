"""What the executor and its agent send each other: tuples, as the start of an actor imports this module, too."""

from __future__ import annotations

from typing import Literal, NamedTuple

from core.base.errors import counted

State = Literal["waiting", "running", "gone"]  # of an attempt; waiting: Ray has no machine for it yet


class Resources(NamedTuple):
    """What a machine has, or what a job needs of it."""

    cores: float = 0
    gpus: float = 0
    memory: float = 0  # bytes; 0: unknown

    def serves(self, other: Resources) -> bool:
        """Return whether an actor that holds this can run a job with other needs."""
        return (self.cores, self.gpus) == (other.cores, other.gpus) and self.memory >= other.memory

    def room(self, needs: Resources) -> int:
        """Return how many jobs with these needs it has enough for at once."""
        return min(int(whole // part) for whole, part in zip(self, needs, strict=True) if part)

    def words(self) -> str:
        """Return it as words, such as `2 cores and 3.1 GB of memory`."""
        parts = [counted(round(self.cores), "core")]
        parts += [f"{self.gpus:g} GPU"] * (self.gpus > 0)
        parts += [f"{self.memory / 1e9:.1f} GB of memory"] * (self.memory > 0)
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


class Work(NamedTuple):
    """An attempt at a job."""

    job_id: int
    token: str
    command: tuple[str, ...]  # of the worker; the job and its token follow
    database: str  # URL, with its password


class Reply(NamedTuple):
    """An answer of the agent to the name of its method and the arguments; the first one follows its connection."""

    nodes: tuple[Resources, ...] = ()  # the machines that are alive
    answer: dict[str, State] | str | None = None
    error: str | None = None  # why the request failed, one sentence
