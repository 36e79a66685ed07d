"""A search in the store: what other processes see of it, and its trials. One process at a time searches and writes."""

import json
import math
import socket

from pydantic_core import to_json
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from core.base.errors import UserError
from core.jobs.executor import find_process, is_of
from core.jobs.own import Claim
from core.jobs.supervisor import ACTIVE
from core.search.certificate import Certificate
from core.search.question import Question
from core.search.trials import Chosen, Trial, Tried
from core.specs import Frozen, Scalar, canonical_json, sha256
from core.store.clock import Now
from core.store.counters import SEARCHES, raise_counter
from core.store.store import Store
from core.store.tables import jobs, searches, trials

SearchRow = Row[*tuple[Scalar, ...]]  # of `SELECT`
# The seconds of all trials of a search that is alive, and those of another one up to its last sign of life.
SPENT = searches.c.seconds + func.coalesce(Now() - searches.c.since, 0.0)
ENDED = searches.c.seconds + func.coalesce(searches.c.heartbeat - searches.c.since, 0.0)
SELECT = select(
    *(searches, SPENT.label("spent"), ENDED.label("ended"), (Now() - jobs.c.heartbeat).label("silent")),
    *(jobs.c.state.label("job_state"), jobs.c.handle, jobs.c.cancel, jobs.c.error),
).join(jobs, jobs.c.id == searches.c.job, isouter=True)
RUNS_ALREADY = "This search runs already; stop it first, or wait for its end."
SILENT_SECONDS = 180.0  # without a sign of life, after which a search on another machine counts as ended


class SearchState(Frozen):
    """A search as other processes see it. From `question` on, its process states the values."""

    name: str
    trials: tuple[Trial, ...]
    seconds: float  # of all its searches
    alive: bool
    stopping: bool  # its trials end, then the best chains are judged
    cancelling: bool = False  # it ends without a judgement
    job: int | None = None  # that searches, or did last
    question: Question
    opening: str = ""  # what it chooses from and reads, as sentences; empty before it has started
    front: tuple[tuple[float, float], ...] = ()  # MB and expected effect in nats of the best chains by size
    ends: float = math.inf  # seconds after which its trials end, at most its minutes
    judgement_seconds: float = 0.0  # estimated
    judging: bool = False
    certificate: Certificate | None = None
    problem: str = ""  # why its job failed; empty if it did not

    @property
    def tried(self) -> list[Tried]:
        """The outcomes of its trials."""
        return [trial.outcome for trial in self.trials if trial.outcome]

    @property
    def running(self) -> list[tuple[str, Chosen]]:
        """The chains that run, and what they were chosen for."""
        return [(trial.chain, trial.expected) for trial in self.trials if trial.running and trial.expected]

    @property
    def seconds_left(self) -> float:
        """The seconds to the judgement, at most the rest of the minutes."""
        return max(0.0, self.ends - self.seconds)


