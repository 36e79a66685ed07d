"""What a run resolves, each once for the variant and its dense baseline, and tasks scored in another precision."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from core.base.errors import UserError
from core.cli.app import main
from core.data import files
from core.engine.runs import run
from core.models.parts.precision import in_precision
from core.request.baseline import baseline, missing_part, remaining_run
from core.request.complete import complete
from core.request.reproduce import reproduce
from core.request.settings import RunSettings
from core.specs import Perplexity, RunSpec, Task, TextWindows
from core.store.store import Store
from tests.core.commands import WORDS
from tests.core.data.task_rows import PIQA, PIQA_FILE, write
from tests.core.tiny import tiny

pytestmark = pytest.mark.usefixtures("machine")

CHAINS = {
    "calibrated": "sparsegpt@0.5",
    "trained": "magnitude@0.5+lora,batch=4,steps=1,rank=2,held_out=1",
    "distilled": "magnitude@0.5+distill-white,batch=4,steps=1,rank=2,held_out=1",
    "taught": "magnitude@0.5+distill-black,batch=4,steps=1,rank=2,held_out=1,answer_tokens=4",
    "taught by another": "magnitude@0.5+distill-white,batch=4,steps=1,rank=2,held_out=1,teacher=teacher",
}


@pytest.fixture
def data(machine, tmp_path, monkeypatch):
    """A data folder with the documents of a task and the rows of two corpora."""
    text = [{"text": " ".join(WORDS)} for _ in range(20)]
    tables = {
        PIQA_FILE: PIQA,
        "wikitext2/wikitext-2-raw-v1_test.parquet": text,
        "calibration/c4_en_sample.parquet": text,
    }
    for name, content in tables.items():
        write(tmp_path / "data" / name, content)
    monkeypatch.setenv("SLIMSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


def requested(chain, **more):
    texts = [Perplexity.parse(text) for text in ("text.txt@32:4", "wikitext2@32:4", "wikitext2@16:2:spread")]
    return complete(
        "./tiny",
        chain,
        RunSettings(
            calibration=TextWindows.parse("c4-sample:4x32"),
            train=TextWindows.parse("text.txt:8x16"),
            perplexity=texts,
            tasks=[Task.parse("piqa:6")],
            **more,
        ),
    )


def counted(monkeypatch, place, name):
    """Count the calls of a function of a path by this path."""
    calls, real = Counter(), getattr(place, name)

    def counting(path, *given, **more):
        calls[Path(path)] += 1
        return real(path, *given, **more)

    monkeypatch.setattr(place, name, counting)
    return calls


@pytest.fixture
def reads(monkeypatch):
    """The number of times that each existing file is opened for reading by `pathlib`, as the project does."""
    calls, real = Counter(), Path.open

    def counting(path, mode="r", *given, **more):
        if "r" in mode and path.is_file():
            calls[path.resolve()] += 1
        return real(path, mode, *given, **more)

    monkeypatch.setattr(Path, "open", counting)
    return calls


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("kind", CHAINS)
def test_a_run_reads_each_file_once(kind, reads, tmp_path, monkeypatch):
    others = [Path(shutil.copytree("tiny", "teacher")).resolve()] if kind == "taught by another" else []
    spec, store, model = requested(CHAINS[kind]), Store(), Path("tiny").resolve()
    given = {path for place in (model.parent, tmp_path) for path in place.rglob("*") if path.is_file()}
    reads.clear()
    tables = counted(monkeypatch, files, "table")
    tokenizers = counted(monkeypatch, transformers.AutoTokenizer, "from_pretrained")
    weights = counted(monkeypatch, transformers.AutoModelForCausalLM, "from_pretrained")
    result = run(spec, store)
    assert {row.metric for row in result.measurements} >= {"perplexity", "acc"} and len(store.results()) >= 2
    assert model / "config.json" in reads
    assert {path: count for path, count in reads.items() if path in given and count > 1} == {}
    assert set(tables.values()) == {1}
    assert tokenizers == dict.fromkeys([model, *others], 1)
    # Compression is in place, so the baseline reads the weights again, and so does a teacher.
    assert weights == {model: 3 if kind in ("distilled", "taught") else 2} | dict.fromkeys(others, 1)


@pytest.fixture
def model(tmp_path):
    """A copy of the small model, which a test may change."""
    return shutil.copytree("tiny", tmp_path / "own")


def test_another_model_than_requested_is_rejected_before_any_computation(model):
    spec, store = complete(str(model), "magnitude@0.5"), Store()
    with (model / "config.json").open("a") as config:
        config.write(" ")
    with pytest.raises(UserError, match=r"is now at revision .*; start the run again"):
        run(spec, store, lambda *step: pytest.fail(f"started {step}"))
    assert store.results() == []


def test_weights_that_change_before_they_are_loaded_give_no_number(model):
    spec, store = complete(str(model), "magnitude@0.5"), Store()

    def progress(stage, *_):
        if stage == "load":
            (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())

    with pytest.raises(UserError, match=r"model\.safetensors has changed since the run started"):
        run(spec, store, progress)
    assert store.results() == []


@pytest.fixture
def hub(model, monkeypatch):
    """A hub with the small model, which is not on this machine before its download; the calls of its functions."""
    calls = Counter()

    def revision(repo, gated=False):
        calls["revision"] += 1
        return "c" * 40 if not calls["changed"] else "d" * 40

    def download(repo, commit, progress):
        calls["download"] += 1
        progress("download", 1, 1, "model.safetensors")
        return model

    monkeypatch.setattr("core.cache.hub.revision", revision)
    monkeypatch.setattr("core.cache.hub.cached_folder", lambda *_: model if calls["download"] else None)
    monkeypatch.setattr("core.cache.hub.download_config", lambda *_: model / "config.json")
    monkeypatch.setattr("core.cache.hub.download_model", download)
    return calls


def test_a_model_of_the_hub_is_resolved_and_downloaded_once(hub, model, reads):
    spec = complete("org/small", "magnitude@0.5", RunSettings(perplexity=[Perplexity.parse("text.txt@32:2")]))
    hub.clear()
    reads.clear()
    downloads = []
    result = run(spec, Store(), lambda stage, *step: downloads.append(step[-1]) if stage == "download" else None)
    assert downloads == ["model.safetensors"]  # not as that of the dense model, which is measured last
    assert hub == {"revision": 1, "download": 1} and reads[model / "config.json"] == 1
    assert (result.variant.model, result.variant.revision) == ("org/small", "c" * 40)


def test_another_commit_of_the_hub_is_rejected(hub):
    spec = complete("org/small", "magnitude@0.5", RunSettings(perplexity=[Perplexity.parse("text.txt@32:2")]))
    hub["changed"] = 1
    with pytest.raises(UserError, match=r"org/small is now at revision dddd.*, not cccc.*; start the run again"):
        run(spec, Store())
    assert not hub["download"]


OWN, OTHER = TextWindows.parse("text.txt:4x32"), "differs? from the catalogue's; use (its|their) id, {}@.*, instead"
CATALOGUED = {
    "piqa": {"tasks": [Task.parse("piqa:4")], "perplexity": [Perplexity.parse("text.txt@32:4")]},
    "wikitext2": {"perplexity": [Perplexity.parse("wikitext2@32:4")]},
    "c4-sample": {
        "calibration": TextWindows.parse("c4-sample:4x32"),
        "perplexity": [Perplexity.parse("text.txt@32:4")],
    },
}


@pytest.mark.parametrize("name", CATALOGUED)
def test_another_text_than_that_of_its_id_is_rejected(name, request):
    spec = complete("./tiny", "wanda@0.5", RunSettings(**{"calibration": OWN, **CATALOGUED[name]}))
    request.getfixturevalue("data")  # now there are texts, but not those of the catalogue
    with pytest.raises(UserError, match=OTHER.format(name)):
        run(spec, Store())


def scored(scoring=None, **more) -> RunSpec:
    text = Perplexity.parse("text.txt@32:2")
    return complete(
        "./tiny",
        "magnitude@0.5",
        RunSettings(perplexity=[text], tasks=[Task.parse("piqa:10")], scoring=scoring, **more),
    )


def accuracies(result):
    return {row.protocol["dtype"]: row for row in result.measurements if row.metric == "acc"}


def test_each_precision_has_its_own_rows_and_samples(data):
    store = Store()
    assert missing_part(scored("bfloat16"), run(scored(), store)).tasks
    found = accuracies(result := run(scored("bfloat16"), store))
    assert found.keys() == {"float32", "bfloat16"}
    assert missing_part(scored("bfloat16"), result) is None and missing_part(scored(), result) is None
    assert missing_part(scored("float16"), result).tasks and not missing_part(scored("float16"), result).perplexity
    (whole, half) = (store.samples(result.variant.key, found[dtype]) for dtype in ("float32", "bfloat16"))
    gaps = [abs(a - b) for a, b in zip(whole["loglikelihoods"].sum(), half["loglikelihoods"].sum(), strict=True)]
    assert 0 < max(gaps) < 1
    assert [row.protocol["dtype"] for row in result.measurements if row.of_text] == ["float32"]


def test_the_dense_baseline_is_scored_in_the_same_precision(data):
    store, wanted = Store(), scored("bfloat16")
    run(wanted, store)
    assert accuracies(store.get(baseline(wanted).variant.key)).keys() == {"bfloat16"}
    assert remaining_run(wanted, store) == [] and len(remaining_run(scored(), store)) == 2


def test_a_later_export_has_the_original_weights(data, tmp_path):
    for name, scoring in (("before", None), ("after", "bfloat16")):
        run(scored(scoring).model_copy(update={"save": str(tmp_path / name), "force": True}), Store())
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("before", "after"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_precision_of_the_variant_is_no_separate_setting(data):
    assert scored("float32") == scored()
    assert scored("bfloat16", dtype="bfloat16") == scored(dtype="bfloat16")


def test_scoring_precision_can_be_reproduced(data, capsys):
    store = Store()
    run(scored(), store)
    lines = reproduce(run(scored("bfloat16"), store)).split("\n")
    assert len(lines) == 2 and "--eval-dtype" not in lines[0] and lines[1].endswith("--eval-dtype bf16")
    for line in lines:
        assert main(line.split()[1:]) == 0
        assert "Estimated" not in capsys.readouterr().err  # everything is stored


def test_weights_are_restored_bit_by_bit():
    model = tiny(tie_word_embeddings=True)
    own, places = [p.clone() for p in model.parameters()], [p.data_ptr() for p in model.parameters()]
    turns = model.model.rotary_emb.inv_freq.clone()
    with pytest.raises(RuntimeError, match="on purpose"), in_precision(model, "bfloat16"):
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
        assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
        assert torch.equal(model.model.rotary_emb.inv_freq, turns)
        raise RuntimeError("on purpose")
    assert all(map(torch.equal, own, model.parameters()))
    assert places == [p.data_ptr() for p in model.parameters()]


def test_a_weight_beyond_the_precision_is_rejected():
    model = tiny()
    model.model.norm.weight.data[0] = 1e5
    with pytest.raises(UserError, match="exceeds the range of fp16; score in bf16"), in_precision(model, "float16"):
        pass
    assert model.dtype == torch.float32
