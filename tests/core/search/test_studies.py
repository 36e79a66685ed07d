"""Searches that an earlier version stored with Optuna come into the store once, on each kind of database."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from core.base import paths
from core.base.errors import UserError
from core.base.progress import silent
from core.jobs.executor import handle_text
from core.jobs.kinds import SEARCH
from core.jobs.queue import insert_job
from core.search import session
from core.search.question import prepare
from core.search.record import Record, search_name, states, stop
from core.search.studies import FILE, SCHEMA, import_studies
from core.search.trials import Chosen, Trial
from core.store.store import Store
from core.store.tables import trials
from tests.core.search.texts import played_run, question

STATEMENTS = Path(__file__).with_name("old_studies.sql").read_text(encoding="utf-8").splitlines()[1:]
ENDED, KILLED = question(minutes=8), question(0.09, 5, ("magnitude", "rtn"))


def write(store, *more):
    """Write the old tables where the earlier version had them."""
    if store.url.get_backend_name() == "sqlite":
        with sqlite3.connect(paths.local_results_dir() / FILE) as connection:
            connection.executescript("\n".join([*STATEMENTS, *more]))
        return
    with store.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        connection.exec_driver_sql(f"SET LOCAL search_path TO {SCHEMA}")
        for statement in (*STATEMENTS, *more):
            connection.exec_driver_sql(statement)


def value(study, key, text):
    """Return the statement that changes an attribute of a study."""
    return f"UPDATE study_user_attributes SET value_json = '{text}' WHERE study_id = {study} AND key = '{key}';"


def test_old_searches_are_read_once_with_their_trials_and_certificates(database):
    store = Store()
    import_studies(store)
    assert states(store) == []
    write(store, value(4, "since", "1000.0"), value(4, "heard", "1042.0"))  # killed while its trials ran
    import_studies(store)
    before = states(store)
    killed, ended = before
    assert (ended.name, ended.question) == (search_name(ENDED), ENDED)
    assert (killed.name, killed.question) == (search_name(KILLED), KILLED)
    assert len(ended.tried) == 7 and ended.tried[0].chain == "rtn@6bit" and ended.tried[0].bytes == 83072
    assert ended.certificate.rows[0].chain == ended.tried[1].chain and ended.certificate.tried == 7
    assert ended.opening.startswith("29 of 35 chains bring wide below 0.1 MB.") and len(ended.front) == 3
    assert (ended.seconds, ended.seconds_left, killed.seconds) == (480.0, 0.0, 180.0 + 42.0)
    assert len(killed.tried) == 2 and killed.certificate is None
    assert not any(one.alive or one.running or one.stopping or one.problem for one in before)
    refused = [trial for trial in Record(store, ENDED).trials if trial.problem]
    assert [trial.problem for trial in refused] == ["Unexpected error (RuntimeError: odd)."]
    assert [bool(trial.outcome) for trial in Record(store, KILLED).trials] == [True, True, False]
    import_studies(store)
    assert [one.name for one in states(store)] == [one.name for one in before]


def test_an_old_search_goes_on_with_its_numbers(tiny_texts, results_dir, monkeypatch):
    monkeypatch.setattr(session, "run_alone", lambda spec, store, progress: played_run(spec, store))
    store, steps = Store(), []
    write(store)
    import_studies(store)
    longer = KILLED.model_copy(update={"minutes": 60.0})

    def stop_after(step):
        steps.append(step)
        stop(store, search_name(longer))

    monkeypatch.setattr(session, "STOP_SECONDS", 0.0)
    session.conduct(prepare(longer, store), store, silent, stop_after)
    cut_off = "rtn@8bit+rtn@6bit,on=embedding"
    assert [(step.count, step.trial.chain) for step in steps][:1] == [(3, cut_off)]
    with store.begin() as connection:
        numbers = connection.scalars(select(trials.c.number).where(trials.c.search == search_name(longer))).all()
    assert numbers == list(range(3 + len(steps)))


def test_a_search_of_an_earlier_version_that_runs_is_read_after_its_end(results_dir):
    store = Store()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        handle = handle_text(psutil.Process(running.pid))
        write(store, value(4, "handle", f'"{handle}"'))
        import_studies(store)
        assert [one.name for one in states(store)] == [search_name(ENDED)]
    import_studies(store)
    assert [one.name for one in states(store)] == [search_name(KILLED), search_name(ENDED)]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"something else" * 100),
        lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 9000),
        lambda file: sqlite3.connect(file).executescript(value(1, "certificate", '{"rows"')),
        lambda file: sqlite3.connect(file).executescript(value(1, "question", '{"model": 1}')),
        lambda file: sqlite3.connect(file).executescript(value(4, "seconds", '"x"')),
        lambda file: sqlite3.connect(file).executescript("UPDATE trial_user_attributes SET value_json = '[1]';"),
        lambda file: sqlite3.connect(file).executescript("DROP TABLE trials;"),
    ],
)
def test_a_damaged_file_is_one_sentence_and_nothing_else_stops(results_dir, damage):
    store = Store()
    write(store)
    damage(results_dir / FILE)
    with pytest.raises(UserError) as refused:
        import_studies(store)
    sentence = "of earlier searches is damaged; move it away to go on without them."
    assert str(refused.value) == f"The file {results_dir / FILE} {sentence}"
    assert states(store) == []
    record = Record(store, ENDED)
    record.begin(lambda connection, _: insert_job(connection, SEARCH, "{}"))
    record.put(0, Trial(chain="rtn@4bit", expected=Chosen(0.5, 0.1, 9.0), running=True))
    assert states(store)[0].running


def test_optuna_is_not_imported(results_dir):
    write(Store())
    code = (
        "import sys; from core.store.store import Store; from core.search.record import states; "
        "from core.search.studies import import_studies; import_studies(Store()); "
        "print(len(states(Store())), 'optuna' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
