"""A search from its question to its certificate, in this process; others see its state and may stop it."""

from __future__ import annotations

import errno
import logging
import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil
from sqlalchemy.engine import URL

from core.base.errors import CancelledError, UserError
from core.base.paths import local_results_dir
from core.base.progress import Progress, silent
from core.engine.runs import run_alone
from core.jobs.executor import find_process, handle_text, is_of
from core.jobs.executors import chosen_executor
from core.jobs.points import results_of
from core.jobs.processes import child_environment
from core.results import Result
from core.search.autopilot import EXPECTED, TRIED, Autopilot, Chosen, OnStart, Progressed
from core.search.certificate import Certificate, certify
from core.search.question import Prepared, Question, opening, prepare
from core.search.racing import RUNGS
from core.search.sampler import CHAIN, ChainSampler
from core.search.space import Candidate
from core.search.stored import best_stored
from core.search.study import (
    CERTIFICATE,
    ENDS,
    FRONT,
    HANDLE,
    HEARD,
    JUDGEMENT,
    JUDGING,
    OPENING,
    PROBLEM,
    QUESTION,
    SECONDS,
    SINCE,
    STOP,
    storage,
    study_name,
)
from core.search.trials import Tried
from core.specs import RunSpec
from core.store.store import Store

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger(__name__)

RUNS_ALREADY = "This search runs already; stop it first, or wait for its end."
STOP_SECONDS = 2.0  # between two looks whether another process stops the search
STATE_SECONDS = 20.0  # between two signs of life
SILENT_SECONDS = 180.0  # without one, after which a search on another machine counts as ended
FRONT_POINTS = 60
COMMAND = (sys.executable, "-P", "-m", "core.search.process")  # and a question as JSON


class SearchState(NamedTuple):
    """A search as other processes see it."""

    name: str
    question: Question
    opening: str  # what it chooses from and reads, as sentences; empty before it has started
    tried: tuple[Tried, ...]
    running: tuple[tuple[str, Chosen], ...]  # chains, and what they were chosen for
    front: tuple[tuple[float, float], ...]  # MB and expected effect in nats of the best chains by size
    seconds: float  # of all its searches
    ends: float  # seconds after which its trials end, at most its minutes
    judgement_seconds: float  # estimated
    alive: bool
    judging: bool
    stopping: bool
    certificate: Certificate | None
    problem: str  # why it ended without a certificate; empty if it did not

    @property
    def seconds_left(self) -> float:
        """The seconds to the judgement, at most the rest of the minutes."""
        return max(0.0, self.ends - self.seconds)


def conduct(
    prepared: Prepared,
    store: Store,
    progress: Progress,
    on_step: Callable[[Progressed], None],
    on_start: OnStart | None = None,
) -> Certificate:
    """Search, judge and return the certificate; it resumes an earlier search with the same question.

    As many trials run at once as the executor has room for.

    Args:
        prepared: The question.
        store: Where the results go.
        progress: Called after each step of a run.
        on_step: Called after each trial.
        on_start: Called before the first trial, as by `Autopilot`.

    Raises:
        UserError: The search runs already, or its minutes hold no trial.
    """
    _check_alone(prepared.question, store.url)
    stored = best_stored(store, prepared)
    watch = _Watch(progress)
    at_once = chosen_executor(store.url).capacity(prepared.run("dense", RUNGS[-1]))
    run = partial(_computed, store, watch)
    pilot = Autopilot(prepared, store, run, at_once, on_start=on_start)
    pilot.check_minutes()
    study = pilot.study
    _begin(study, prepared.question, psutil.Process())
    study.set_user_attr(FRONT, _front(pilot.sampler, prepared))
    study.set_user_attr(OPENING, opening(prepared))
    try:
        watch.study, watch.stops = study, True
        try:
            for step in pilot.search():
                on_step(step)
        except CancelledError:
            if not watch.stopped:
                raise
        watch.stops = False
        study.set_user_attr(JUDGING, True)
        ranked, ended = pilot.ranked(), (pilot.exhausted, watch.stopped)
        found = certify(prepared, ranked, pilot.outcomes, stored, run, store, *ended)
        study.set_user_attr(CERTIFICATE, found.model_dump(mode="json"))
        return found
    except UserError as error:
        study.set_user_attr(PROBLEM, str(error))
        raise
    finally:
        study.set_user_attr(HANDLE, None)


def _computed(
    store: Store, progress: Progress, specs: Sequence[RunSpec]
) -> Iterator[tuple[RunSpec, Callable[[], Result]]]:
    """Run variants as a sweep does; a failure becomes a sentence, so that the search goes on with other chains."""
    for spec, compute in results_of(specs, store, progress, run_alone):
        yield spec, partial(_or_sentence, compute)


def _or_sentence(compute: Callable[[], Result]) -> Result:
    try:
        return compute()
    except (CancelledError, UserError):
        raise
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):  # no other chain would do better
            raise
        log.exception("A trial failed")
        raise UserError(f"Unexpected error ({type(error).__name__}: {error}).") from error


