"""The store: schema, merging, deletes, errors in a sentence, and standard errors corrected as they are read."""

import math
import sqlite3
import subprocess
import sys

import pandas
import pytest
from sqlalchemy import event, inspect, text

from core.base import paths
from core.base.errors import UserError
from core.results import Measurement
from core.statistics.correlations import INTERVAL, WIDENED, largest_factor, record
from core.statistics.longrun import inflation
from core.store import database, samples
from core.store.rows import corrected
from core.store.store import Store
from core.store.tables import HEAD, metadata
from tests.core.factories import KEY, LAYER, OTHER, make, perplexity


def test_another_store_reads_stored_results():
    details = {"seconds": 3.0, INTERVAL: WIDENED}  # once
    result = make(perplexity(20.5, dataset="own.txt@12345678", stderr=0.25, details=details), layers=(LAYER,))
    Store().put(result)
    assert Store().get(KEY) == result
    assert Store().results() == [result]
    assert Store().get(OTHER) is None


def test_put_replaces_equal_numbers_and_keeps_others():
    store = Store()
    store.put(make(perplexity(20.0), perplexity(30.0, window=128), layers=(LAYER,)))
    store.put(make(perplexity(21.0), perplexity(5.0, dataset="ptb"), zeros=60))
    found = store.get(KEY)
    values = {(m.dataset, m.protocol["window"]): m.value for m in found.measurements}
    assert values == {("wikitext2", 2048): 21.0, ("wikitext2", 128): 30.0, ("ptb", 2048): 5.0}
    assert found.footprint.block_zeros == 60  # the newer count
    assert found.layers == (LAYER,)  # kept, as the second result had none


def test_source_of_a_text_is_not_part_of_the_identity_and_diverged_numbers_survive():
    store = Store()
    elsewhere = perplexity(math.inf, stderr=math.nan)
    elsewhere = elsewhere.model_copy(update={"protocol": elsewhere.protocol | {"source": "hub"}})
    store.put(make(perplexity(20.0)))
    store.put(make(elsewhere))
    (found,) = store.get(KEY).measurements
    assert found.value == math.inf and math.isnan(found.stderr)


def test_local_numbers_override_bundled_ones_until_deleted():
    paths.SHIPPED_MEASURED.mkdir()
    bundled = make(perplexity(20.0), perplexity(30.0, window=128), layers=(LAYER,))
    (paths.SHIPPED_MEASURED / "one.jsonl").write_text(bundled.model_dump_json() + "\n")
    store = Store()
    assert store.results() == [bundled]
    assert store.local_keys() == set()
    store.put(make(perplexity(21.0)))
    assert [m.value for m in store.get(KEY).measurements] == [21.0, 30.0]
    assert store.get(KEY).layers == (LAYER,)
    assert store.local_keys() == {KEY}
    store.delete(KEY)
    assert store.results() == [bundled]
    with pytest.raises(UserError, match="bundled with the project"):
        store.delete(KEY)


def test_delete_removes_numbers_and_samples():
    store = Store()
    accuracy = Measurement(metric="acc", dataset="piqa", value=0.5, n=2, protocol={"limit": 2, "fewshot": 0})
    store.put(make(accuracy))
    store.put(make(accuracy, key=OTHER))
    for key in (KEY, OTHER):
        store.put_samples(key, accuracy, pandas.DataFrame({"doc_id": [0, 1], "acc": [1, 0]}))
    store.delete(KEY)
    assert store.get(KEY) is None
    assert store.samples(KEY, accuracy) is None
    assert not (paths.local_results_dir() / "samples" / KEY).exists()
    assert store.get(OTHER).measurements == (accuracy,)
    assert len(store.samples(OTHER, accuracy)) == 2
    with pytest.raises(UserError, match="no result"):
        store.delete(KEY)


def answered(n, protocol, metric="acc", value=None, dataset="piqa"):
    value = 1 / n if value is None else value
    return Measurement(metric=metric, dataset=dataset, value=value, n=n, protocol={"fewshot": 0} | protocol)


