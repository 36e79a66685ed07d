"""Results of an older database come into the store, and a store is copied to each kind of database."""

import sqlite3

import numpy as np
import pandas
import pytest
from sqlalchemy import insert, select, text

from core.base.errors import UserError
from core.cli.app import main
from core.jobs.queue import Queue
from core.store.rows import written
from core.store.samples import FOLDER
from core.store.store import Store
from core.store.tables import searches, trials
from core.store.transfer import copying
from core.store.transfer.older import import_database
from tests.core.factories import KEY, OTHER, make, perplexity
from tests.core.queues import change, spec
from tests.databases import at_revision

LOSSES = np.linspace(-3.1, -2.9, 16)
VALUE = float(np.exp(3.0))
DOCUMENTS = pandas.DataFrame({"doc_id": range(16), "perplexity": LOSSES})


def old_database(file, *results, first=()):
    """Write a database of the first schema, with rows of `first` as they are given."""
    with at_revision(file, "0001") as connection:
        for row, numbers in (*first, *map(written, results)):
            rows = [("variants", row | {"updated": 1}), *(("measurements", number) for number in numbers)]
            for table, values in rows:
                places = ", ".join(f":{name}" for name in values)
                connection.execute(text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})"), values)
    return file


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def store_samples_next_to(file, result):
    """Store answers next to a database, as the store does for its own."""
    row = result.measurements[0]
    here = Store().put_samples(result.variant.key, row, DOCUMENTS)
    there = file.parent / FOLDER / result.variant.key / here.name
    there.parent.mkdir(parents=True)
    here.rename(there)
    return there


def test_a_database_of_the_first_schema_is_imported_and_not_changed(tmp_path):
    one = make(perplexity(VALUE), perplexity(30.0, window=128))
    file = old_database(tmp_path / "old" / "local.db", one)
    store_samples_next_to(file, one)
    before = files_of(file.parent)

    found = import_database(file, Store())
    assert (found.variants, found.numbers, found.kept, found.sampled, found.warnings) == (1, 2, 0, 1, ())
    assert files_of(file.parent) == before
    store = Store()
    assert store.get(KEY) == one
    assert list(store.samples(KEY, one.measurements[0])["perplexity"]) == list(LOSSES)
    assert store.samples(KEY, one.measurements[1]) is None

    again = import_database(file, store)
    assert (again.variants, again.numbers, again.kept) == (0, 0, 2)
    assert again.words() == "Imported 0 numbers of 0 variants, 0 with samples; 2 existing numbers did not change."


def test_existing_numbers_are_preserved(tmp_path):
    store = Store()
    store.put(make(perplexity(21.0), made=({"seconds": 2.0},)))
    store.put(make(perplexity(5.0), key=OTHER))
    old = make(perplexity(VALUE), perplexity(30.0, window=128), made=({"seconds": 1.0},))
    file = old_database(tmp_path / "old" / "local.db", old)
    store_samples_next_to(file, old)
    found = import_database(file, store)
    assert (found.variants, found.numbers, found.kept, found.sampled) == (1, 1, 1, 0)
    mine = store.get(KEY)
    assert [row.value for row in mine.measurements] == [21.0, 30.0] and mine.variant.stage_runs == ({"seconds": 2.0},)
    assert store.samples(KEY, mine.measurements[0]) is None


def test_changes_in_the_write_ahead_log_are_imported(tmp_path):
    file = tmp_path / "old" / "local.db"
    file.parent.mkdir()
    current = Store(f"sqlite:///{file}")
    current.put(make(perplexity(20.0)))
    current.engine.dispose()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("UPDATE measurements SET data = replace(data, '20.0', '22.0')")
    connection.commit()
    before = file.read_bytes(), file.with_name("local.db-wal").read_bytes()
    import_database(file, Store())
    assert (file.read_bytes(), file.with_name("local.db-wal").read_bytes()) == before
    connection.close()
    assert Store().get(KEY).measurements[0].value == 22.0


def test_unreadable_rows_are_named_and_the_rest_is_imported(tmp_path, capsys):
    bad, _ = written(make(perplexity(5.0), key=OTHER))
    file = old_database(tmp_path / "old" / "local.db", make(perplexity(20.0)), first=[(bad | {"footprint": "{}"}, [])])
    assert main(["results", "import", str(file)]) == 0
    warning, words = capsys.readouterr().err.splitlines()
    assert OTHER[:12] in warning and words == "Imported 1 number of 1 variant, 0 with samples."
    assert list(Store().read().results) == [KEY]


def run_sql(statement):
    def change(file):
        with sqlite3.connect(file) as connection:
            connection.execute(statement)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 9000), "is damaged ("),
        (lambda file: file.write_bytes(b"SQLite format 3\0" + b"x" * 9000), "is damaged ("),
        (run_sql("UPDATE alembic_version SET version_num = '9999'"), "was made by a newer version of this program;"),
        (run_sql("DROP TABLE variants"), "is a database of another program; give a local.db of this one."),
        (lambda file: file.write_text("no database"), "is no SQLite database; give a local.db of this program."),
        (lambda file: file.unlink(), "cannot be read: No such file or directory."),
    ],
)
def test_a_foreign_database_gives_one_sentence(tmp_path, change, words):
    file = old_database(tmp_path / "old" / "local.db", make(perplexity(20.0)))
    change(file)
    with pytest.raises(UserError) as caught:
        import_database(file, Store())
    assert f"local.db {words}" in str(caught.value) and not Store().read().results


def test_database_in_use_is_rejected(results_dir):
    Store().put(make(perplexity(20.0)))
    with pytest.raises(UserError, match="is the database in use"):
        import_database(results_dir / "local.db", Store())


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


def test_a_copy_needs_an_empty_target_and_no_running_jobs(source, tmp_path, error_of):
    file, old = source

    def refused(*arguments):
        (line,) = error_of("store", "copy", *map(str, arguments)).splitlines()
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
