"""The events of answers: in turn, in groups that fit into memory, stopped, and failed."""

import time

import pytest

from core.answers.models import LoadedModels
from core.answers.worker import Worker, sentence
from core.base.errors import MEMORY_RAN_OUT, UserError
from core.jobs import worker as jobs
from core.jobs.queue import Queue
from core.search.question import work_title
from core.store.slots import compute_lock
from core.store.store import Store
from tests.core.answers.specs import SIZE, load, question, variant

pytestmark = pytest.mark.usefixtures("results_dir")


class Events(list):
    """The events of one worker, each as its kind and place."""

    def __init__(self, load=load, on_event=lambda event: None, **bounds):
        self.worker = Worker(LoadedModels(load, **({"most_bytes": 100 * SIZE} | bounds)), self.record, Store())
        self.on_event = on_event
        self.whole = []

    def record(self, event):
        kind = "token" if event.token else "stopped" if event.stopped else event.state
        self.append((kind, event.place))
        self.whole.append(event)
        self.on_event(event)

    def places(self, kind="token"):
        return [place for one, place in self if one == kind]


def test_answers_grow_in_turn_between_the_first_and_the_last_event():
    events = Events()
    events.worker.answer(1, question(0, 0.5))
    assert events[0] == ("running", None) and events[-1] == ("done", None)
    assert events[1:5] == [("loading", 0), ("token", 0), ("loading", 1), ("token", 1)]
    assert events.places() == [0, 1] * 4 and events.places("done") == [0, 1, None]
    assert {event.number for event in events.whole} == {1}
    events = Events(most_bytes=2 * SIZE)
    events.worker.answer(1, question(0, 0.5, 0.7))
    assert events.places() == [0, 1] * 4 + [2] * 4 and len(events.worker.models.keys) == 2  # what fits together


def test_the_models_of_a_second_question_are_still_there():
    loads = []
    events = Events(lambda spec: loads.append(spec.key) or load(spec))
    for number in (1, 2):
        events.worker.answer(number, question(0, 0.5))
    assert loads == [variant().key, variant(0.5).key]
    first, second = (
        [event.token for event in events.whole if event.number == number and event.token] for number in (1, 2)
    )
    assert first == second and len(first) == 8


def test_one_variant_that_cannot_be_loaded_leaves_the_other_answers():
    def lacking(spec):
        if spec.key == variant(0.5).key:
            raise UserError("It is not in the cache.")
        return load(spec)

    events = Events(lacking)
    events.worker.answer(1, question(0, 0.5, 0.7))
    (failed,) = (event for event in events.whole if event.state == "failed")
    assert (failed.place, failed.error) == (1, "It is not in the cache.")
    assert sorted(events.places()) == [0] * 4 + [2] * 4
    assert events[-1] == ("done", None)


def test_stop_ends_the_answers_and_the_next_question_has_its_own():
    def stop(event):
        if event.token and events.places() == [0, 1, 0]:
            events.worker.stopped.add(1)

    events = Events(on_event=stop)
    events.worker.answer(1, question(0, 0.5))
    assert events.places() == [0, 1, 0] and events[-1] == ("stopped", None)
    events.worker.answer(2, question(0))
    assert events.places()[3:] == [0] * 4
    events.clear()
    events.worker.stopped.add(3)  # before its turn
    events.worker.answer(3, question(0))
    assert events == [("stopped", None)]


def test_a_question_is_a_job_without_its_prompt_which_others_cancel(monkeypatch):
    monkeypatch.setattr(jobs, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "PROGRESS_SECONDS", 0.0)
    queue, seen = Queue(Store()), []

    def cancel(event):
        if event.token:
            (work,) = queue.works()
            seen.append((work.kind, work.state, work.stage, work.total, work_title(work), "secret" in work.text))
            queue.cancel(work.id)
            time.sleep(0.05)

    events = Events(on_event=cancel)
    events.worker.answer(1, question(0, 0.5, prompt="A secret."))
    assert seen[0] == ("question", "running", "reply", 8, "toy: dense, magnitude@0.5", False)
    assert len(events.places()) < 8 and events[-1] == ("stopped", None)
    (work,) = queue.works()
    assert work.state == "cancelled" and work.error is None
    with pytest.raises(UserError, match="whose prompt is not stored"):
        queue.retry(work.id)


def test_a_question_does_not_wait_while_another_process_computes():
    events = Events()
    with compute_lock():
        events.worker.answer(1, question(0))
    assert events[0] == ("running", None) and events[-1] == ("done", None) and len(events.places()) == 4


def test_an_unexpected_error_ends_its_answer_with_a_sentence_without_the_prompt(monkeypatch):
    assert sentence(UserError("A sentence.")) == "A sentence."
    assert sentence(MemoryError("a secret prompt")) == MEMORY_RAN_OUT

    def broken(spec):
        raise ValueError("a secret prompt")

    events = Events(broken)
    events.worker.answer(1, question(0))
    assert events == [("running", None), ("loading", 0), ("failed", 0), ("done", None)]
    assert "ValueError" in str(events.whole) and "secret" not in str(events.whole)
    events = Events()
    monkeypatch.setattr(events.worker.models, "has_room", broken)
    events.worker.answer(2, question(0, 0.5))
    assert events.whole[-1].state == "failed"
    assert Queue(Store()).works()[0].error == events.whole[-1].error and "secret" not in events.whole[-1].error