class Record:
    """Access of a process to the rows of a search, which are there once a process has begun it.

    The store of a job's worker lets only the last attempt write. `job` is that of this process, if it has one already.

    Raises:
        UserError: Another process searches.
    """

    def __init__(self, store: Store, question: Question, job: int | None = None):
        self.store, self.question, self.name, self.job = store, question, search_name(question), job
        self.seconds = 0.0  # of all its trials that have ended
        self.trials: list[Trial] = []
        self._stated: dict[str, object] = {}  # fields of `SearchState`
        with store.begin() as connection:
            self._read(connection)

    def begin(self, claim: Claim, **stated: float) -> int:
        """Let a job search, and return its id; earlier trials without an end were cut off."""

        def begun(connection: Connection) -> int:
            raise_counter(connection, SEARCHES)  # first, so that no other process begins meanwhile
            row = self._read(connection)
            job = claim(connection, row.job if row is not None and row.job_state in ACTIVE else None)
            new = {"judging": False, "certificate": None, "problem": ""}
            self._stated |= new | stated | {"question": self.question}
            values = {"state": to_json(self._stated).decode(), "seconds": self.seconds, "since": None}
            values |= {"job": job, "heartbeat": Now()}
            if row is None:
                values |= {"name": self.name, "created": Now(), "stop": False}
                connection.execute(insert(searches).values(values))
            else:
                values |= {"stop": row.stop and row.job == job}  # one that was interrupted may stop
                connection.execute(update(searches).where(searches.c.name == self.name).values(values))
            for number, trial in enumerate(self.trials):
                self._put(connection, number, trial)
            return job

        self.job = self.store.transact(begun)
        return self.job

    def _read(self, connection: Connection) -> SearchRow | None:
        """Read the rows, and return that of the search."""
        row = connection.execute(SELECT.where(searches.c.name == self.name)).one_or_none()
        if row is None:
            return None
        if row.job_state == "running" and row.job != self.job and is_alive(row.handle, row.silent):
            raise UserError(RUNS_ALREADY)
        self.seconds, self._stated = row.ended, json.loads(row.state)
        self.trials = _trials(connection, self.name, alive=False)
        return row

    def write(self, number: int | None = None, trial: Trial | None = None, **columns: object) -> tuple[bool, float]:
        """Change the search, and perhaps a trial, with a sign of life.

        Returns:
            Whether another process stops the search, and the seconds that it has taken.
        """
        with self.store.begin() as connection:
            self.store.check(connection)
            mine = update(searches).where(searches.c.name == self.name, searches.c.job == self.job)
            changed = mine.values(heartbeat=Now(), **columns).returning(searches.c.stop, SPENT)
            row = connection.execute(changed).one_or_none()
            if row is None:  # this process was silent for so long that another one searches
                raise UserError(RUNS_ALREADY)
            if number is not None and trial is not None:
                self._put(connection, number, trial)
        return row[0], row[1]

    def state(self, **values: object) -> None:
        """State fields of `SearchState` for other processes."""
        self._stated |= values
        self.write(state=to_json(self._stated).decode())

    def put(self, number: int, trial: Trial) -> None:
        """Write a trial, with the next number a new one."""
        self.write(number, trial)
        self.trials[number : number + 1] = [trial]

    def _put(self, connection: Connection, number: int, trial: Trial) -> None:
        connection.execute(delete(trials).where(trials.c.search == self.name, trials.c.number == number))
        values = {"search": self.name, "number": number, "trial": trial.model_dump_json()}
        connection.execute(insert(trials).values(values))


def search_name(question: Question) -> str:
    """Return the name of a question's search, whatever its minutes."""
    size = {"size": "file"} if question.form else {}  # before, it was packed
    return sha256(canonical_json(question.model_dump(exclude={"minutes"}) | size))[:16]


def stop(store: Store, name: str) -> None:
    """Let a search end with the best chain so far."""
    with store.begin() as connection:
        connection.execute(update(searches).where(searches.c.name == name).values(stop=True))


def states(store: Store) -> list[SearchState]:
    """Return the searches of a store, the newest first."""
    with store.begin() as connection:
        return read_states(connection)


def read_states(connection: Connection) -> list[SearchState]:
    """Return the searches in the rows of a database, the newest first."""
    rows = connection.execute(SELECT.order_by(searches.c.created.desc())).all()
    return [_state(connection, row) for row in rows]


def _state(connection: Connection, row: SearchRow) -> SearchState:
    alive, stated = row.job_state in ACTIVE, json.loads(row.state)
    stated["ends"] = min(stated.get("ends", math.inf), 60 * stated["question"]["minutes"])
    stated |= {"name": row.name, "job": row.job, "alive": alive, "stopping": row.stop}
    stated |= {"seconds": row.spent if alive else row.ended}
    stated |= {"cancelling": alive and row.cancel is not None} | ({"problem": row.error} if row.error else {})
    return SearchState(trials=tuple(_trials(connection, row.name, alive)), **stated)


def _trials(connection: Connection, search: str, alive: bool) -> list[Trial]:
    """Return the trials of a search in their order; of one that is not alive, none runs."""
    rows = connection.scalars(select(trials.c.trial).where(trials.c.search == search).order_by(trials.c.number))
    found = map(Trial.model_validate_json, rows)
    return [trial.model_copy(update={"running": trial.running and alive}) for trial in found]


def is_alive(handle: str | None, silent: float) -> bool:
    """Return whether a process still runs; on another machine, whether its last sign of life is not long ago."""
    if handle and is_of(handle, socket.gethostname()):
        return find_process(handle) is not None
    return bool(handle) and silent < SILENT_SECONDS
