"""Models of other tools, compared with their dense origin on whole logits."""

import json
from math import inf

import pytest
import torch
from gguf import GGUFReader
from transformers import AutoTokenizer

from core.base.errors import UserError
from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.engine import fidelity
from core.models.compressed import load_compressed
from core.models.parts.blocks import find_blocks
from core.models.shape import SIZES
from core.models.sources import identify, identify_compressed, load_tokenizer
from core.request import complete as complete_module
from core.request.complete import complete
from core.shipping.compressed_tensors import CompressedTensors
from core.specs import Perplexity
from tests.core.evaluation.test_divergence import brute, changed
from tests.core.factories import make
from tests.core.shipping.exported import TEXT, bpe, exported, made
from tests.core.tiny import tiny
from tests.core.tiny_folder import edit

pytestmark = pytest.mark.usefixtures("machine")
TEXT_24 = "text.txt@24:4"


@pytest.fixture
def place(tmp_path, folder, monkeypatch):
    """An empty folder with the text, in which models are made."""
    (tmp_path / "text.txt").write_bytes((folder / "text.txt").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def save(place, folder):
    """A function that saves a model with a tokenizer, by default that of the small folder."""

    def saved(model, name, tokenizer=None):
        model.save_pretrained(place / name)
        (tokenizer or AutoTokenizer.from_pretrained(folder / "tiny")).save_pretrained(place / name)
        return name

    return saved


def compared(dense, other, text=TEXT_24, **more):
    """Return the comparison on one text and its numbers by name."""
    (found,) = fidelity.compare(dense, other, [Perplexity.parse(text)], **more)
    return found, {one.name: one.value for one in found.numbers}


def numbers(*arguments, **more):
    return compared(*arguments, **more)[1]


def refused(dense, other):
    """Return the sentence with which a comparison is refused."""
    with pytest.raises(UserError) as error:
        compared(dense, other)
    return str(error.value)


HEADS = {
    "tied": ("llama-gqa", {"tie_word_embeddings": True}, 97),
    "untied": ("llama-gqa", {}, 97),
    "trimmed": ("llama-gqa", {"vocab_size": 110}, 97),
    "padded": ("llama-gqa", {"vocab_size": 97}, 128),
    "trimmed and tied": ("llama-gqa", {"vocab_size": 110, "tie_word_embeddings": True}, 97),
    "scaled embedding": ("gemma3", {}, 97),
    "soft cap": ("gemma2", {"vocab_size": 110}, 100),
}


@pytest.mark.matrix(head=lambda head: head if head in ("trimmed", "padded") else None)  # other or equal sizes
@pytest.mark.parametrize("head", HEADS)
def test_numbers_equal_those_of_whole_logits(head, save):
    kind, settings, rows = HEADS[head]
    dense = tiny(kind, **settings)
    other = changed(dense, 0.5)
    other.resize_token_embeddings(rows, mean_resizing=False)
    save(dense, "dense")
    save(other, "other")
    found = numbers("dense", "other")
    tokens = evaluation_windows(open_corpus("text.txt"), load_tokenizer(identify("dense")), 24, 4)
    kl, agrees = brute(dense, other, tokens, min(dense.config.vocab_size, rows))
    assert found["kl"] == pytest.approx(kl.mean().item(), abs=1e-5) and found["kl"] > 1e-4
    assert found["kl_p99"] == pytest.approx(kl.flatten().quantile(0.99).item(), abs=1e-5)
    assert found["agreement"] == pytest.approx(agrees.double().mean().item(), abs=1e-6)
    for model, number in ((dense, "dense perplexity"), (other, "perplexity")):
        with torch.no_grad():
            log_p = model(input_ids=tokens).logits[:, :-1].double().log_softmax(-1)
        loss = -log_p.gather(-1, tokens[:, 1:, None]).mean()
        assert found[number] == pytest.approx(loss.exp().item(), rel=1e-4)
    assert found["perplexity / dense"] == pytest.approx(found["perplexity"] / found["dense perplexity"], rel=1e-6)


def test_every_number_has_an_interval_and_the_dense_model_is_computed_once(save, monkeypatch):
    save(changed(tiny(), 0.5), "other")
    save(tiny(), "dense")
    found, first = compared("dense", "other", "text.txt@24:16")
    for row in found.numbers:
        assert row.low <= row.value <= row.high and row.low < row.high, row.name
    monkeypatch.setattr(fidelity, "load_model", lambda *_: pytest.fail("loaded"))
    assert numbers("dense", "other", "text.txt@24:16") == first


def test_windows_without_finite_logits_are_named(save, output_of):
    dense = tiny()
    save(dense, "dense")
    tokens = evaluation_windows(open_corpus("text.txt"), load_tokenizer(identify("dense")), 24, 4)
    inside = [(token, [bool((window[:-1] == token).any()) for window in tokens]) for token in range(97)]
    token, broken = next((token, places) for token, places in inside if sum(places) == 2)
    with torch.no_grad():
        dense.get_input_embeddings().weight[token] = torch.nan
    save(dense, "other")
    found, _ = compared("dense", "other")
    places = [place for place, bad in enumerate(broken, 1) if bad]
    assert found.not_finite == places
    (kl,) = (row for row in found.records if row["number"] == "kl")
    assert kl["windows_not_finite"] == f"{places[0]} {places[1]}" and kl["value"] == inf
    words = f"other has no finite logits on windows {places[0]} and {places[1]} of text.txt@"
    assert words in output_of("fidelity", "dense", "other", "--perplexity", TEXT_24)


def test_a_model_that_diverged_beyond_the_largest_number_has_numbers(save):
    dense = tiny()
    save(dense, "dense")
    with torch.no_grad():
        dense.lm_head.weight *= 1e6
    save(dense, "other")
    found, values = compared("dense", "other")
    assert values["perplexity"] > 1e300 and values["kl"] > 1000
    assert all(one.low <= one.value <= one.high for one in found.numbers)


@pytest.fixture
def llama(save, place):
    """A small Llama with a trained tokenizer, and its text."""
    (place / "text.txt").write_text(TEXT * 20)
    model, result = made("dense")
    save(model, "dense", bpe())
    return model, result


def test_codes_of_compressed_tensors_are_compared(llama, place):
    model, _ = made("rtn@4bit,group_size=16")
    CompressedTensors().write(model, bpe(), make().variant, place / "packed", "float32", lambda *_: None)
    assert "quantization_config" in json.loads((place / "packed" / "config.json").read_text())
    found = numbers("dense", "packed")
    model.save_pretrained(place / "unpacked")
    bpe().save_pretrained(place / "unpacked")
    plain = numbers("dense", "unpacked")
    assert found == pytest.approx(plain, rel=1e-4) and found["kl"] > 1e-3
    with pytest.raises(UserError, match="already quantised"):
        complete("packed", "dense")


def test_blocks_of_different_shapes_are_built_without_their_own_code(llama, place):
    model, result = made("slimllm@0.3")
    exported(model, result, bpe(), place / "slim", "huggingface", "fp32")
    assert "slimscope" in json.loads((place / "slim" / "config.json").read_text())
    (place / "slim" / "modeling_slimscope.py").write_text("raise SystemExit")
    assert numbers("dense", "slim")["kl"] > 1e-3


def test_a_gguf_file_is_compared_with_its_weights_dequantised(llama, place):
    model, result = llama
    exported(model, result, bpe(), place / "out", "gguf", "Q8_0")
    found = numbers("dense", "out")
    assert 1e-7 < found["kl"] < 0.05 and found["agreement"] > 0.8
    assert identify_compressed("out/model-Q8_0.gguf").revision == identify_compressed("out").revision
    with pytest.raises(UserError, match=r"model-Q8_0\.gguf is a GGUF file, which only `slimscope fidelity` reads"):
        complete("out", "dense")


def test_a_gguf_file_takes_what_it_lacks_from_the_files_of_the_dense_model(save, place, monkeypatch):
    def sizes_only(source, progress):
        config = {name: source.config[name] for name in (*SIZES, "model_type") if source.config.get(name)}
        return source.model_copy(update={"config": config})

    (place / "text.txt").write_text(TEXT * 20)
    model, result = made("dense", rms_norm_eps=0.5)
    save(model, "dense", bpe())
    exported(model, result, bpe(), place / "out", "gguf", "F16")
    monkeypatch.setattr(fidelity, "fetch_model", sizes_only)
    assert numbers("dense", "out")["kl"] < 1e-3


def test_what_a_gguf_file_states_of_its_computation_counts(llama, save, place):
    model, result = llama
    exported(model, result, bpe(), place / "out", "gguf", "F16")
    whole = numbers("dense", "out")
    fields = GGUFReader(place / "out" / "model-F16.gguf", "r+").fields
    fields["llama.rope.freq_base"].parts[-1][0] = 3
    fields["llama.attention.layer_norm_rms_epsilon"].parts[-1][0] = 65
    found = numbers("dense", "out")
    model.config.rope_parameters["rope_theta"], model.config.rms_norm_eps = 3.0, 65.0
    save(model, "other", bpe())
    assert found == pytest.approx(numbers("dense", "other"), rel=0.01) and found["kl"] > 10 * whole["kl"]


def test_biases_that_transformers_reads_in_another_order_are_refused(save, place):
    (place / "text.txt").write_text(TEXT * 20)
    model, result = made("dense", attention_bias=True)
    for name, bias in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias)
    save(model, "dense", bpe())
    exported(model, result, bpe(), place / "out", "gguf", "F16")
    assert "model-F16.gguf has biases in its attention" in refused("dense", "out")


