"""A search as other processes see it: its state, its stop, and its process."""

import errno
import json
import os
import subprocess
import sys
from functools import partial

import psutil
import pytest
from sqlalchemy import insert, select, update

from core.base.errors import CancelledError, UserError
from core.base.progress import silent
from core.jobs.executor import LocalExecutor, find_process
from core.search import session
from core.search.autopilot import Autopilot
from core.search.estimates import Estimates
from core.search.question import prepare
from core.search.record import RUNS_ALREADY, SILENT_SECONDS, Record, search_name, states, stop
from core.search.session import conduct, start
from core.search.trials import Chosen, Racer, Trial
from core.store.clock import Now
from core.store.store import Store
from core.store.tables import searches, trials
from tests.core.queues import until
from tests.core.search.texts import Clock, played_run, question

pytestmark = pytest.mark.usefixtures("tiny_texts", "minutes")
WAITS = (sys.executable, "-c", "import time; time.sleep(60)")
ASKED = question(minutes=2)


@pytest.fixture
def minutes(monkeypatch):
    """Each trial takes a minute, so that a search has as many as its minutes."""
    monkeypatch.setattr(session, "Autopilot", partial(Autopilot, now=Clock()))


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """Trials measure a made-up model, after they have reported their progress."""

    def run(spec, store, progress):
        progress("prune", 0, 1)
        return played_run(spec, store)

    monkeypatch.setattr(session, "run_alone", run)
    return run


def conducted(asked=ASKED, on_step=lambda step: None):
    store = Store()
    return conduct(prepare(asked, store), store, silent, on_step)


def change(**values):
    """Change the row of the search, whoever has it."""
    with Store().begin() as connection:
        connection.execute(update(searches).where(searches.c.name == search_name(ASKED)).values(**values))


def test_a_finished_search_has_its_trials_and_its_certificate(database):
    store, steps = Store(), []
    found = conducted(on_step=steps.append)
    (state,) = states(store)
    assert state.question == ASKED and state.name == search_name(ASKED)
    assert [one.chain for one in state.tried] == [step.chain for step in steps] and len(steps) == 2
    assert not state.alive and not state.running and not state.problem and not state.stopping
    assert state.certificate == found and "chains bring wide below 0.1 MB." in state.opening
    assert state.seconds == 120 and state.seconds_left == 0 < state.judgement_seconds
    with store.begin() as connection:
        stated = connection.execute(select(searches.c.state)).scalar_one()
    change(state=json.dumps(json.loads(stated) | {"ends": 1e6}))  # of a search with more minutes
    assert states(store)[0].seconds_left == 0
    sizes, losses = zip(*state.front, strict=True)
    assert list(sizes) == sorted(sizes) and list(losses) == sorted(losses, reverse=True)


def test_as_many_trials_run_at_once_as_the_executor_has_room_for(monkeypatch):
    batches, race = [], Racer.race
    monkeypatch.setattr(LocalExecutor, "capacity", lambda self, spec: 3)
    monkeypatch.setattr(Racer, "race", lambda self, chains: batches.append(len(chains)) or race(self, chains))
    conducted(question(minutes=1))
    assert batches == [3]


def test_a_stopped_search_takes_the_best_so_far(monkeypatch):
    monkeypatch.setattr(session, "STOP_SECONDS", 0.0)
    store, steps = Store(), []
    asked = question(minutes=60)

    def stop_after_two(step):
        steps.append(step)
        if len(steps) == 2:
            stop(store, search_name(asked))

    found = conducted(asked, stop_after_two)
    assert len(steps) == 2 and found.tried == 2
    (state,) = states(store)
    assert state.certificate == found and not state.alive and state.stopping


def test_a_search_that_is_stopped_while_it_trains_takes_the_best_so_far(monkeypatch, made_up):
    def trained(spec, store, progress):
        """Raise an error of its own once it is cancelled, as training does, which keeps its weights."""
        try:
            progress("train", 0, 1)
        except CancelledError:
            raise CancelledError from None
        return played_run(spec, store)

    monkeypatch.setattr(session, "STOP_SECONDS", 0.0)
    monkeypatch.setattr(session, "run_alone", trained)
    asked = question(minutes=60)
    found = conducted(asked, lambda step: stop(Store(), search_name(asked)))
    (state,) = states(Store())
    assert state.certificate == found and found.tried == 1 and not state.alive


