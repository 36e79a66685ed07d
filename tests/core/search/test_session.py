"""A search as other processes see it: its state, its stop, and its process."""

import errno
import json
import os
import subprocess
import sys
from functools import partial

import psutil
import pytest
from sqlalchemy import select, update

from core.base.errors import CancelledError, LostJobError, UserError
from core.base.progress import silent
from core.jobs import worker
from core.jobs.countdown import left_words
from core.jobs.doing import Outlook
from core.jobs.executor import Executor, handle_text
from core.jobs.kinds import SEARCH, TRIAL
from core.jobs.worker import Worker
from core.search import session
from core.search.autopilot import Autopilot
from core.search.question import prepare
from core.search.record import RUNS_ALREADY, SILENT_SECONDS, Record, search_name, states, stop
from core.search.session import conduct, start
from core.search.trials import Chosen, Racer, Trial
from core.store.clock import Now
from core.store.store import Store
from core.store.tables import jobs, searches
from tests.core.queues import change as change_job
from tests.core.queues import until
from tests.core.search.texts import Clock, played_run, question

pytestmark = pytest.mark.usefixtures("tiny_texts", "minutes")
ASKED = question(minutes=2)


@pytest.fixture
def minutes(monkeypatch):
    """Each trial takes a minute, so that a search has as many as its minutes."""
    monkeypatch.setattr(session, "Autopilot", partial(Autopilot, now=Clock()))


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """Trials measure a made-up model, after they have reported their progress."""

    def run(spec, store, progress):
        progress("compress", 0, 1, "block 0")
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
    assert [one.chain for one in state.tried] == [step.trial.chain for step in steps] and len(steps) == 2
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
    monkeypatch.setattr(Executor, "capacity", lambda self, spec: 3)
    monkeypatch.setattr(Racer, "race", lambda self, chains: batches.append(len(chains)) or race(self, chains))
    conducted(question(minutes=1))
    assert batches == [3]


def test_the_row_of_a_search_has_the_seconds_that_it_has_taken_and_those_of_its_trials(played, monkeypatch, made_up):
    seen = []

    def run(spec, store, progress):
        result = made_up(spec, store, progress)
        seen.append((states(played.store)[0], *(job for job in played.works() if job.kind == SEARCH)))
        return result

    monkeypatch.setattr(session, "run_alone", run)
    conducted()
    state, job = seen[0]
    assert (job.stage, job.done, job.total, job.detail) == (SEARCH, 0, round(state.ends), "Compressing · block 0")
    words = Outlook(played.store).words(job)
    assert words.startswith("Searching · Compressing · block 0 · 0 %") and words.endswith(left_words(job.total))


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


def test_a_started_search_is_seen_at_once_and_not_started_twice(played):
    name = start(ASKED, played)
    (state,), (job,) = states(played.store), played.works()
    assert (state.name, state.job, state.alive, state.tried, state.certificate) == (name, job.id, True, [], None)
    assert (job.kind, job.state, job.text) == (SEARCH, "queued", ASKED.model_dump_json()) and played.active() == []
    with pytest.raises(UserError) as twice:
        start(ASKED, played)
    assert str(twice.value) == RUNS_ALREADY
    assert session.main(str(job.id), "another token") == 1 and states(played.store)[0].certificate is None


def test_a_queued_search_is_conducted_by_the_command_that_asks_for_it(played):
    start(ASKED, played)
    found = conducted()
    (state,), (job,) = states(played.store), played.works()
    assert state.certificate == found and (job.id, job.state, job.attempts) == (state.job, "done", 1)


def test_a_search_that_runs_is_not_conducted_twice():
    with pytest.raises(UserError, match="runs already"):
        conducted(on_step=lambda step: conducted())
    assert not states(Store())[0].alive


def test_a_search_without_its_process_is_conducted_by_another_one(played):
    start(ASKED, played)
    (job,) = played.works()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        handle = handle_text(psutil.Process(running.pid))
        change_job(played.store, job.id, state="running", token="t", handle=handle, heartbeat=Now(), attempts=1)
        mine = Record(played.store, ASKED, job.id)
        trial = Trial(chain="rtn@4bit", expected=Chosen(0.5, 0.1, 9.0), running=True)
        mine.put(0, trial)
        assert states(played.store)[0].running == [("rtn@4bit", Chosen(0.5, 0.1, 9.0))]
        with pytest.raises(UserError, match="runs already"):
            conducted()
    found = conducted()
    (again,) = played.works()
    assert found.tried and (again.id, again.attempts, again.state) == (job.id, 2, "done")
    with pytest.raises(LostJobError):
        Record(Worker(played.store, job.id, "t").store, ASKED, job.id).write()


