"""A search as other processes see it: its state, its stop, and its process."""

import os
import subprocess
import sys
import time

import optuna
import pytest
from optuna.trial import TrialState

from core.engine import runs
from core.errors import CancelledError, UserError
from core.jobs.executor import LocalExecutor, find_process
from core.progress import silent
from core.search import session
from core.search.question import Question, prepare
from core.search.session import conduct, start, states, stop
from core.search.space import Restrictions
from core.search.study import CERTIFICATE, HANDLE, HEARD, SINCE, storage, study_name
from core.search.trials import Racer
from core.store.store import Store

pytestmark = pytest.mark.usefixtures("tiny_texts")
WAITS = (sys.executable, "-c", "import time; time.sleep(60)")


def question(**more):
    fixed = {"model": "./wide", "max_mb": 0.1, "minutes": 2, "restrictions": Restrictions(methods=("magnitude", "rtn"))}
    return Question(**fixed | more)


def test_a_finished_search_has_its_trials_and_its_certificate():
    store, steps = Store(), []
    asked = question(minutes=0.06)
    found = conduct(prepare(asked, store), store, silent, steps.append)
    (state,) = states(store.url)
    assert state.question == asked and state.name == study_name(asked)
    assert [one.chain for one in state.tried] == [step.chain for step in steps]
    assert not state.alive and not state.running and not state.problem
    assert state.certificate == found and "chains bring wide below 0.1 MB." in state.opening
    sizes, losses = zip(*state.front, strict=True)
    assert list(sizes) == sorted(sizes) and list(losses) == sorted(losses, reverse=True)


def test_as_many_trials_run_at_once_as_the_executor_has_room_for(monkeypatch):
    batches, race = [], Racer.race
    monkeypatch.setattr(LocalExecutor, "capacity", lambda self, spec: 3)
    monkeypatch.setattr(Racer, "race", lambda self, chains: batches.append(len(chains)) or race(self, chains))
    store = Store()
    conduct(prepare(question(minutes=0.06), store), store, silent, lambda step: None)
    assert batches[0] == 3


def test_a_stopped_search_takes_the_best_so_far(monkeypatch):
    monkeypatch.setattr(session, "STOP_SECONDS", 0.0)
    store, steps = Store(), []
    asked = question(minutes=60)

    def stop_after_two(step):
        steps.append(step)
        if len(steps) == 2:
            stop(store.url, study_name(asked))

    found = conduct(prepare(asked, store), store, silent, stop_after_two)
    assert len(steps) == 2 and found.tried == 2
    (state,) = states(store.url)
    assert state.certificate is not None and not state.alive


def test_a_search_that_is_stopped_while_it_trains_takes_the_best_so_far(monkeypatch):
    def trained(spec, store, progress):
        """Raise an error of its own once it is cancelled, as training does, which keeps its weights."""
        try:
            progress("train", 0, 1)
        except CancelledError:
            raise CancelledError from None
        return runs.run(spec, store)

    monkeypatch.setattr(session, "STOP_SECONDS", 0.0)
    monkeypatch.setattr(session, "_here", trained)
    store, asked = Store(), question(minutes=60)
    found = conduct(prepare(asked, store), store, silent, lambda step: stop(store.url, study_name(asked)))
    (state,) = states(store.url)
    assert state.certificate == found and found.tried == 1 and not state.alive


def test_a_started_search_is_seen_at_once_and_not_started_twice(monkeypatch):
    monkeypatch.setattr(session, "COMMAND", WAITS)
    store, asked = Store(), question()
    name = start(asked, store)
    (state,) = states(store.url)
    assert (state.name, state.alive, state.tried, state.certificate) == (name, True, (), None)
    with pytest.raises(UserError, match="runs already"):
        start(asked, store)
    study = optuna.load_study(study_name=name, storage=storage(store.url))
    running = study.ask()
    with pytest.raises(UserError, match="runs already"):
        conduct(prepare(asked, store), store, silent, print)
    assert study.trials[running.number].state is TrialState.RUNNING
    find_process(study.user_attrs[HANDLE]).kill()
    until = time.monotonic() + 30
    while states(store.url)[0].alive and time.monotonic() < until:
        time.sleep(0.1)
    assert not states(store.url)[0].alive


def test_a_search_on_another_machine_lives_while_it_is_heard_of(monkeypatch):
    store, asked = Store(), question(minutes=0.06)
    conduct(prepare(asked, store), store, silent, lambda step: None)
    study = optuna.load_study(study_name=study_name(asked), storage=storage(store.url))
    study.set_user_attr(HANDLE, f"another-machine {os.getpid()} 1.0")
    assert states(store.url)[0].alive
    with pytest.raises(UserError, match="runs already"):
        start(asked, store)
    study.set_user_attr(HEARD, time.time() - session.SILENT_SECONDS - 1)
    assert not states(store.url)[0].alive


def test_the_time_of_a_killed_search_counts_up_to_its_last_sign_of_life():
    store, asked = Store(), question(minutes=0.06)
    conduct(prepare(asked, store), store, silent, lambda step: None)
    ended = states(store.url)[0].seconds
    study = optuna.load_study(study_name=study_name(asked), storage=storage(store.url))
    study.set_user_attr(SINCE, 1000.0)
    study.set_user_attr(HEARD, 1060.0)
    assert states(store.url)[0].seconds == pytest.approx(ended + 60)
    conduct(prepare(asked, store), store, silent, lambda step: pytest.fail("no time was left"))
    assert states(store.url)[0].seconds == pytest.approx(ended + 60)


def test_a_question_without_an_answer_starts_nothing(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    with pytest.raises(UserError, match="The smallest takes"):
        start(question(max_mb=0.0001), Store())
    assert states(Store().url) == []


def test_an_unexpected_error_of_a_trial_does_not_end_the_search(monkeypatch):
    real, calls = session.run_alone, []

    def failing(spec, *rest):
        calls.append(spec)
        if len(calls) == 1:
            raise RuntimeError("odd")
        return real(spec, *rest)

    monkeypatch.setattr(session, "run_alone", failing)
    store, steps = Store(), []
    conduct(prepare(question(minutes=0.06), store), store, silent, steps.append)
    assert steps[0].problem == "Unexpected error (RuntimeError: odd)." and steps[0].tried is None
    assert any(step.tried for step in steps[1:])


def test_an_error_of_the_judgement_is_kept(monkeypatch):
    def failing(*_):
        raise UserError("The text is gone.")

    monkeypatch.setattr(session, "certify", failing)
    store = Store()
    with pytest.raises(UserError):
        conduct(prepare(question(minutes=0.06), store), store, silent, lambda step: None)
    (state,) = states(store.url)
    assert state.problem == "The text is gone." and not state.alive
    study = optuna.load_study(study_name=state.name, storage=storage(store.url))
    assert study.user_attrs[CERTIFICATE] is None
