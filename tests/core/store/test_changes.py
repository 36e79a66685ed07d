"""Change counters for the pages' caches, on each kind of database and independent of clocks."""

import subprocess
import sys

import pytest
from sqlalchemy import create_engine, delete, insert, select, text

from core import paths
from core.errors import UserError
from core.store.clock import Now
from core.store.counters import raise_counter
from core.store.row_cache import RowCache
from core.store.store import Store
from core.store.tables import counters, jobs, variants
from tests.core.factories import KEY, OTHER, make, perplexity


@pytest.fixture(autouse=True)
def isolated(results_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")


def test_numbers_stored_with_the_clock_set_back_are_detected(database, monkeypatch):
    store = Store()
    known = RowCache(store, lambda result, own: result)
    store.put(make(perplexity(20.0)))
    before = known.of("m")
    monkeypatch.setattr("time.time", lambda: 1.0)
    store.put(make(perplexity(21.0)))
    assert store.stamp("m") != before.stamp
    assert known.of("m").values[KEY].measurements[0].value == 21.0


def test_every_change_has_a_new_stamp(database):
    store, seen = Store(), []
    for change in (
        lambda: store.put(make(perplexity(1.0))),
        lambda: store.put(make(perplexity(2.0), key=OTHER)),
        lambda: store.delete(OTHER),
        lambda: store.put(make(perplexity(3.0), key="c" * 64)),
        lambda: store.put(make(perplexity(4.0))),
    ):
        change()
        contents = {key: result.measurements[0].value for key, result in store.read().results.items()}
        seen.append((store.stamp(), store.stamp("m"), contents))
    for place, (whole, one, contents) in enumerate(seen):
        for other_whole, other_one, others in seen[:place]:
            assert contents == others or (whole != other_whole and one != other_one)


WRITER = """
import sys
from core.store.store import Store
from tests.core.factories import make, perplexity
store = Store()
for i in range(20):
    store.put(make(perplexity(float(i)), perplexity(float(i), dataset=sys.argv[1] + str(i))))
"""


def test_concurrent_changes_are_all_counted(database):
    Store()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name], cwd=paths.PROJECT, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    store = Store()
    assert len(store.get(KEY).measurements) == 61
    assert store.stamp()[0] == (1, 60)


def test_database_clock_is_used(database):
    store = Store()
    with store.begin() as connection:
        first, second = (connection.execute(select(Now())).scalar() for _ in range(2))
        expected = "unixepoch()" if database == "sqlite" else "extract(epoch from current_timestamp)::float8"
        assert 0 <= first - connection.execute(text(f"SELECT {expected}")).scalar() < 60
    assert first <= second


def test_an_older_database_keeps_the_order_of_its_variants(results_dir):
    from alembic import command
    from alembic.config import Config

    results_dir.mkdir()
    engine = create_engine(f"sqlite:///{results_dir}/local.db")
    config = Config()
    config.set_main_option("script_location", str(paths.PROJECT / "core" / "store" / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for place, key in enumerate((OTHER, KEY)):
            values = {"key": key, "time": 1e9 + place}
            connection.execute(text("INSERT INTO variants VALUES (:key, 'm', 'w', '{}', '{}', '[]', :time)"), values)
        connection.execute(text("INSERT INTO jobs (spec, state, stage, done, total, detail, attempts, created) "
                                "VALUES ('{}', 'queued', '', 0, 0, '', 0, 5.0)"))  # fmt: skip
        connection.commit()
    store = Store()
    assert store.changes("m") == {OTHER: 1, KEY: 2}
    with store.begin() as connection:
        assert raise_counter(connection, "results") == 3
        assert connection.execute(select(jobs.c.created, jobs.c.host)).one() == (5.0, None)


def test_a_database_without_counters_is_reported():
    store = Store()
    with store.begin() as connection:
        connection.execute(delete(counters))
    with pytest.raises(UserError, match="has lost its counter 'results'"):
        store.put(make(perplexity(1.0)))
    with store.begin() as connection:
        connection.execute(insert(counters).values(name="results", value=0))
    store.put(make(perplexity(1.0)))
    with store.begin() as connection:
        assert connection.execute(select(variants.c.changed)).scalar() == 1
