"""The commands `jobs`, on rows without processes."""

import pytest
from rich.console import Console

from core.cli.app import main
from core.jobs.kinds import SEARCH
from core.jobs.queue import insert_job
from core.search.question import Question
from tests.core.queues import change, spec

ASKED = Question(model="smollm2-135m", max_mb=90, minutes=5)


@pytest.fixture
def search(played):
    return played.store.transact(lambda connection: insert_job(connection, SEARCH, ASKED.model_dump_json()))


def test_runs_and_searches_are_listed_with_what_they_do(played, search, output_of, capsys, monkeypatch):
    monkeypatch.setattr("core.cli.printing.tables.output", Console(width=200))
    run, odd = played.submit(spec("tiny")), played.submit(spec("other"))
    change(played.store, search, state="running", started=1.0, stage="train", done=3, total=4, detail="block 1")
    change(played.store, odd, spec="{}", state="failed", error="It fell.")
    head, _, first, second, third = output_of("jobs").splitlines()
    assert head.split() == ["id", "kind", "job", "state", "since", "progress"]
    assert first.split()[:2] == [str(odd), "run"] and "cannot be read" in first and "failed" in first
    assert second.split()[:2] == [str(run), "run"] and "tiny" in second and "Queued" in second
    assert third.split()[:2] == [str(search), "search"] and "smollm2-135m below 90 MB" in third
    assert "Training" in third and "block 1" in third
    assert main(["jobs", "--limit", "1"]) == 0 and len(capsys.readouterr().out.splitlines()) == 3


def test_no_jobs_are_a_sentence(played, capsys):
    assert main(["jobs"]) == 0
    assert "There are no jobs" in capsys.readouterr().err


def test_a_search_is_cancelled_with_its_trials(played, search, capsys):
    change(played.store, search, state="running")
    (trial,) = played.submit_all([spec("tiny")], parent=search)
    assert main(["jobs", "cancel", str(search)]) == 0
    assert f"Job {search} is being cancelled." in capsys.readouterr().err
    assert played.state(search) == "running" and played.works([SEARCH])[0].cancel and played.state(trial) == "cancelled"


def test_a_queued_job_is_cancelled_at_once_and_repeated(played, capsys):
    job = played.submit(spec("tiny"))
    assert main(["jobs", "cancel", str(job)]) == 0 and played.state(job) == "cancelled"
    assert main(["jobs", "retry", str(job)]) == 0
    (new,) = played.active()
    assert new.id > job and new.spec == spec("tiny")
    assert f"Job {new.id} is queued; it runs while a dashboard does." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["cancel"], "Missing argument 'ID'"),
        (["cancel", "7"], "There is no job 7."),
        (["cancel", "1"], "Job 1 has ended: done. Only queued and running jobs can be cancelled."),
        (["cancel", "x"], "Input should be a valid integer"),
        (["retry", "7"], "There is no job 7."),
        (["retry", "2"], "Job 2 is queued; it is still active."),
    ],
)
def test_a_job_that_cannot_change_is_one_sentence(command, words, played, error_of):
    change(played.store, played.submit(spec("a")), state="done")
    played.submit(spec("b"))
    assert words in error_of("jobs", *command)
