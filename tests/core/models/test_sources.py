"""Models in folders, of the catalogue and of the wheel: their identity, their sizes, and what is refused."""

import math
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from core.base.errors import UserError
from core.models.catalogue import BY_ID, MODELS
from core.models.facts import dense_sizes, load_shape
from core.models.parts.blocks import find_blocks
from core.models.parts.experts import separate_experts
from core.models.shape import shape_from_config
from core.models.sources import identify, identify_again, load_model, load_tokenizer
from tests.core.tiny import ARCHITECTURES, OTHERS, layout_of, tiny
from tests.core.tiny_folder import ODD, edit
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("cache")


def test_a_folder_is_identified_by_its_name_and_content(folder, tmp_path):
    source = identify(str(folder))
    assert (source.id, source.kind, source.folder) == ("my-llama", "folder", folder)
    assert source.revision.startswith("sha256:") and len(source.revision) == 19
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "my-llama")
    assert identify(str(copy)).revision == source.revision
    with (copy / "tokenizer_config.json").open("a") as settings:
        settings.write("\n")
    assert identify(str(copy)).revision != source.revision


def test_a_folder_never_takes_the_name_of_a_catalogue_model(folder):
    taken = folder.rename(folder.with_name("opt-125m"))
    assert identify(str(taken)).id == "opt-125m-folder"
    assert identify("opt-125m-folder").folder == taken


@pytest.mark.parametrize("name", ["Llama (1B)", "a@b", "x,y", ".hidden", "~root", "core", "é" * 127, "n" * 255])
def test_a_folder_may_have_any_name(folder, name, tmp_path, monkeypatch):
    place = folder.rename(folder.with_name(name))
    found = identify(str(place))
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / name).mkdir(parents=True)  # a folder that is no model
    monkeypatch.chdir(elsewhere)
    assert identify_again(found.id, found.revision) == found
    assert identify(found.id) == found
    (cache,) = {path.parent.parent for path in tmp_path.rglob("cache/folders/*")}
    assert cache == tmp_path / "cache"


def test_a_path_that_is_no_text_is_rejected_with_a_sentence(folder):
    with pytest.raises(UserError, match=r"is not UTF-8"):
        identify(str(folder.rename(folder.with_name(os.fsdecode(b"\xff")))))


def test_a_run_finds_its_own_folder_among_equal_names(folder, tmp_path, monkeypatch):
    first = identify(str(folder))
    other = shutil.copytree(folder, tmp_path / "elsewhere" / "my-llama")
    tiny(vocab_size=257, seed=1).save_pretrained(other)
    second = identify(str(other))
    monkeypatch.chdir(other.parent)
    assert identify("my-llama") == second != first
    assert identify_again(first.id, first.revision) == first
    shutil.rmtree(folder)
    assert identify_again(first.id, first.revision) == second  # by its revision


def test_an_unknown_model_is_rejected_with_a_sentence():
    for name, sentence in (
        ("smollm2-135", "did you mean 'smollm2-135m'"),
        ("./no-such-folder", "There is no folder './no-such-folder'"),
        ("opt-175b", "no public weights.*on request"),
        ("nothing-like-it-at-all", "Unknown model"),
    ):
        with pytest.raises(UserError, match=sentence):
            identify(name)
    for name in ("n" * 300, "~nouser/x", "/" + "n" * 300, "a\0b", "\ud800", ""):  # which cannot be paths
        with pytest.raises(UserError, match=r"There is no|Unknown model|has no public"):
            identify(name)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "additional_chat_templates/x.jinja"])
def test_a_pipe_in_a_model_folder_is_rejected(folder, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=r"is a pipe, not a regular file; give a file on a disk\.$"):
        identify(str(folder))
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is a device, not a regular file"):
        identify(str(folder))


