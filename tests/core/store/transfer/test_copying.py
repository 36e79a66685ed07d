"""A store is copied with its results and jobs, to each kind of database."""

import pytest
from sqlalchemy import insert, select

from core.cli.app import main
from core.jobs.queue import Queue
from core.store.store import Store
from core.store.tables import searches, trials
from core.store.transfer import copying
from tests.core.factories import KEY, OTHER, make, perplexity
from tests.core.queues import change, spec


@pytest.fixture
def source(tmp_path):
    """A SQLite file with two variants and three jobs, as (file, store)."""
    store = Store(f"sqlite:///{tmp_path / 'source.db'}")
    store.put(make(perplexity(20.0), perplexity(30.0, window=128)))
    store.put(make(perplexity(5.0), key=OTHER))
    queue = Queue(store)
    queue.submit_all([spec("first"), spec("second"), spec("third")])
    queue.cancel(2)
    with store.begin() as connection:
        connection.execute(insert(searches).values(name="one", created=1.0, state="{}", seconds=1.0, stop=False))
        connection.execute(insert(trials).values(search="one", number=0, trial="{}"))
    return tmp_path / "source.db", store


def test_all_rows_are_copied(source, database, monkeypatch, capsys):
    monkeypatch.setattr(copying, "ROWS", 2)
    file, old = source
    target = Store()
    assert main(["store", "copy", str(file), target.url.render_as_string(hide_password=False)]) == 0
    assert "Copied 3 numbers of 2 variants and 3 jobs." in capsys.readouterr().err
    assert target.own() == old.own() and target.changes("m") == old.changes("m")
    before, after = Queue(old), Queue(target)
    assert [job.model_dump(exclude={"read"}) for job in after.jobs()] == [
        job.model_dump(exclude={"read"}) for job in before.jobs()
    ]
    assert after.submit(spec("fourth")) == 4  # numbers go on after the copied ones
    with target.begin() as new, old.begin() as earlier:
        for table in (searches, trials):
            assert new.execute(select(table)).all() == earlier.execute(select(table)).all() != []
    target.put(make(perplexity(21.0), perplexity(7.0, dataset="ptb")))
    assert target.changes("m")[KEY] > old.changes("m")[KEY]
    assert [row.value for row in target.own(KEY)[0].result.measurements] == [30.0, 21.0, 7.0]


def test_a_copy_needs_an_empty_target_and_no_running_jobs(source, tmp_path, capsys):
    file, old = source

    def refused(*arguments):
        assert main(["store", "copy", *map(str, arguments)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "There is no file" in refused(tmp_path / "absent.db", tmp_path / "new.db")
    assert not (tmp_path / "absent.db").exists()
    assert "give another database as TO" in refused(file, file)
    with_results = Store(f"sqlite:///{tmp_path / 'results.db'}")
    with_results.put(make(perplexity(1.0)))
    assert "already has results; give an empty database" in refused(file, tmp_path / "results.db")
    Queue(with_jobs := Store(f"sqlite:///{tmp_path / 'jobs.db'}")).submit(spec("one"))
    assert "already has jobs; give an empty database" in refused(file, tmp_path / "jobs.db")
    assert len(Queue(with_jobs).jobs()) == 1
    change(old, 1, state="running")
    assert "1 of the jobs of" in refused(file, tmp_path / "new.db")
    assert "needs the Python package 'pg8000'" in refused(file, "postgresql+pg8000://me:hunter2@host/db")