class _Watch:
    """A progress that cancels the run once another process stops the study, and states that this one lives."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.study: Study | None = None
        self.stops = False  # whether a stop ends the search
        self.stopped = False
        self._looked = self._stated = 0.0

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        self.progress(stage, done, total, detail)
        if self.study is None:
            return
        if time.monotonic() - self._stated > STATE_SECONDS:
            self._stated = time.monotonic()
            self.study.set_user_attr(HEARD, time.time())
        if self.stops and time.monotonic() - self._looked > STOP_SECONDS:
            self._looked = time.monotonic()
            if self.study.user_attrs.get(STOP):
                self.stopped = True
                raise CancelledError


def start(question: Question, store: Store) -> str:
    """Start a search in a process of its own; return the name of its study.

    Raises:
        UserError: The question has no answer, its minutes hold no trial, or its search runs already.
    """
    import optuna

    _check_alone(question, store.url)
    Autopilot(prepare(question, store), store, partial(_computed, store, silent)).check_minutes()
    name = study_name(question)
    log = local_results_dir() / "logs" / f"autopilot-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as stream:
        child = subprocess.Popen(
            [*COMMAND, question.model_dump_json()],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=child_environment(),
            start_new_session=True,
        )
    _begin(
        optuna.create_study(storage=storage(store.url), study_name=name, load_if_exists=True),
        question,
        psutil.Process(child.pid),
    )
    return name


def stop(url: URL, name: str) -> None:
    """Let a search end with the best chain so far."""
    import optuna

    optuna.load_study(study_name=name, storage=storage(url)).set_user_attr(STOP, True)


def states(url: URL) -> list[SearchState]:
    """Return the searches of a store, the newest first."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = storage(url)
    studies = optuna.get_all_study_names(kept)
    return [state for name in reversed(studies) if (state := _state(optuna.load_study(study_name=name, storage=kept)))]


def _state(study: Study) -> SearchState | None:
    """Return the state of a study; None before its search has started."""
    known = study.user_attrs
    if QUESTION not in known:
        return None
    trials = study.get_trials(deepcopy=False)
    alive = _is_alive(study)
    return SearchState(
        study.study_name,
        Question.model_validate(known[QUESTION]),
        str(known.get(OPENING, "")),
        tuple(Tried(*trial.user_attrs[TRIED]) for trial in trials if TRIED in trial.user_attrs),
        tuple(
            (trial.user_attrs[CHAIN], Chosen(*trial.user_attrs[EXPECTED]))
            for trial in trials
            if alive and not trial.state.is_finished() and CHAIN in trial.user_attrs
        ),
        tuple((mb, loss) for mb, loss in known.get(FRONT, ())),
        _spent(study, alive),
        min(float(known.get(ENDS, math.inf)), 60 * known[QUESTION]["minutes"]),
        float(known.get(JUDGEMENT, 0.0)),
        alive,
        bool(known.get(JUDGING)),
        bool(known.get(STOP)),
        None if known.get(CERTIFICATE) is None else Certificate.model_validate(known[CERTIFICATE]),
        str(known.get(PROBLEM) or ""),
    )


def _front(sampler: ChainSampler, prepared: Prepared) -> list[list[float]]:
    """Return MB and expected effect of the legal chains that are better than all smaller ones."""
    sizes = prepared.space.sizes
    every = np.argwhere(sizes > 0)
    losses = sampler.residuals.prior(every).loss
    order = np.lexsort((losses, sizes[every[:, 0], every[:, 1]]))
    points: list[list[float]] = []
    for place, loss in zip(every[order].tolist(), losses[order].tolist(), strict=True):
        candidate = Candidate(*place)
        if (not points or loss < points[-1][1]) and sampler.is_legal(candidate):
            points.append([float(sizes[candidate]) / 1e6, float(loss)])
    step = max(1, len(points) // FRONT_POINTS)
    return points[::step]


def _begin(study: Study, question: Question, process: psutil.Process) -> None:
    """Write that a process searches for the answer of a question."""
    asked = question.model_dump(mode="json")
    known = {QUESTION: asked, STOP: False, JUDGING: False, CERTIFICATE: None, PROBLEM: ""}
    known |= {SECONDS: _spent(study, alive=False), SINCE: None, HEARD: time.time(), HANDLE: handle_text(process)}
    for name, value in known.items():
        study.set_user_attr(name, value)


def _spent(study: Study, alive: bool) -> float:
    """Return the seconds of all searches of a study; a killed one counts up to its last sign of life."""
    known = study.user_attrs
    ended = float(known.get(SECONDS, 0.0))
    if not known.get(SINCE):
        return ended
    until = time.time() if alive else float(known[HEARD])
    return ended + max(0.0, until - float(known[SINCE]))


def _check_alone(question: Question, url: URL) -> None:
    """Raise `UserError` if another process searches for the answer of a question."""
    import optuna

    kept, name = storage(url), study_name(question)
    if name not in optuna.get_all_study_names(kept):
        return
    study = optuna.load_study(study_name=name, storage=kept)
    if _is_alive(study) and study.user_attrs[HANDLE] != handle_text(psutil.Process()):
        raise UserError(RUNS_ALREADY)


def _is_alive(study: Study) -> bool:
    """Return whether the process of a search still runs."""
    handle = study.user_attrs.get(HANDLE)
    if not handle:
        return False
    if is_of(handle, socket.gethostname()):
        return find_process(handle) is not None
    return time.time() - float(study.user_attrs[HEARD]) < SILENT_SECONDS