def test_samples_of_two_protocols_are_stored_separately():
    store = Store()
    few, many = answered(1, {"limit": 1, "source": "hub"}), answered(4, {"limit": 4})
    frame = pandas.DataFrame({"doc_id": range(4), "loglikelihoods": [[-1.0, -2.0]] * 4, "acc": [1.0, 0, 0, 0]})
    frame["acc_norm"] = 1.0
    store.put_samples(KEY, few, frame[:1])
    store.put_samples(KEY, many, frame)
    assert len(store.samples(KEY, few)) == 1
    assert len(store.samples(KEY, many)) == 4
    norm = answered(1, {"limit": 1, "source": "folder"}, "acc_norm")
    assert len(store.samples(KEY, norm)) == 1  # acc_norm shares acc's documents
    assert list(store.samples(KEY, many).loglikelihoods[0]) == [-1.0, -2.0]
    assert store.samples(KEY, answered(4, {"limit": 4}, value=0.5)) is None  # another number
    assert store.samples(OTHER, many) is None


def test_bundled_samples_serve_every_number_of_the_row():
    store, text = Store(), perplexity(math.exp(3.0))
    text = text.model_copy(update={"n": 2})
    words = answered(2, {"limit": 2}, "perplexity", math.exp(2.0), "lambada_openai")
    choices, none = answered(2, {"limit": 2}), answered(9, {"limit": 9}, dataset="boolq")
    piqa = {"doc_id": [0, 1], "doc_hash": ["a", "b"], "target": [1, 0], "loglikelihoods": [[-1.5, -2.25], [-3.0, -1.0]]}
    store.put_samples(KEY, text, pandas.DataFrame({"doc_id": [0, 1], "perplexity": [-2.5, -3.5]}))
    store.put_samples(KEY, choices, pandas.DataFrame({**piqa, "acc": [1.0, 0.0]}))
    lambada = {"doc_id": [0, 1], "target": ["so", "we"], "perplexity": [-1.0, -3.0]}
    store.put_samples(KEY, words, pandas.DataFrame(lambada))
    result = make(text, choices, words, none)
    assert samples.ship_samples(result, paths.SHIPPED_MEASURED).name == f"{KEY}.parquet"
    assert samples.ship_samples(make(none), paths.SHIPPED_MEASURED) is None
    store.put_samples(KEY, text, pandas.DataFrame({"doc_id": [0, 1], "perplexity": [-2.0, -4.0]}))
    assert list(store.samples(KEY, text)["perplexity"]) == [-2.0, -4.0]  # the user's own come first
    assert list(samples.read_shipped_samples(KEY, text)["perplexity"]) == [-2.5, -3.5]
    samples.delete_samples(KEY)
    assert list(store.samples(KEY, text)["perplexity"]) == [-2.5, -3.5]
    found = store.samples(KEY, choices)
    assert [list(line) for line in found["loglikelihoods"]] == piqa["loglikelihoods"]
    assert list(found["target"]) == piqa["target"]
    assert list(store.samples(KEY, words)["perplexity"]) == [-1.0, -3.0]
    assert store.samples(KEY, none) is None
    assert store.samples(KEY, answered(2, {"limit": 3})) is None  # another protocol


@pytest.mark.parametrize(("key", "dataset"), [("../../etc", "piqa"), (KEY, "../piqa"), (KEY, "a/b"), ("A" * 64, "x")])
def test_samples_reject_invalid_keys_and_tasks(key, dataset):
    wanted = Measurement(metric="acc", dataset=dataset, value=0.5, n=1, protocol={"fewshot": 0})
    with pytest.raises(UserError):
        Store().put_samples(key, wanted, pandas.DataFrame({"doc_id": [0]}))
    with pytest.raises(UserError):
        Store().samples(key, wanted)


def test_migrations_create_the_declared_tables():
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    store = Store()
    assert set(inspect(store.engine).get_table_names()) == set(metadata.tables) | {"alembic_version"}
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    assert ScriptDirectory.from_config(database._migrations()).get_current_head() == HEAD


