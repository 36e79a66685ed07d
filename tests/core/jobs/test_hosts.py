"""Several machines at one queue: whose clock counts, which one runs a job, and which jobs wait for parts of others."""

import time

import pytest

from core.cache.storage import shared_storage
from core.engine.runs import run
from core.jobs import supervisor
from core.jobs.here import lacking_here, must_wait
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from tests.core.queues import PlayedQueue, change, spec

pytestmark = pytest.mark.usefixtures("quick_supervisor")


@pytest.fixture
def other(store):
    """A queue of another machine at the same database."""
    found = PlayedQueue(store)
    found.supervisor.host = found.supervisor.executor.host = "another"
    return found


def test_a_wrong_clock_does_not_end_running_jobs(played, other, monkeypatch):
    job_id = played.begin()
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 300)
    other.step()
    assert not other.processes and played.job(job_id).state == "running"


def test_database_clock_decides_when_a_silent_job_is_taken_over(played, store, other):
    job_id = played.submit(spec("a"))
    now = played.job(job_id).read
    change(store, job_id, state="running", token="t", handle="first 7 1.0", started=1.0, lease=now + 60, host="another")
    other.step()
    assert other.job(job_id).state == "running" and not other.processes
    change(store, job_id, lease=now - 1)
    other.step()
    assert list(other.supervisor.handles) == [other.job(job_id).token]


@pytest.mark.parametrize(("age", "beating"), [(1.0, True), (supervisor.BEATING_SECONDS + 1, False)])
def test_a_job_is_adopted_by_its_recent_heartbeat(played, store, monkeypatch, age, beating):
    job_id = played.begin()
    later, seen = PlayedQueue(store, played.processes), []
    adopt = later.supervisor.executor.adopt
    monkeypatch.setattr(
        later.supervisor.executor, "adopt", lambda handle, beating: seen.append(beating) or adopt(handle)
    )
    change(store, job_id, heartbeat=later.job(job_id).read - age)
    later.step()
    assert seen == [beating]


def test_job_times_come_from_the_database_clock(played, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 5.0)
    first, late = played.submit(spec("a")), played.submit(spec("late"))
    played.step()
    played.cancel(late)
    job = played.job(first)
    assert min(job.created, job.started, job.lease, job.read, played.job(late).cancel, played.job(late).finished) > 1e9


def test_a_job_waits_for_the_machine_that_has_its_model(played, other, store):
    job_id = played.submit(spec("a folder of mine"))
    other.step()
    assert played.job(job_id).state == "queued"
    change(store, job_id, host=None)  # of an earlier version, which does not state the machine
    other.step()
    assert list(other.supervisor.handles) == [other.job(job_id).token]


def test_jobs_waiting_for_another_machine_do_not_block_the_queue(played, other, machine):
    here = complete("./tiny", "magnitude@0.5", RunSettings(perplexity=[Perplexity.parse("text.txt@32:4")]))
    remote, fits = played.submit(spec("a folder elsewhere")), played.submit(here)
    other.step()
    assert list(other.supervisor.handles) == [played.job(fits).token] and played.job(remote).state == "queued"


def test_a_job_that_needs_a_part_of_a_running_one_waits(played, machine, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_SLOTS", "2")
    text = [Perplexity.parse("text.txt@32:4")]
    dense, pruned, other = (
        played.submit(one)
        for one in (
            complete("./tiny", "dense", RunSettings(perplexity=text)),
            complete("./tiny", "magnitude@0.5", RunSettings(perplexity=text)),
            spec("another model"),
        )
    )
    played.step()
    assert [played.job(one).state for one in (dense, pruned, other)] == ["running", "queued", "running"]


def test_a_machine_runs_only_jobs_whose_files_it_has(machine, tmp_path):
    asked = complete("./tiny", "magnitude@0.5", RunSettings(perplexity=[Perplexity.parse("text.txt@32:4")]))
    assert lacking_here(asked.model_dump_json()) is None
    elsewhere = asked.variant.model_copy(update={"revision": "sha256:0123456789ab"})
    text = Perplexity(corpus="other.txt@01234567", window=32, windows=4)
    (stage,) = asked.variant.stages
    later = asked.variant.model_copy(update={"stages": (stage.model_copy(update={"version": 99}),)})
    for lacking, reason in (
        ({"variant": later}, "its methods have other versions there"),
        ({"variant": elsewhere}, "its model folder is only there"),
        ({"perplexity": (text,)}, "its text is only there"),
        ({"save": str(tmp_path / "folder")}, "it saves its model there"),
    ):
        assert lacking_here(asked.model_copy(update=lacking).model_dump_json()) == reason
    taught = stage.model_copy(update={"parameters": {"teacher": "elsewhere@sha256:0"}})
    variant = asked.variant.model_copy(update={"stages": (taught,)})
    assert lacking_here(asked.model_copy(update={"variant": variant}).model_dump_json())
    assert "variant" in lacking_here("{}")


def test_jobs_of_another_machine_are_rechecked_at_intervals(played, other, monkeypatch):
    asked = []
    played.submit(spec("a folder elsewhere"))
    monkeypatch.setattr(supervisor, "lacking_here", lambda text: asked.append(text) or "not here")
    other.step()
    other.step()
    assert len(asked) == 1
    monkeypatch.setattr(supervisor, "FETCH_SECONDS", -1.0)
    other.step()
    assert len(asked) == 2


def job(chain, text="text.txt@32:2", **how):
    """The JSON of a run of the small model."""
    return pruning(chain, text, **how).model_dump_json()


def pruning(chain, text="text.txt@32:2", **how):
    calibration = TextWindows.parse("text.txt:2x32")
    return complete("tiny", chain, RunSettings(calibration=calibration, perplexity=[Perplexity.parse(text)], **how))


def test_jobs_wait_until_the_dense_model_is_measured(machine):
    store = Store()
    assert must_wait(job("wanda@0.5"), [job("dense")], store, local=False)
    assert must_wait(job("wanda@0.5", threads=1), [job("magnitude@0.5", force=True)], store, local=False)
    assert not must_wait(job("wanda@0.5", text="text.txt@16:2"), [job("dense")], store, local=False)
    assert not must_wait(job("wanda@0.5"), [], store, local=False)
    run(pruning("dense"), store)
    assert not must_wait(job("wanda@0.5"), [job("magnitude@0.5")], store, local=False)


@pytest.mark.parametrize("where", ["here", "shared", "elsewhere"])
def test_jobs_wait_for_a_variant_that_they_can_use(machine, tmp_path, monkeypatch, where):
    store = Store()
    if where == "shared":
        monkeypatch.setenv("SLIMSCOPE_STORAGE", str(tmp_path / "team"))
        assert shared_storage() is not None
    run(pruning("dense"), store)
    longer, first = job("wanda@0.5+rtn@8bit,group_size=16"), job("wanda@0.5+rtn@4bit,group_size=16")
    assert must_wait(longer, [first], store, local=where == "here") == (where != "elsewhere")
    assert not must_wait(longer, [job("wanda@0.3+rtn@4bit,group_size=16")], store, local=True)
    run(pruning("wanda@0.5"), store)
    assert not must_wait(longer, [first], store, local=True)