def test_several_gguf_files_in_a_folder_are_ambiguous(llama, place):
    (place / "out").mkdir()
    for name in ("a", "b"):
        (place / "out" / f"{name}.gguf").write_bytes(b"GGUF")
    assert "out has 2 GGUF files; give the path of one of them." in refused("dense", "out")
    assert "a.gguf could not be read as a GGUF file" in refused("dense", "out/a.gguf")


def edited(file, change):
    """Change a JSON file."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def swap(content):
    words = content["model"]["vocab"]
    first, second = (next(word for word, place in words.items() if place == one) for one in (5, 6))
    words[first], words[second] = 6, 5


def cut_at_spaces(content):
    content.update(pre_tokenizer={"type": "WhitespaceSplit"})


@pytest.mark.parametrize(
    ("sizes", "change", "words"),
    [
        ({}, swap, "dense and other have different vocabularies: token 5 is '.*' and '"),
        ({"vocab_size": 90}, None, "dense and other have different vocabularies of 97 and 90 tokens"),
        ({}, cut_at_spaces, r"dense and other cut text\.txt\S* into different tokens; only"),
        ({"max_position_embeddings": 16}, None, "has only 16"),
    ],
)
def test_a_model_that_reads_other_tokens_is_refused_before_it_is_loaded(sizes, change, words, save, place, monkeypatch):
    for name in ("load_model", "load_compressed"):
        monkeypatch.setattr(fidelity, name, lambda *_: pytest.fail("loaded"))
    save(tiny(), "dense")
    save(tiny(**sizes), "other")
    if change:
        edited(place / "other" / "tokenizer.json", change)
        (place / "text.txt").write_text("w1 w2, w3. " * 100)
    with pytest.raises(UserError, match=words):
        compared("dense", "other")


def test_a_model_of_another_kind_is_refused(save, place):
    save(tiny(), "dense")
    save(tiny(), "vision")
    edit(place / "vision", architectures=["ViTModel"])
    assert "vision is a ViTModel, not a causal language model" in refused("dense", "vision")


@pytest.mark.parametrize("option", [{"dtype": "int8"}, {"device": "x"}])
def test_wrong_options_are_refused(option, folder):
    with pytest.raises(UserError, match=f"'{next(iter(option.values()))}'"):
        compared("./tiny", "tiny", **option)


def test_missing_weights_are_named(save, place):
    model = tiny()
    kept = {name: tensor for name, tensor in model.state_dict().items() if "layers.1.mlp.up" not in name}
    for name in ("dense", "other"):
        save(model, name)
    model.save_pretrained(place / "other", state_dict=kept)
    assert "lack model.layers.1.mlp.up_proj.weight" in refused("dense", "other")


def test_the_precision_is_that_of_both(save):
    save(tiny(), "dense")
    found, values = compared("dense", "dense", dtype="bfloat16")
    assert values["kl"] < 1e-5 and {row["dtype"] for row in found.records} == {"bfloat16"}
    assert find_blocks(load_compressed(identify("dense"), "bfloat16")).holder is not None


def test_the_default_text_is_that_of_a_run(save, monkeypatch):
    save(tiny(), "dense")
    monkeypatch.setattr(complete_module, "default_corpora", lambda: ("text.txt", "text.txt"))
    (found,) = fidelity.compare("dense", "dense")
    assert found.dense.n == 16 and "@128:16" in str(found.text)
