"""Models that stream from disk, block by block: their weights and numbers equal those of the whole model in memory."""

import os
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.base.errors import CancelledError, StorageError, UserError
from core.base.paths import cache_dir
from core.base.progress import silent
from core.cache import checkpoint, disk
from core.cache.shelf import Shelf
from core.engine.runs import run
from core.engine.variants import load_cached
from core.engine.walking import walker
from core.evaluation import states
from core.evaluation.perplexity import perplexity
from core.models.facts import load_shape
from core.models.kinds import separated
from core.models.parts import shards
from core.models.parts.finished import unfinished
from core.models.sources import identify, load_model
from core.protocols import satisfies
from core.request import execution
from core.request.complete import complete
from core.request.execution import LEAST_BYTES, choose_execution, memory_budget, parse_memory
from core.request.expected.estimate import estimate_left
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from tests.core.engine.applied import stopping
from tests.core.tiny import ARCHITECTURES, OTHERS, layout_of, tiny, windows

pytestmark = pytest.mark.usefixtures("machine")

CHAINS = [  # each kind of runner that works block by block, and each kind of calibration
    "wanda@0.5",
    "sparsegpt@0.5+adaprune",
    "autoround@4bit,group_size=0,iterations=2",
    "svd-llm@0.3",
    "slimllm@0.25",
    "flap@0.25",
    "lorap@0.25",
    "gptq@3.5bit,group_size=0",
    "shortgpt@0.5",
    "rotate+rtn@4bit,group_size=0",
    "embedding-lowrank@2x",
    "wanda@0.5+rtn@4bit,on=embedding,group_size=0",
    "gptq@4bit,group_size=0+distill-white,batch=2,steps=2,held_out=1",
]
MIXTURE_CHAINS = ["reap@0.25", "wanda@0.5+adaprune+rtn@4bit,on=embedding,group_size=0"]


def requested(chain, **more):
    calibration, text = TextWindows.parse("text.txt:4x32"), Perplexity.parse("text.txt@32:6")
    return complete("./tiny", chain, RunSettings(calibration=calibration, perplexity=[text], **more))


def made(spec):
    """Run `spec` anew; return its weights, its perplexity and its details."""
    (text,), measurements = spec.perplexity, run(spec.model_copy(update={"force": True}), Store()).measurements
    (row,) = (row for row in measurements if satisfies(row, text, spec.variant.dtype))  # bundled rows may be others
    model, _ = load_cached(spec.variant, mapped=spec.memory is not None)
    return model.state_dict(), row.value, row.details


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("place", "chain"), [*(("machine", chain) for chain in CHAINS), *(("mixture", chain) for chain in MIXTURE_CHAINS)]
)
def test_a_model_that_streams_gives_the_same_weights_and_numbers(place, chain, dtype, monkeypatch, request):
    request.getfixturevalue(place)
    monkeypatch.setattr(walker, "choose_walk_mode", lambda *args: (1, 0))  # equal in both
    weights, value, details = made(requested(chain, dtype=dtype))
    assert "execution" not in details
    streamed, same, how = made(requested(chain, dtype=dtype, memory=1))
    assert how["execution"] == "streaming"
    assert weights.keys() == streamed.keys() and all(torch.equal(weights[name], streamed[name]) for name in weights)
    assert same == value


@pytest.fixture
def mixture(weights):
    """Put a mixture of experts in the place of the model; its files hold stacked experts in the published layout."""
    tiny("mixtral", num_hidden_layers=3).save_pretrained(weights.parent)