def test_a_started_search_is_seen_at_once_and_not_started_twice(monkeypatch):
    monkeypatch.setattr(session, "COMMAND", WAITS)
    store = Store()
    name = start(ASKED, store)
    (state,) = states(store)
    assert (state.name, state.alive, state.tried, state.certificate) == (name, True, [], None)
    with pytest.raises(UserError) as twice:
        start(ASKED, store)
    assert str(twice.value) == RUNS_ALREADY
    with store.begin() as connection:
        handle = connection.execute(select(searches.c.handle)).scalar_one()
        running = Trial(chain="rtn@4bit", expected=Chosen(0.5, 0.1, 9.0), running=True)
        connection.execute(insert(trials).values(search=name, number=0, trial=running.model_dump_json()))
    with pytest.raises(UserError, match="runs already"):
        conducted()
    assert states(store)[0].running == [("rtn@4bit", Chosen(0.5, 0.1, 9.0))]
    find_process(handle).kill()
    until(lambda: not states(store)[0].alive)
    assert states(store)[0].running == []


def test_a_process_that_was_silent_for_long_loses_its_search_to_another_one():
    conducted()
    mine = Record(Store(), ASKED)
    mine.begin(psutil.Process())
    known, trial = len(mine.trials), Trial(chain="rtn@4bit", expected=Chosen(0.5, 0.1, 9.0), running=True)
    mine.put(known, trial)
    change(handle=f"another-machine {os.getpid()} 1.0")
    with pytest.raises(UserError, match="runs already"):
        mine.write()
    for number in (known, known + 1):
        with pytest.raises(UserError, match="runs already"):
            mine.put(number, trial.model_copy(update={"problem": "odd"}))
    change(heartbeat=Now())
    assert states(Store())[0].trials[known:] == (trial,)


def test_a_search_on_another_machine_lives_while_it_is_heard_of_and_its_time_counts_up_to_that():
    conducted()
    store = Store()
    ended = states(store)[0].seconds
    change(handle=f"another-machine {os.getpid()} 1.0", heartbeat=Now())
    assert states(store)[0].alive
    with pytest.raises(UserError, match="runs already"):
        start(ASKED, store)
    change(heartbeat=Now() - SILENT_SECONDS - 1)
    assert not states(store)[0].alive
    change(since=1000.0, heartbeat=1060.0)
    assert states(store)[0].seconds == pytest.approx(ended + 60)
    conducted(on_step=lambda step: pytest.fail("no time was left"))
    assert states(store)[0].seconds == pytest.approx(ended + 60)


def test_a_question_without_an_answer_starts_nothing(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    with pytest.raises(UserError, match="The smallest takes"):
        start(question(max_mb=0.0001), Store())
    assert states(Store()) == []


def test_minutes_that_hold_no_trial_are_refused_before_work(monkeypatch):
    monkeypatch.setattr(Estimates, "of_trial", lambda self, place: 290.0)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    for begin in (conducted, lambda: start(ASKED, Store())):
        with pytest.raises(UserError) as refused:
            begin()
        words = "2 minutes hold no trial, as the quickest one takes about 5 min; give at least 5 min."
        assert str(refused.value) == words and states(Store()) == []


def test_the_first_trial_is_announced():
    announced, steps, store = [], [], Store()
    conduct(prepare(ASKED, store), store, silent, steps.append, lambda chain, _: announced.append((chain, len(steps))))
    assert announced == [(steps[0].chain, 0)] and len(steps) == 2


def test_a_search_that_is_stopped_before_a_chain_is_measured_has_no_winner(monkeypatch):
    monkeypatch.setattr(session, "STOP_SECONDS", 0.0)
    store = Store()
    asked = question(minutes=60)
    halt = lambda *_: stop(store, search_name(asked))  # noqa: E731
    found = conduct(prepare(asked, store), store, silent, pytest.fail, halt)
    assert found.stopped and found.rows == () and found.tried == 0


def test_an_unexpected_error_of_a_trial_does_not_end_the_search(monkeypatch, made_up):
    calls = []

    def failing(spec, *rest):
        calls.append(spec)
        if len(calls) == 1:
            raise RuntimeError("odd")
        return made_up(spec, *rest)

    monkeypatch.setattr(session, "run_alone", failing)
    steps = []
    conducted(on_step=steps.append)
    assert steps[0].problem == "Unexpected error (RuntimeError: odd)." and steps[0].tried is None
    assert any(step.tried for step in steps[1:])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_search(number):
    def full():
        raise OSError(number, "full")

    with pytest.raises(OSError, match="full"):  # no other chain would do better
        session._or_sentence(full)


def test_an_error_of_the_judgement_is_kept(monkeypatch):
    def failing(*_):
        raise UserError("The text is gone.")

    monkeypatch.setattr(session, "certify", failing)
    with pytest.raises(UserError):
        conducted()
    (state,) = states(Store())
    assert state.problem == "The text is gone." and not state.alive
    assert state.certificate is None


def test_a_process_searches_for_the_answer_of_its_question(capsys):
    session.main(ASKED.model_dump_json())
    (state,) = states(Store())
    assert state.certificate is not None and len(capsys.readouterr().out.splitlines()) == 2  # a line for each step
