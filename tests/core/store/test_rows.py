"""Rows that cannot be used: each is left out and named, wherever it comes from, and all others stay."""

import json
import time

import pytest
from sqlalchemy import insert, update

from core.base.errors import UserError
from core.cli.app import main
from core.cli.printing.description import describe_result
from core.imports.files import read_imports, store_imports
from core.jobs.executor import End
from core.jobs.worker import work
from core.results import Measurement, Result
from core.store.bundled import read_measured
from core.store.store import Store
from core.store.tables import jobs, measurements, variants
from tests.core.factories import KEY, LAYER, OTHER, make, perplexity
from tests.core.imports.given import ACCURACY, PERPLEXITY, sheet
from tests.core.queues import spec


def damage(store, table, where, **values):
    with store.begin() as connection:
        assert connection.execute(update(table).where(where).values(**values)).rowcount


def written(**changes):
    """The JSON of a made result with parts of it changed: a path of names, joined by two underscores."""
    data = json.loads(make(perplexity(20.0), layers=(LAYER,)).model_dump_json())
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = data
        for name in parents:
            place = place[int(name)] if name.isdigit() else place[name]
        place[last] = value
    return json.dumps(data)


ODD = {
    "an unknown field": ({"variant__colour": "red"}, "variant.colour"),
    "no stages": ({"variant__stages": []}, "variant.stages"),
    "a pattern that is none": ({"variant__stages__0__pattern": "x"}, "variant.stages.0.pattern: 'x' is not"),
    "a ratio beyond 1": ({"variant__stages__0__ratio": 1.5}, "variant.stages: a ratio is outside"),
    "a key that is a path": ({"variant__key": "../" * 20 + "etc"}, "variant.key"),
    "a text that is none": (
        {"variant__stages__0__calibration": {"corpus": "c4", "windows": 0, "window": 1}},
        "variant.stages.0.calibration.windows",
    ),
    "a seed without end": ({"variant__stages__0__seed": 2**70}, "variant.stages: a seed is not a whole number"),
    "a training without an end": ({"variant__made": [{"training": {}}]}, "training.ended is missing"),
    "no window": ({"measurements__0__protocol": {"windows": 16}}, "protocol.window is missing"),
    "a distance without windows": (
        {"measurements__0__metric": "kl", "measurements__0__protocol": {"windows": 16}},
        "protocol.window is missing, on which the kl",
    ),
    "a limit in words": ({"measurements__0__protocol__limit": "all"}, "protocol.limit is not a whole number"),
    "a list in a protocol": ({"measurements__0__protocol__version": [1]}, "protocol.version is neither"),
    "a number type that is a number": ({"measurements__0__protocol__dtype": 32}, "protocol.dtype is not text"),
    "an inflation below zero": ({"measurements__0__inflation": -4.0}, "measurements.0.inflation"),
    "an end that is a list": ({"measurements__0__details": {"low": [1.0]}}, "low is not a number"),
    "an end beyond every float": ({"measurements__0__details": {"high": 10**400}}, "high is not a number"),
    "a latency of no batch": ({"measurements__0__metric": "prefill"}, "protocol.batch is missing"),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_invalid_bundled_line_is_named(kind, bundled_folder):
    changes, message = ODD[kind]
    bundled_folder.mkdir()
    (bundled_folder / "a.jsonl").write_text(written(**changes) + "\n" + make(key=OTHER).model_dump_json())
    results, (warning,) = read_measured()
    assert list(results) == [OTHER]
    assert warning.startswith("a.jsonl, line 1 is skipped: ") and message in warning and "\n" not in warning
    assert Store().read() == (results, (warning,))


@pytest.mark.parametrize("line", ["[" * 100_000, '{"schema_version":2,"variant":' + "[" * 100_000, "9" * 5000])
def test_an_unparsable_bundled_line_is_named(line, bundled_folder):
    bundled_folder.mkdir()
    (bundled_folder / "a.jsonl").write_text(line)
    assert read_measured() == ({}, ("a.jsonl, line 1 is skipped: it is not JSON.",))


def test_task_perplexity_has_no_windows(capsys):
    protocol = {"limit": 8, "fewshot": 0, "version": 1.0, "dtype": "float32"}
    lambada = Measurement(metric="perplexity", dataset="lambada_openai", value=9.0, n=8, protocol=protocol)
    Store().put(make(perplexity(20.0), lambada))
    assert main(["results"]) == 0
    assert not Store().read().warnings and len(Store().get(KEY).measurements) == 2
    describe_result(Store().get(KEY), None, Store(), Store().model_names())
    assert "lambada_openai:8" in capsys.readouterr().out


def test_rows_survive_reading_and_writing(bundled_folder):
    details = {"created": "2025", "versions": {"torch": "2"}, "seconds": 3, "unknown": [1]}
    line = written(variant__made=[details], variant__details=details, measurements__0__details=details)
    assert json.loads(Result.model_validate_json(line).model_dump_json()) == json.loads(line)
    assert list(Result.model_validate_json(line).variant.details) == list(details)


VARIANTS = {
    "an unknown field": ({"variant": written().replace('"revision"', '"colour": 1, "revision"')}, "The stored variant"),
    "no JSON": ({"variant": "{half a"}, "The stored variant"),
    "nested too deep": ({"variant": "[" * 100_000}, "The stored variant"),
    "another key": ({"variant": make(key="c" * 64).variant.model_dump_json()}, "its key does not match"),
    "a footprint of nothing": ({"footprint": "{}"}, "The footprint of the stored variant"),
    "no footprint": ({"footprint": "null"}, "The footprint of the stored variant"),
}


@pytest.mark.parametrize("kind", VARIANTS)
def test_an_unreadable_variant_is_named_and_recomputed(kind, caplog):
    values, message = VARIANTS[kind]
    store = Store()
    store.put(make(perplexity(20.0)))
    store.put(make(perplexity(5.0), key=OTHER))
    damage(store, variants, variants.c.key == KEY, **values)
    results, (warning,) = store.read()
    assert list(results) == [OTHER] and store.results() == [store.get(OTHER)]
    assert message in warning and KEY[:12] in warning and len(warning.splitlines()) == 1
    assert [record.getMessage() for record in caplog.records] == [warning]  # once, however often it is read
    store.put(make(perplexity(20.0)))
    assert store.read().warnings == () and len(store.results()) == 2


@pytest.mark.parametrize(
    "data", ["{}", "null", '{"colour":1}', perplexity(1.0).model_dump_json().replace("2048", '"x"')]
)
def test_an_unreadable_number_is_named_and_measured_again(data):
    store = Store()
    store.put(make(perplexity(20.0), perplexity(30.0, window=128), layers=(LAYER,)))
    damage(store, measurements, measurements.c.data.contains("2048"), data=data)
    results, (warning,) = store.read()
    assert [row.value for row in results[KEY].measurements] == [30.0] and results[KEY].layers == (LAYER,)
    assert warning.startswith("A number of the stored variant aaaaaaaaaaaa is skipped (")
    store.put(make(perplexity(21.0)))
    assert [row.value for row in store.get(KEY).measurements] == [30.0, 21.0] and not store.read().warnings


def test_unreadable_layers_do_not_lose_the_numbers_and_a_damaged_text_column_is_named():
    store = Store()
    store.put(make(perplexity(20.0), layers=(LAYER,)))
    store.put(make(perplexity(5.0), key=OTHER))
    damage(store, variants, variants.c.key == KEY, layers="[1]")
    results, (warning,) = store.read()
    assert results[KEY] == make(perplexity(20.0)) and "layers" in warning
    with store.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE measurements SET data = CAST(replace(data, 'wiki', x'ff') AS TEXT) WHERE variant = ?", (KEY,)
        )
    results, (warning, _) = store.read()
    assert results[KEY].measurements == () and len(results[OTHER].measurements) == 1
    assert "unicode" in warning


