"""Change counters for the pages' caches, on each kind of database and independent of clocks."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, insert, select, text

from core.base.errors import UserError
from core.store.bundled import append_shipped
from core.store.clock import Now
from core.store.counters import raise_counter
from core.store.row_cache import RowCache
from core.store.store import Store
from core.store.tables import counters, jobs, variants
from tests.core.factories import KEY, OTHER, make, perplexity
from tests.databases import at_revision


def test_numbers_stored_with_the_clock_set_back_are_detected(database, monkeypatch):
    store = Store()
    known = RowCache(store, lambda result, own: result)
    store.put(make(perplexity(20.0)))
    before = known.of("m")
    monkeypatch.setattr("time.time", lambda: 1.0)
    store.put(make(perplexity(21.0)))
    assert store.stamp("m") != before.stamp
    assert known.of("m").values[KEY].measurements[0].value == 21.0


def test_every_change_has_a_new_stamp(database, bundled_folder):
    store, seen = Store(), []
    for change in (
        lambda: store.put(make(perplexity(1.0))),
        lambda: store.put(make(perplexity(2.0), key=OTHER)),
        lambda: store.delete(OTHER),
        lambda: store.put(make(perplexity(3.0), key="c" * 64)),
        lambda: store.put(make(perplexity(4.0))),
        lambda: append_shipped(make(perplexity(5.0), key="d" * 64), bundled_folder / "one.jsonl"),
    ):
        change()
        contents = {key: result.measurements[0].value for key, result in store.read().results.items()}
        seen.append((store.stamp(), store.stamp("m"), contents))
    for place, (whole, one, contents) in enumerate(seen):
        for other_whole, other_one, others in seen[:place]:
            assert contents == others or (whole != other_whole and one != other_one)
    assert store.stamp() == seen[-1][0]


def test_concurrent_changes_of_a_new_database_are_all_counted(database):
    def write(name):
        store = Store()
        for place in range(20):
            store.put(make(perplexity(float(place)), perplexity(float(place), dataset=f"{name}{place}")))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, ("one", "two", "three")))
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
    with at_revision(results_dir / "local.db", "0002") as connection:
        for place, key in enumerate((OTHER, KEY)):
            values = {"key": key, "time": 1e9 + place}
            connection.execute(text("INSERT INTO variants VALUES (:key, 'm', 'w', '{}', '{}', '[]', :time)"), values)
        connection.execute(text("INSERT INTO jobs (spec, state, stage, done, total, detail, attempts, created) "
                                "VALUES ('{}', 'queued', '', 0, 0, '', 0, 5.0)"))  # fmt: skip
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