def test_an_up_to_date_database_opens_without_alembic_or_pandas():
    Store()
    code = (
        "import sys; from core.store.store import Store; Store().results(); "
        "print({'alembic', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_full_database_gives_a_sentence_and_keeps_its_content():
    store = Store()
    store.put(make(perplexity(20.0)))
    with store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    event.listen(store.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count={pages}"))
    store.engine.dispose()
    with pytest.raises(UserError, match=r"^The disk is full: .*free some space"):
        store.put(make(*(perplexity(1.0, dataset=f"d{i}") for i in range(500)), zeros=99))
    assert store.get(KEY) == make(perplexity(20.0))
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=1")  # what SQLite answers on a read-only file, also to root
    with pytest.raises(UserError, match="read-only"):
        store.put(make(perplexity(1.0)))


def test_a_file_that_is_no_database_does_not_change(results_dir):
    results_dir.mkdir()
    (results_dir / "local.db").write_bytes(b"something else" * 100)
    with pytest.raises(UserError, match="not a database"):
        Store()
    assert (results_dir / "local.db").read_bytes() == b"something else" * 100


def test_a_database_of_a_newer_version_is_rejected(results_dir):
    Store()
    with sqlite3.connect(results_dir / "local.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="newer version"):
        Store()


def test_a_bad_url_gives_one_sentence_without_the_password(monkeypatch):
    for url, message in (
        ("not a url hunter2", "not a database URL"),
        ("nosuch://me:hunter2@host/db", "unknown kind of database, 'nosuch'"),
        ("postgresql+pg8000://me:hunter2@host/db", "needs the Python package 'pg8000'"),
        ("postgresql://me:hunter2@host:port/db", "not a database URL"),
        ("sqlite:////proc/nowhere/local.db", "cannot be created"),
        ("sqlite:////proc/local.db", "cannot be opened or created; give a file in a folder that can be written."),
    ):
        monkeypatch.setenv("SLIMSCOPE_DB", url)
        with pytest.raises(UserError) as caught:
            Store()
        assert message in str(caught.value) and "hunter2" not in str(caught.value)


def test_default_is_a_private_file_in_the_results_folder(results_dir, monkeypatch):
    Store()
    assert (results_dir / "local.db").exists()
    elsewhere = results_dir.parent / "elsewhere.db"
    monkeypatch.setenv("SLIMSCOPE_DB", f"sqlite:///{elsewhere}")
    Store().put(make(perplexity(1.0)))
    assert elsewhere.exists()
    monkeypatch.delenv("SLIMSCOPE_DB")
    assert Store().get(KEY) is None


OWN = "own.txt@12345678"
LARGER = inflation(16, record("wikitext2", 2048, "losses").correlation)


def read(row):
    return corrected(make(row)).measurements[0]


def test_texts_with_a_record_have_correlated_windows(results_dir):
    store = Store()
    store.put(make(perplexity(20.0, stderr=0.5)))
    (row,) = store.get(KEY).measurements
    assert LARGER > 1.3
    assert (row.stderr, row.inflation) == pytest.approx((0.5 * math.sqrt(LARGER), LARGER))
    store.put(store.get(KEY))
    assert store.get(KEY).measurements == (row,)


def test_rows_widened_by_an_earlier_record_use_the_current_one():
    assert read(perplexity(20.0, stderr=1.0, inflation=4.0)).stderr == pytest.approx(0.5 * math.sqrt(LARGER))


def test_rows_of_texts_without_a_record_are_widened_once():
    factor = largest_factor(2048, "losses", 16)
    row = read(perplexity(20.0, dataset=OWN, stderr=0.5, inflation=4.0, details={"seconds": 1.0}))
    assert (row.stderr, row.inflation) == pytest.approx((0.5 * math.sqrt(factor), 4 * factor))
    assert row.details == {"seconds": 1.0, "interval": WIDENED}
    assert read(row) == row
    known = read(row.model_copy(update={"dataset": "wikitext2"}))  # as if its record were new
    assert (known.stderr, known.inflation, known.details) == (
        pytest.approx(row.stderr * math.sqrt(LARGER / row.inflation)),
        LARGER,
        {"seconds": 1.0},
    )


def test_other_rows_do_not_change():
    for row in (perplexity(20.0, dataset=OWN, windows=64, stderr=0.5, inflation=4.0), perplexity(20.0)):
        assert read(row) == row