@pytest.mark.usefixtures("mixture")
def test_a_mixture_that_streams_is_saved_for_plain_transformers(tmp_path):
    """With the stacked tensors of one layer in memory at a time."""
    saved = tmp_path / "saved"
    spec = requested("wanda@0.5", memory=1).model_copy(update={"save": str(saved)})
    run(spec, Store())
    plain, loading = AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32, output_loading_info=True)
    assert not any(loading.values())
    model, _ = load_cached(spec.variant, mapped=True)
    tokens = windows(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(plain(tokens).logits, model(tokens).logits)


def test_fidelity_streams():
    spec = requested("wanda@0.5", fidelity=True)
    whole = {row.metric: row.value for row in run(spec, Store()).measurements}
    shutil.rmtree(cache_dir() / "dense_outputs")
    again = run(spec.model_copy(update={"force": True, "memory": 1}), Store())
    assert {row.metric: row.value for row in again.measurements} == whole


@pytest.mark.matrix(name=layout_of, held=str)
@pytest.mark.parametrize("held", [1, 2**29])
@pytest.mark.parametrize("name", [*ARCHITECTURES, *OTHERS])
def test_losses_block_by_block_equal_those_of_the_whole_model(name, held, monkeypatch):
    monkeypatch.setattr(states, "HELD_BYTES", held)
    model, texts, updates = tiny(name), {"a": windows(3, 20), "b": windows(2, 20, seed=2)}, []

    def progress(stage, done, total, what):
        updates.append(what)

    (*whole,), (*streamed,) = (perplexity(model, texts, progress, by_block=by_block) for by_block in (None, "key"))
    assert [one.text for one in streamed] == ["a", "b"]
    assert all(one.samples.equals(other.samples) for one, other in zip(whole, streamed, strict=True))
    assert any(f"block 1 of {model.config.get_text_config().num_hidden_layers}" in what for what in updates)


def test_an_interrupted_measurement_resumes_after_its_last_kept_block(monkeypatch):
    monkeypatch.setattr(checkpoint, "INTERVAL", 0)
    monkeypatch.setattr(checkpoint, "PAUSE", 0)
    model, texts, updates = tiny("llama-gqa", num_hidden_layers=4), {"a": windows(3, 20)}, []
    (whole,) = perplexity(model, texts, silent)
    with pytest.raises(CancelledError):
        list(perplexity(model, texts, stopping(lambda *update: "block 2" in update[-1]), by_block="key"))
    assert len(unfinished()) == 1
    (resumed,) = perplexity(model, texts, lambda *done: updates.append(done[-1]), by_block="key")
    assert resumed.samples.equals(whole.samples) and resumed.seconds > 0
    assert [what for what in updates if "block" in what] == ["a, block 3 of 4"]
    assert unfinished() == []


def test_weights_on_a_shelf_are_equal_and_lie_in_a_file_without_a_name():
    model, tokens = tiny("llama-gqa"), windows(2, 20)
    before = model(tokens).logits
    place = Shelf(0)
    for block in model.model.layers:
        place.put(block)
    assert torch.equal(model(tokens).logits, before)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.zero_()  # a later stage can change them
    assert not torch.equal(model(tokens).logits, before)
    assert list((cache_dir() / "shelf").iterdir()) == []


def test_a_full_disk_is_one_sentence(monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(3 * 10**9))
    with pytest.raises(StorageError, match=r"^Streaming needs 5\.0 GB of disk, but .* has only 2\.0 GB to spare\."):
        Shelf(5 * 10**9)


@pytest.fixture
def weights(machine, tmp_path, monkeypatch):
    """Return the file of weights of a model that the test may change."""
    shutil.copytree(Path.cwd(), tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own" / "tiny" / "model.safetensors"


@pytest.mark.parametrize("change", [os.utime, lambda file: file.write_bytes(b"?"), Path.unlink])
def test_files_that_change_during_a_run_are_one_sentence_and_finished_blocks_stay(change, weights):
    spec, steps = requested("wanda@0.5", memory=1), []
    content, before = weights.read_bytes(), weights.stat()

    def progress(what, done, total, detail=""):
        if what == "compress":
            steps.append(done)
            if done == 7:  # the last linear of the first block; the mapped file stays
                weights.rename(weights.with_name("mapped"))
                weights.write_bytes(content)
                change(weights)

    with pytest.raises(UserError, match=rf"^{re.escape(str(weights))} has changed since the run started\. Restore it"):
        run(spec, Store(), progress)
    weights.with_name("mapped").replace(weights)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    (kept,) = unfinished()
    assert (kept / "0").is_dir()
    steps.clear()
    run(spec, Store(), lambda what, done, *_: steps.append(done) if what == "compress" else None)
    assert steps == [0, *range(8, 15)]
    assert unfinished() == []


def test_a_finished_block_that_changes_during_a_run_is_one_sentence_and_is_computed_again():
    spec = requested("wanda@0.5", memory=1)

    def progress(what, done, total, detail=""):
        if (what, done) == ("compress", 9):  # in the second block
            (kept,) = unfinished()
            with (kept / "0" / "weights.safetensors").open("r+b") as file:
                file.seek(-5000, os.SEEK_END)
                file.write(b"\x3f" * 4)

    with pytest.raises(UserError, match=r"^\S+/0/weights\.safetensors has changed since the run wrote it\."):
        run(spec, Store(), progress)
    assert load_cached(spec.variant) is None and Store().get(spec.variant.key) is None
    again = run(spec, Store())
    assert [row.value for row in again.measurements if row.of_text] == [made(spec)[1]] and unfinished() == []


def test_a_truncated_file_of_weights_is_one_sentence(weights):
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"^[^\n]*tiny[^\n]*\.$"):
        run(requested("wanda@0.5", memory=1), Store())


def test_weights_in_another_precision_are_converted_once(monkeypatch):
    source = identify("./tiny")
    monkeypatch.setattr(shards, "PART_BYTES", 1)  # a file for each tensor
    whole, mapped = (load_model(source, "bfloat16", mapped=mapped).state_dict() for mapped in (False, True))
    assert whole.keys() == mapped.keys() and all(torch.equal(whole[name], mapped[name]) for name in whole)
    monkeypatch.setattr(separated, "build_once", None)
    load_model(source, "bfloat16", mapped=True)
    load_model(source, "float32", mapped=True)  # as stored


def test_the_estimate_says_why_a_model_streams():
    store = Store()
    assert estimate_left([requested("wanda@0.5")], store).streaming == ""
    found = estimate_left([requested("wanda@0.5", memory=LEAST_BYTES)], store)
    assert found.streaming == (
        "The model streams from disk, block by block: the whole needs 0.8 GB, and the budget is 0.5 GB. "
        "It takes up to 0.1 GB of disk meanwhile."
    )


def test_the_disk_of_a_chain_has_the_variants_that_the_cache_keeps(monkeypatch):
    shape = load_shape(identify("./tiny"))

    def disk(chain):
        spec = requested(chain, memory=1)
        return choose_execution(spec, spec.variant.stages, shape).disk

    alone, chain = "magnitude@0.5", "magnitude@0.5+rtn@4bit,group_size=0"
    assert disk(chain) == disk(alone) + shape.parameters * 4
    monkeypatch.setattr(execution, "CACHE_BYTES", 0)
    assert disk(chain) == disk(alone)
    assert choose_execution(requested(alone, memory=1), (), shape).disk == 0  # it only measures


@pytest.mark.parametrize(
    ("chain", "more", "obstacle"),
    [
        ("slicegpt@0.3", {}, "SliceGPT"),
        ("wanda@0.5", {"latency": True}, "the latency"),
        ("wanda@0.5", {"scan": "block"}, "the sensitivity scan"),
    ],
)
def test_what_needs_the_whole_model_is_refused_if_it_exceeds_a_stated_budget(chain, more, obstacle, monkeypatch):
    shape, spec = load_shape(identify("./tiny")), requested(chain, memory=LEAST_BYTES, **more)
    found = choose_execution(spec, spec.variant.stages, shape)
    assert not found.streams and found.refusal == (
        "This run needs 0.8 GB of memory, but its budget is 0.5 GB. It cannot stream its model from disk, because "
        f"{obstacle} needs the whole model in memory."
    )
    with pytest.raises(UserError, match=re.escape(found.refusal)):
        run(spec, Store())
    free = spec.model_copy(update={"memory": None})
    monkeypatch.setattr(execution, "SHARE", 0)  # without a stated budget it runs, whatever is free
    assert choose_execution(free, free.variant.stages, shape).refusal == ""
    monkeypatch.setenv("SLIMSCOPE_MEMORY", "500MB")
    assert choose_execution(free, free.variant.stages, shape).refusal == found.refusal


def test_a_budget_is_stated_or_a_share_of_the_free_memory(monkeypatch):
    monkeypatch.delenv("SLIMSCOPE_MEMORY", raising=False)
    assert memory_budget(None) > 0
    monkeypatch.setenv("SLIMSCOPE_MEMORY", "3GB")
    assert memory_budget(None) == 3 * 10**9 and memory_budget(7) == 7
    for text in ("much", "", "-3GB", "3 elephants"):
        with pytest.raises(UserError, match=r"^--memory is .*, not a size such as 6GB or 500MB|needs at least 500 MB"):
            parse_memory(text)
    monkeypatch.setenv("SLIMSCOPE_MEMORY", "300MB")
    with pytest.raises(UserError, match=r"^SLIMSCOPE_MEMORY is .300MB., but a run needs at least 500 MB\."):
        memory_budget(None)