def test_a_search_that_another_job_has_is_not_written():
    conducted()
    mine = Record(Store(), ASKED)
    mine.begin(lambda *_: 90)
    known, trial = len(mine.trials), Trial(chain="rtn@4bit", expected=Chosen(0.5, 0.1, 9.0), running=True)
    mine.put(known, trial)
    change(job=91)
    with pytest.raises(UserError, match="runs already"):
        mine.write()
    for number in (known, known + 1):
        with pytest.raises(UserError, match="runs already"):
            mine.put(number, trial.model_copy(update={"problem": "odd"}))
    assert len(states(Store())[0].trials) == known + 1


def test_a_search_on_another_machine_lives_while_it_is_heard_of_and_its_time_counts_up_to_that(played):
    conducted()
    store = Store()
    (ended,) = states(store)
    elsewhere = {"state": "running", "handle": f"another-machine {os.getpid()} 1.0"}
    change_job(store, ended.job, **elsewhere, heartbeat=Now())
    assert states(store)[0].alive
    with pytest.raises(UserError, match="runs already"):
        start(ASKED, played)
    change_job(store, ended.job, heartbeat=Now() - SILENT_SECONDS - 1)
    change(since=1000.0, heartbeat=1060.0)
    conducted(on_step=lambda step: pytest.fail("no time was left"))
    assert states(store)[0].seconds == pytest.approx(ended.seconds + 60)


def test_a_cancelled_search_keeps_its_numbers_and_goes_on_when_it_is_repeated(played):
    asked = question(minutes=4)

    def cancel_second(step):
        if step.count == 2:
            played.cancel(states(played.store)[0].job)

    with pytest.raises(CancelledError):
        conducted(asked, cancel_second)
    (state,), (job,) = states(played.store), played.works()
    assert (job.state, len(state.tried), state.certificate, state.alive) == ("cancelled", 2, None, False)
    assert {(row.kind, row.state, row.parent) for row in trials_of(job.id)} <= {
        (TRIAL, "done", job.id),
        (TRIAL, "cancelled", job.id),
    }
    again = played.retry(job.id)
    steps = []
    found = conducted(asked, steps.append)
    assert steps[0].count == 3 and found.tried == 2 + len(steps) and states(played.store)[0].job == again


def test_a_trial_that_is_cancelled_alone_does_not_end_the_search(played, monkeypatch, made_up):
    first = []

    def cancelled(spec, store, progress):
        if not first:
            first.append(spec)
            (trial,) = trials_of(states(played.store)[0].job)
            played.cancel(trial.id)
            until(lambda: progress("train", 0, 1))  # which returns None
        return made_up(spec, store, progress)

    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(session, "run_alone", cancelled)
    steps = []
    conducted(on_step=steps.append)
    assert steps[0].trial.problem == "It was cancelled." and steps[1].trial.outcome
    assert [row.state for row in trials_of(states(played.store)[0].job)][:2] == ["cancelled", "done"]


def trials_of(job_id):
    """Return the rows of a search's trials."""
    with Store().begin() as connection:
        return connection.execute(select(jobs).where(jobs.c.parent == job_id).order_by(jobs.c.id)).all()


def test_a_question_without_an_answer_starts_nothing(played):
    with pytest.raises(UserError, match="The smallest takes"):
        start(question(max_mb=0.0001), played)
    assert states(played.store) == [] == played.works()


def test_minutes_that_hold_no_trial_are_refused_before_work(monkeypatch, played):
    monkeypatch.setattr(Autopilot, "trial_seconds", lambda self, place: 290.0)
    for begin in (conducted, lambda: start(ASKED, played)):
        with pytest.raises(UserError) as refused:
            begin()
        words = "2 minutes hold no trial, as the quickest one takes about 5 min; give at least 5 min."
        assert str(refused.value) == words and states(played.store) == [] == played.works()


def test_the_first_trial_is_announced():
    announced, steps, store = [], [], Store()
    conduct(prepare(ASKED, store), store, silent, steps.append, lambda chain, _: announced.append((chain, len(steps))))
    assert announced == [(steps[0].trial.chain, 0)] and len(steps) == 2


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
    assert steps[0].trial.problem == "Unexpected error (RuntimeError: odd)." and steps[0].trial.outcome is None
    assert any(step.trial.outcome for step in steps[1:])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_the_search(number):
    def full():
        raise OSError(number, "full")

    with pytest.raises(OSError, match="full"):  # no other chain would do better
        session._or_sentence(full, pytest.fail)


def test_an_error_of_the_judgement_is_kept(monkeypatch):
    def failing(*_):
        raise UserError("The text is gone.")

    monkeypatch.setattr(session, "certify", failing)
    with pytest.raises(UserError):
        conducted()
    (state,) = states(Store())
    assert state.problem == "The text is gone." and not state.alive
    assert state.certificate is None


def test_a_process_searches_for_the_answer_of_its_question(played, capsys):
    start(ASKED, played)
    played.step()
    (job,) = played.works()
    assert job.state == "running" and session.main(str(job.id), job.token) == 0
    (state,), (job,) = states(played.store), played.works()
    assert state.certificate is not None and job.state == "done"
    assert len(capsys.readouterr().out.splitlines()) == 2  # a line for each step