def test_a_file_that_becomes_a_pipe_before_loading_is_rejected(folder):
    source = identify(str(folder))
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    for load in (load_model, load_tokenizer):
        with pytest.raises(UserError, match="is a pipe, not a regular file"):
            load(source)


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not readable JSON"),
        *((lambda f, text=text: (f / "config.json").write_text(text), "contains no JSON object") for text in ODD),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "not readable JSON"),
        (lambda f: edit(f, rope_scaling={"type": "\ud800"}), "not readable JSON"),
        (lambda f: edit(f, architectures=5), "not a list of names"),
        (lambda f: edit(f, num_hidden_layers=10**9), "has num_hidden_layers = 1000000000; at most 1000 are allowed"),
        (lambda f: edit(f, vision_config={"depths": [1, 100_000]}), r"has depths = \[1, 100000\]; at most 1000"),
        (lambda f: edit(f, architectures=["BertForMaskedLM"]), "is a BertForMaskedLM, not a causal language model"),
        (lambda f: (f / "tokenizer.model").symlink_to("gone"), "tokenizer.model cannot be read: No such file"),
        (lambda f: edit(f, slimscope={}), "give the model it was compressed from"),
        (lambda f: edit(f, quantization_config={"quant_method": "gptq"}), "already quantised"),
        (lambda f: (f / "model.safetensors").unlink(), "no complete set of weights"),
        (
            lambda f: (f / INDEX).write_text('{"weight_map": {"a": "model-2.safetensors"}}'),
            "no complete set of weights",
        ),
        *((lambda f, text=text: (f / INDEX).write_text(text), "contains no JSON object") for text in ODD),
        (lambda f: (f / INDEX).write_text("{"), "not readable JSON"),
        (lambda f: (f / INDEX).write_text("{}"), "has no weight_map from weights to files"),
        (lambda f: (f / INDEX).write_text('{"weight_map": {"a": "../b"}}'), "not a file in the same folder"),
    ],
)
def test_an_unusable_folder_is_rejected_with_a_sentence(folder, spoil, sentence):
    spoil(folder)
    with pytest.raises(UserError, match=sentence):
        identify(str(folder))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_size": "64"}, "has hidden_size = '64'; give a whole number above 0"),
        ({"max_position_embeddings": math.nan}, "has max_position_embeddings = nan"),
        ({"num_attention_heads": 0}, "has num_attention_heads = 0"),
        ({"num_hidden_layers": 10**400}, "has num_hidden_layers = 1000"),
        ({"intermediate_size": None}, "lacks 'intermediate_size'"),
        ({"model_type": [], "text_config": 5, "hidden_size": True}, "has hidden_size = True"),
    ],
)
def test_an_invalid_size_is_rejected_with_a_sentence(folder, changes, sentence):
    edit(folder, **changes)
    with pytest.raises(UserError, match=sentence):
        load_shape(identify(str(folder)))


@pytest.mark.matrix(name=lambda name: name if "opt" in name or name == "gpt2" else layout_of(name))
@pytest.mark.parametrize("name", [*ARCHITECTURES, *OTHERS])
def test_facts_match_the_model(name, tmp_path):
    model = tiny(name)
    model.save_pretrained(tmp_path / "m")
    found = load_shape(identify(str(tmp_path / "m")))
    separate_experts(model)
    linears = list(find_blocks(model).all_linears())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.block_weights == sum(linear.weight.numel() for linear in linears)
    assert found.widths == tuple(sorted({linear.weight.shape[1] for linear in linears}))
    assert sum(rows * columns * count for rows, columns, count in found.matrices) == found.block_weights
    if name != "phi3":  # whose joined matrices the shape counts apart
        counted = Counter()
        for rows, columns, count in found.matrices:
            counted[rows, columns] += count
        assert counted == Counter(linear.shape for linear in linears)
    tables = {
        id(table.get_parameter("weight")) for table in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    assert found.tables == (0 if name == "opt-projected" else len(tables))  # 0: of another width
    if found.names:
        assert sorted(found.linears) == sorted((linear.block, linear.name) for linear in linears)
    assert (found.blocks, found.max_window, found.vocabulary) == (len(find_blocks(model).holder), 128, 97)


def test_infinity_is_read_as_transformers_writes_it(tmp_path):
    """JSON has none; Mamba-2 and its relatives limit their time steps by it."""
    tiny_model("mamba2").save_pretrained(tmp_path / "m")
    source = identify(str(tmp_path / "m"))
    assert source.config["time_step_limit"] == [0.0, math.inf]
    assert load_shape(source).block_weights == sum(dense_sizes(source).values())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("smollm2-135m", 134_515_008), ("gemma3-270m", 268_098_176), ("opt-350m", 331_196_416),
     ("llama-2-70b", 68_976_648_192), ("qwen2.5-0.5b", 494_032_768)],
)  # fmt: skip
def test_catalogue_has_the_published_sizes(name, parameters):
    assert BY_ID[name].parameters == parameters and BY_ID[name].size_bytes == 2 * parameters


def test_catalogue_has_the_source_of_each_model():
    assert len({card.id for card in MODELS}) == len(MODELS)
    for card in MODELS:
        assert card.licence and (card.hub_id or card.packed or "on request" in card.note)
        assert shape_from_config(card.config).widths


def test_identifying_and_listing_import_no_torch():
    code = (
        "import sys; from core.models.sources import identify; from core.models.facts import dense_sizes, load_shape;"
        "from core.data.corpora import identify_corpus; from core.data.tasks import identify_task;"
        "load_shape(identify('smollm2-135m')); identify_corpus('wikitext2'); identify_task('piqa');"
        "assert not {'torch', 'transformers', 'lm_eval', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
