"""What pages rely on: counters of changes, transactions that are done again, and results read one at a time."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from pandas.testing import assert_frame_equal
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import OperationalError

from benchmarks.dashboard.store import made_up
from core.base.errors import StorageError, UserError
from core.base.paths import PROJECT
from core.findings.numbers.frame import tidy
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.results import Variant
from core.specs import TextWindows, VariantSpec
from core.store import database
from core.store.bundled import append_shipped, read_measured
from core.store.clock import Now
from core.store.counters import raise_counter
from core.store.row_cache import RowCache
from core.store.store import Store
from core.store.tables import counters, jobs, measurements, variants
from tests.core.factories import KEY, LAYER, OTHER, make, perplexity
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


class EndedError(Exception):
    def __init__(self, sqlstate):
        super().__init__("deadlock detected: process 1 is blocked by process 2")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(("sqlstate", "tries"), [("40P01", 2), ("40001", 2), ("23505", 1)])
def test_transactions_ended_by_the_server_are_retried(sqlstate, tries):
    store, seen = Store(), []

    def work(connection):
        seen.append(connection.execute(text("SELECT 1")).scalar())
        raise OperationalError("UPDATE", {}, EndedError(sqlstate))

    with pytest.raises(StorageError, match=r"failed: deadlock detected") as caught:
        store.transact(work)
    assert seen == [1] * tries and "busy" not in str(caught.value)


def test_a_lost_connection_is_retried():
    store, seen = Store(), []

    def work(connection):
        seen.append(1)
        if len(seen) == 1:
            raise OperationalError("UPDATE", {}, EndedError(None), connection_invalidated=True)
        return "done"

    assert store.transact(work) == "done" and len(seen) == 2


@pytest.mark.parametrize(
    ("kind", "reason", "waits"),
    [
        ("postgresql", "connection refused", True),
        ("postgresql", "FATAL:  the database system is starting up", True),
        ("postgresql", "FATAL:  password authentication failed", False),
        ("sqlite", "database is locked", False),  # it has waited by itself
    ],
)
def test_an_unresponsive_server_times_out(kind, reason, waits, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(database, "PAUSE_SECONDS", 0.01)
    tries = []

    def connect():
        tries.append(1)
        raise OperationalError("", {}, Exception(reason))

    engine = SimpleNamespace(connect=connect, dialect=SimpleNamespace(name=kind))
    for work in (lambda: database.connect(engine), lambda: database._bring_up_to_date(engine)):
        tries.clear()
        with pytest.raises(OperationalError):
            work()
        assert (len(tries) > 1) == waits


TEXT = TextWindows.parse("c4-sample:16x2048")


def chained(chain, *layers):
    """A result of a chain with a number, and these layers."""
    stages = resolve_chain(parse(chain), ChainDefaults(TEXT, TEXT, 0))
    key = VariantSpec(model="m", revision="r", stages=stages).key
    variant = Variant(key=key, model="m", revision="r", dtype="float32", stages=stages)
    return make(perplexity(20.0), layers=layers).model_copy(update={"variant": variant})


def test_bundled_and_artificial_rows_have_the_same_table(database):
    store, bundled = Store(), read_measured(PROJECT / "cached_results" / "measured").results
    for result in (*list(bundled.values())[::4], *made_up(8)):
        store.put(result)
    found = tidy(store.each())
    assert_frame_equal(found, tidy(store.results()))
    assert found["block_removed"].nunique() > 10 and found["kl"].notna().any()
    for model in {one.name for one in store.model_ids()}:
        of_model = [one for one in store.results() if one.variant.model == model]
        assert_frame_equal(tidy(store.each(model)), tidy(of_model))


def test_layers_are_read_where_the_removed_share_needs_them(bundled_folder):
    pruned, both = chained("sparsegpt@0.5", LAYER), chained("sparsegpt@0.5+gptq@4bit", LAYER)
    store = Store()
    for result in (pruned, both):
        store.put(result)
    assert [len(result.layers) for result in store.each()] == [0, 1]
    assert_frame_equal(tidy(store.each()), tidy(store.results()))
    assert_frame_equal(tidy(store.get_many([both.variant.key]).values()), tidy([both]))


def test_own_numbers_join_bundled_ones_in_the_order_of_all_results(bundled_folder, monkeypatch):
    monkeypatch.setattr("core.store.store.MOST_NAMED", 2)
    store = Store()
    append_shipped(make(perplexity(20.0), perplexity(30.0, window=128)), bundled_folder / "a.jsonl")
    append_shipped(make(perplexity(5.0), key=OTHER), bundled_folder / "a.jsonl")
    for place in (4, 3, 2, 1, 0):
        store.put(make(perplexity(float(place)), key=f"{place:064x}"))
    store.put(make(perplexity(21.0)))
    assert list(store.each()) == store.results()


@pytest.mark.parametrize("table", [variants, measurements])
def test_damaged_rows_are_named_and_the_others_stay(table, caplog):
    store = Store()
    store.put(make(perplexity(20.0), perplexity(30.0, window=128)))
    store.put(make(perplexity(5.0), key=OTHER))
    damage = {"footprint": "{}"} if table is variants else {"data": "{"}
    where = variants.c.key == KEY if table is variants else measurements.c.data.contains("2048")
    with store.begin() as connection:
        connection.execute(update(table).where(where).values(**damage))
    found = list(store.each())
    assert found == store.results() and len(caplog.records) == len(store.read().warnings) > 0
    assert_frame_equal(tidy(iter(found)), tidy(store.results()))
