"""Damaged files of samples: each counts as none, is named, and is measured again where a run asks for it."""

import os

import pandas
import pytest

from core.base import paths
from core.base.errors import StorageError
from core.engine.runs import run
from core.request.baseline import remaining_run
from core.request.complete import complete
from core.request.settings import RunSettings
from core.results import Measurement
from core.specs import Perplexity
from core.store import sample_files, samples
from core.store.store import Store
from tests.core.factories import KEY, make

TASK = Measurement(metric="acc", dataset="piqa", value=0.5, n=40, protocol={"limit": 40, "fewshot": 0})
FRAME = pandas.DataFrame({"doc_id": range(40), "loglikelihoods": [[-1.0, -2.0]] * 40, "acc": [1.0, 0.0] * 20})


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


def flip(file):
    """Flip a bit of the values, before the footer."""
    content = bytearray(file.read_bytes())
    content[content.index(b"\x28\xb5\x2f\xfd") + 9] ^= 0x40  # within the first compressed page
    file.write_bytes(content)


def replaced(**columns):
    return lambda file: pandas.DataFrame(columns).to_parquet(file)


def folder(file):
    file.unlink()
    file.mkdir()


DAMAGE = {
    "cut": cut,
    "empty": lambda file: file.write_bytes(b""),
    "garbage": lambda file: file.write_bytes(b"PAR1" + os.urandom(500)),
    "a flipped bit": flip,
    "texts for numbers": replaced(doc_id=range(40), acc=["yes"] * 40),
    "lists for numbers": replaced(doc_id=range(40), acc=[[1.0]] * 40),
    "texts for choices": replaced(doc_id=range(40), acc=[1.0] * 40, loglikelihoods=[["a"]] * 40),
    "no documents": replaced(acc=[1.0] * 40),
    "a folder": folder,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("bundled", [False, True], ids=["own", "shipped"])
def test_a_damaged_file_counts_as_missing_and_is_named(damage, bundled, caplog):
    store = Store()
    file = store.put_samples(KEY, TASK, FRAME)
    if bundled:
        file = samples.ship_samples(make(TASK), paths.SHIPPED_MEASURED)
        samples.delete_samples(KEY)
    assert len(store.samples(KEY, TASK)) == 40 and samples.damaged([KEY]) == []
    os.utime(file, ns=(1, 1))
    damage(file)
    assert store.samples(KEY, TASK) is None and store.samples(KEY, TASK) is None
    assert samples.lost(KEY, TASK)
    (words,) = samples.damaged([KEY])
    assert words.startswith(f"The samples in {file} are skipped (") and "\n" not in words
    assert caplog.messages == [words]  # once
    assert samples.damaged(["b" * 64]) == []
    store.put_samples(KEY, TASK, FRAME)
    assert not samples.lost(KEY, TASK) and len(store.samples(KEY, TASK)) == 40
    assert bool(samples.damaged([KEY])) == bundled  # the bundled file still is damaged


def test_a_file_that_contradicts_the_number_is_named(caplog):
    store, other = Store(), TASK.model_copy(update={"value": 0.75})
    file = store.put_samples(KEY, TASK, FRAME)
    assert store.samples(KEY, other) is None and store.samples(KEY, other) is None
    words = f"The samples in {file} do not give acc = 0.75; run or import the variant again to replace them."
    assert samples.damaged([KEY]) == [words] == caplog.messages  # once
    assert samples.lost(KEY, other) and samples.damaged(["b" * 64]) == []
    assert len(store.samples(KEY, TASK)) == 40 and samples.damaged([KEY]) == []  # its own number
    norm = TASK.model_copy(update={"metric": "acc_norm"})
    assert store.samples(KEY, norm) is None and samples.damaged([KEY]) == [] and not samples.lost(KEY, norm)
    store.put_samples(KEY, other, FRAME.assign(acc=[1.0, 1.0, 1.0, 0.0] * 10))
    assert samples.damaged([KEY]) == [] and not samples.lost(KEY, other)


def test_bundled_samples_replace_those_of_another_number():
    store, other = Store(), TASK.model_copy(update={"value": 0.75})
    store.put_samples(KEY, other, FRAME.assign(acc=[1.0, 1.0, 1.0, 0.0] * 10))
    samples.ship_samples(make(other), paths.SHIPPED_MEASURED)
    store.put_samples(KEY, TASK, FRAME)
    assert len(store.samples(KEY, other)) == 40 and samples.damaged([KEY]) == []


def test_bundled_samples_replace_damaged_ones():
    store = Store()
    file = store.put_samples(KEY, TASK, FRAME)
    samples.ship_samples(make(TASK), paths.SHIPPED_MEASURED)
    cut(file)
    assert len(store.samples(KEY, TASK)) == 40 and not samples.lost(KEY, TASK)
    assert len(samples.damaged([KEY])) == 1
    file.unlink()
    assert samples.damaged([KEY]) == []


def test_samples_are_synced_before_their_rename(monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("renamed"), rename(*names)))
    file = Store().put_samples(KEY, TASK, FRAME)
    assert done == [str(file.with_suffix(f".{os.getpid()}.part")), "renamed", str(file.parent)]


def test_samples_that_cannot_be_written_leave_no_files(monkeypatch):
    monkeypatch.setattr(sample_files, "_sync", lambda path: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StorageError, match=r"cannot be written to .*: No space left"):
        Store().put_samples(KEY, TASK, FRAME)
    assert not list((paths.local_results_dir() / "samples").glob("*/*"))


@pytest.mark.model
def test_a_run_whose_samples_are_damaged_is_measured_again(machine):
    asked = complete("./tiny", "magnitude@0.5", RunSettings(perplexity=[Perplexity.parse("text.txt@32:4")]))
    store = Store()
    first = run(asked, store)
    assert not remaining_run(asked, store)
    row = next(row for row in first.measurements if row.metric == "perplexity")
    for file in (paths.local_results_dir() / "samples").glob("*/*.parquet"):  # the dense model's, too
        cut(file)
    assert store.samples(first.variant.key, row) is None
    assert [part.variant.stages[0].method for part in remaining_run(asked, store)] == ["magnitude", "dense"]
    again = run(asked, store)
    assert again.measurement(row).value == row.value
    assert len(store.samples(first.variant.key, row)) == 4 and not remaining_run(asked, store)