@pytest.fixture
def odd_job(played, store):
    """A queue with a done job whose spec has a field of another version, and one job that waits."""
    queue = played
    text = spec("odd").model_dump_json().replace('"force"', '"colour":1,"force"')
    with store.begin() as connection:
        connection.execute(insert(jobs).values(spec=text, state="done", created=time.time()))
    queue.submit(spec("steps"))
    return queue


def test_an_unreadable_job_is_named_and_can_be_deleted(odd_job):
    assert [job.spec for job in odd_job.jobs()] == [spec("steps")]
    (odd,) = odd_job.unreadable()
    assert (odd.id, odd.active) == (1, False)
    assert odd.reason.startswith("Job 1 cannot be read (colour: ")
    for call in (odd_job.retry, odd_job.resume):
        with pytest.raises(UserError, match="Job 1 cannot be read"):
            call(1)
    odd_job.delete(1)
    assert odd_job.unreadable() == [] and len(odd_job.jobs()) == 1


def test_an_unreadable_queued_job_fails_and_blocks_no_other(odd_job, store):
    damage(store, jobs, jobs.c.id == 1, state="queued")
    odd_job.step()
    (token,) = odd_job.supervisor.handles
    assert work(store, 1, token) == 0
    with store.begin() as connection:
        state, error = connection.exec_driver_sql("SELECT state, error FROM jobs WHERE id = 1").one()
    assert state == "failed" and error.startswith("The job's run cannot be read (colour: ")
    (process,) = odd_job.processes.values()
    process.end = End("ended with exit code 0")
    odd_job.step()
    assert odd_job.job(2).state == "running"


def test_a_running_job_without_a_claim_blocks_no_other(odd_job, store):
    damage(store, jobs, jobs.c.id == 1, state="running", token=None, lease=None, started=None)
    odd_job.step()
    assert [odd_job.unreadable()[0].active, len(odd_job.supervisor.handles)] == [True, 1]  # it runs again


def test_command_line_names_and_deletes_damaged_rows(output_of, error_of, tmp_path):
    store = Store()
    store.put(make(perplexity(20.0), key=KEY))
    damage(store, variants, variants.c.key == KEY, footprint="{}")
    assert output_of("results", "--json") == []
    words = "The result aaaaaaaaaaaa cannot be read; run it again, or delete it."
    assert words in error_of("export", KEY, str(tmp_path / "out"))
    assert main(["delete", KEY[:10], "--yes"]) == 0
    assert KEY not in Store().local_keys()


def test_damaged_imports_are_named_with_the_advice_to_reimport(caplog):
    store = Store()
    store_imports(read_imports([sheet(PERPLEXITY, ACCURACY)], None, store), store)
    with store.begin() as connection:
        connection.execute(update(measurements).where(measurements.c.metric == "acc").values(data="{"))
    (warning,) = store.read().warnings
    assert "A number of the stored variant" in warning and warning.endswith("import it again.")
    (result,) = store.results()
    assert [row.metric for row in result.measurements] == ["perplexity"] and result.footprint is None
