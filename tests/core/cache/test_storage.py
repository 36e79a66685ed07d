"""Shared storage: samples, logs and compressed models of one machine reach another."""

import pytest

from core.base.errors import StorageError, UserError
from core.base.paths import cached_variant
from core.cache.storage import Storage, shared_storage
from core.engine.runs import run
from core.jobs.logs import log_file, log_tail, share_log
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store


@pytest.fixture
def storage(request, tmp_path, monkeypatch):
    """A storage in a folder, or the one of fsspec's others that the parameter names."""
    monkeypatch.setenv("SLIMSCOPE_STORAGE", getattr(request, "param", None) or str(tmp_path / "team"))
    found = shared_storage()
    yield found
    for name in ("samples", "logs", "variants"):
        found.delete(name)


@pytest.mark.parametrize("storage", [None, "memory://team"], indirect=True)
def test_a_file_is_sent_listed_fetched_and_deleted(storage, tmp_path):
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"0123456789")
    assert storage.names("logs") == frozenset() and storage.tail("logs/a", 3) is None
    assert not storage.fetch("logs/a", other) and not other.exists()
    storage.send(file, "logs/a")
    assert storage.names("logs") == {"a"}
    assert [storage.tail("logs/a", size) for size in (3, 99)] == [b"789", b"0123456789"]
    assert storage.fetch("logs/a", other) and other.read_bytes() == b"0123456789"
    storage.delete("logs/a")
    storage.delete("logs/a")
    assert storage.names("logs") == frozenset()


def test_what_is_no_storage_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="SLIMSCOPE_STORAGE is 'nothing://x', which cannot be opened: "):
        Storage("nothing://x")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"The shared storage .*file failed: "):
        Storage(str(tmp_path / "file")).send(tmp_path / "file", "logs/a")


def test_a_log_is_read_on_another_machine(storage, tmp_path, monkeypatch, results_dir):
    log_file(7).parent.mkdir(parents=True)
    log_file(7).write_text("first\nsecond\n")
    share_log(7)
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "other"))
    assert log_tail(7, 1) == "second" and log_tail(8, 1) == ""


def measured(chain):
    """The run of a chain of the small model on texts in its folder."""
    text = [Perplexity.parse("text.txt@32:2")]
    return complete("tiny", chain, RunSettings(calibration=TextWindows.parse("text.txt:2x32"), perplexity=text))


@pytest.fixture
def move(machine, tmp_path, monkeypatch):
    """Return a function after which this process is on another machine, which has the first one's database."""

    def moved():
        monkeypatch.setenv("SLIMSCOPE_DB", str(Store().url))
        monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "other"))
        monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "other-cache"))
        return Store()

    return moved


@pytest.mark.parametrize("storage", [None, pytest.param("memory://team", marks=pytest.mark.full)], indirect=True)
def test_samples_and_compressed_models_reach_another_machine(storage, move, applied):
    result = run(measured("wanda@0.5"), Store())
    (row,) = result.measurements
    own = Store().samples(result.variant.key, row)
    store = move()
    assert store.samples(result.variant.key, row).equals(own)
    assert not cached_variant(result.variant.key).exists()
    run(measured("wanda@0.5+rtn@8bit,group_size=16"), store)
    assert cached_variant(result.variant.key).exists() and applied.count("wanda") == 1
    store.delete(result.variant.key)
    assert result.variant.key not in storage.names("variants") | storage.names("samples")


def test_a_damaged_model_of_the_storage_is_made_again(storage, move, tmp_path, applied):
    result = run(measured("wanda@0.5"), Store())
    (tmp_path / "damaged").write_bytes(b"nothing")
    storage.send(tmp_path / "damaged", f"variants/{result.variant.key}/model.safetensors")
    store = move()
    run(measured("wanda@0.5+rtn@8bit,group_size=16"), store)
    assert applied.count("wanda") == 2


def test_a_variant_that_cannot_be_shared_is_kept_here_and_numbers_are_shown(machine, tmp_path, monkeypatch):
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "variants").write_text("not a folder")
    monkeypatch.setenv("SLIMSCOPE_STORAGE", str(tmp_path / "team"))
    result = run(measured("wanda@0.5"), Store())
    (row,) = result.measurements
    assert cached_variant(result.variant.key).is_dir()
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "other"))
    monkeypatch.setenv("SLIMSCOPE_STORAGE", str(tmp_path / "team" / "variants" / "below"))
    assert Store().samples(result.variant.key, row) is None
