"""`slimscope fidelity`: models that other tools made, compared with their dense origin on whole logits."""

import json
import re
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core import api
from core.cli.app import main
from core.data.corpora import open_corpus
from core.data.windows import evaluation_windows
from core.engine import comparison
from core.models.compressed import load_compressed
from core.models.parts.blocks import find_blocks
from core.models.shape import SIZES
from core.models.sources import identify, identify_compressed, load_tokenizer
from core.request import complete
from core.shipping.compressed_tensors import CompressedTensors
from tests.core.encoders import encoder
from tests.core.evaluation.test_divergence import changed
from tests.core.factories import make
from tests.core.shipping.exported import TEXT, bpe, exported, made, pieces
from tests.core.tiny import tiny

pytestmark = pytest.mark.usefixtures("machine")
TEXT_OPTION = ["--perplexity", "text.txt@24:4"]


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


def numbers(capsys, *arguments):
    """Return the numbers of a comparison by name, with the rows of its JSON."""
    assert main(["fidelity", *arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    return {row["number"]: row["value"] for row in rows}, rows


def refused(capsys, *arguments):
    """Return the sentence with which a comparison is refused."""
    assert main(["fidelity", *arguments]) == 2
    shown = capsys.readouterr()
    assert not shown.out and shown.err.count("\n") == 1
    return shown.err


def whole_logits(name, count=None):
    """Return the log-probabilities of a folder's model on the text, over its first `count` tokens, in fp64."""
    tokens = evaluation_windows(open_corpus("text.txt"), load_tokenizer(identify_compressed(name)), 24, 4)
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(name)(input_ids=tokens).logits[:, :-1].double()
    return logits[..., :count].log_softmax(-1), tokens


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
def test_numbers_equal_those_of_whole_logits(head, save, capsys):
    kind, settings, rows = HEADS[head]
    dense = tiny(kind, **settings)
    other = changed(dense, 0.5)
    other.resize_token_embeddings(rows, mean_resizing=False)
    save(dense, "dense")
    save(other, "other")
    found, _ = numbers(capsys, "dense", "other", *TEXT_OPTION)
    common = min(dense.config.vocab_size, rows)
    (first, tokens), (second, _) = whole_logits("dense", common), whole_logits("other", common)
    kl, agrees = (first.exp() * (first - second)).sum(-1), first.argmax(-1) == second.argmax(-1)  # (N, L - 1)
    assert found["kl"] == pytest.approx(kl.mean().item(), abs=1e-5) and found["kl"] > 1e-4
    assert found["kl_p99"] == pytest.approx(kl.flatten().quantile(0.99).item(), abs=1e-5)
    assert found["agreement"] == pytest.approx(agrees.double().mean().item(), abs=1e-6)
    for name, number in (("dense", "dense perplexity"), ("other", "perplexity")):
        whole, _ = whole_logits(name)
        loss = -whole.gather(-1, tokens[:, 1:, None]).mean().item()
        assert found[number] == pytest.approx(torch.tensor(loss).exp().item(), rel=1e-4)
    assert found["perplexity / dense"] == pytest.approx(found["perplexity"] / found["dense perplexity"], rel=1e-6)


def test_a_model_has_no_distance_to_itself(capsys):
    found, rows = numbers(capsys, "./tiny", "tiny", *TEXT_OPTION)
    assert found["kl"] < 1e-6 and found["kl_p99"] < 1e-6 and found["agreement"] == found["perplexity / dense"] == 1
    assert {row["n"] for row in rows} == {4} and rows[0]["text"].endswith("@24:4")


def test_every_number_has_an_interval_around_it(save, capsys):
    save(changed(tiny(), 0.5), "other")
    save(tiny(), "dense")
    _, rows = numbers(capsys, "dense", "other", "--perplexity", "text.txt@24:16")
    for row in rows:
        assert row["low"] <= row["value"] <= row["high"] and row["low"] < row["high"], row["number"]


@pytest.mark.parametrize("option", ["--csv", "--tsv", "--latex", None])
def test_formats_have_the_same_numbers(option, save, capsys):
    save(changed(tiny(), 0.5), "other")
    save(tiny(), "dense")
    found, _ = numbers(capsys, "dense", "other", *TEXT_OPTION)
    assert main(["fidelity", "dense", "other", *TEXT_OPTION, *filter(None, [option])]) == 0
    shown = capsys.readouterr()
    lines = [line.replace("\\_", "_") for line in shown.out.splitlines()]
    for name, value in found.items():
        words = rf"(^|,|\t){re.escape(name)}( *&|,|\t|  )"
        (line,) = (line for line in lines if re.search(words, line))
        assert (repr(value) if option == "--csv" else f"{value:.4f}"[:3]) in line
    if option is None:
        assert "other compared with dense, in float32" in shown.out and "fewer than 8 windows" in shown.err


def test_the_dense_model_is_computed_once(save, capsys, monkeypatch):
    save(changed(tiny()), "other")
    save(tiny(), "dense")
    first, _ = numbers(capsys, "dense", "other", *TEXT_OPTION)
    monkeypatch.setattr(comparison, "load_model", lambda *_: pytest.fail("loaded"))
    assert numbers(capsys, "dense", "other", *TEXT_OPTION)[0] == first


def test_windows_without_finite_logits_are_named(save, capsys):
    dense = tiny()
    save(dense, "dense")
    tokens = evaluation_windows(open_corpus("text.txt"), load_tokenizer(identify("dense")), 24, 4)
    inside = [(token, [bool((window[:-1] == token).any()) for window in tokens]) for token in range(97)]
    token, broken = next((token, places) for token, places in inside if sum(places) == 2)
    with torch.no_grad():
        dense.get_input_embeddings().weight[token] = torch.nan
    save(dense, "other")
    _, rows = numbers(capsys, "dense", "other", *TEXT_OPTION)
    places = [str(place) for place, bad in enumerate(broken, 1) if bad]
    (kl,) = (row for row in rows if row["number"] == "kl")
    assert kl["windows_not_finite"] == " ".join(places) and kl["value"] is None
    assert main(["fidelity", "dense", "other", *TEXT_OPTION]) == 0
    assert f"other has no finite logits on windows {' and '.join(places)} of text.txt@" in capsys.readouterr().out


@pytest.fixture
def llama(save, place):
    """A small Llama with a trained tokenizer, and its text."""
    (place / "text.txt").write_text(TEXT * 20)
    model, result = made("dense")
    save(model, "dense", bpe())
    return model, result


def test_codes_of_compressed_tensors_are_compared(llama, place, capsys):
    model, _ = made("rtn@4bit,group_size=16")
    CompressedTensors().write(model, bpe(), make().variant, place / "packed", "float32", lambda *_: None)
    assert "quantization_config" in json.loads((place / "packed" / "config.json").read_text())
    found, _ = numbers(capsys, "dense", "packed", *TEXT_OPTION)
    model.save_pretrained(place / "unpacked")
    bpe().save_pretrained(place / "unpacked")
    plain, _ = numbers(capsys, "dense", "unpacked", *TEXT_OPTION)
    assert found == pytest.approx(plain, rel=1e-4) and found["kl"] > 1e-3
    assert main(["run", "packed", "dense"]) == 2 and "already quantised" in capsys.readouterr().err


def test_blocks_of_different_shapes_are_built_without_their_own_code(llama, place, capsys):
    model, result = made("slimllm@0.3")
    exported(model, result, bpe(), place / "slim", "huggingface", "fp32")
    assert "slimscope" in json.loads((place / "slim" / "config.json").read_text())
    (place / "slim" / "modeling_slimscope.py").write_text("raise SystemExit")
    found, _ = numbers(capsys, "dense", "slim", *TEXT_OPTION)
    assert found["kl"] > 1e-3


def test_a_gguf_file_is_compared_with_its_weights_dequantised(llama, place, capsys):
    model, result = llama
    exported(model, result, bpe(), place / "out", "gguf", "Q8_0")
    found, _ = numbers(capsys, "dense", "out", *TEXT_OPTION)
    assert 1e-7 < found["kl"] < 0.05 and found["agreement"] > 0.8
    assert identify_compressed("out/model-Q8_0.gguf").revision == identify_compressed("out").revision
    assert main(["run", "out", "dense"]) == 2
    assert "model-Q8_0.gguf is a GGUF file, which only `slimscope fidelity` reads" in capsys.readouterr().err


def test_a_gguf_file_takes_what_it_lacks_from_the_files_of_the_dense_model(save, place, monkeypatch, capsys):
    def sizes_only(source, progress):
        config = {name: source.config[name] for name in (*SIZES, "model_type") if source.config.get(name)}
        return source.model_copy(update={"config": config})

    (place / "text.txt").write_text(TEXT * 20)
    model, result = made("dense", rms_norm_eps=0.5)
    save(model, "dense", bpe())
    exported(model, result, bpe(), place / "out", "gguf", "F16")
    monkeypatch.setattr(comparison, "fetch_model", sizes_only)
    found, _ = numbers(capsys, "dense", "out", *TEXT_OPTION)
    assert found["kl"] < 1e-3


def test_biases_that_transformers_reads_in_another_order_are_refused(save, place, capsys):
    (place / "text.txt").write_text(TEXT * 20)
    model, result = made("dense", attention_bias=True)
    for name, bias in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias)
    save(model, "dense", bpe())
    exported(model, result, bpe(), place / "out", "gguf", "F16")
    assert "model-F16.gguf has biases in its attention" in refused(capsys, "dense", "out", *TEXT_OPTION)


@pytest.mark.full
def test_a_gguf_file_of_gemma_is_compared(save, place, capsys):
    (place / "text.txt").write_text(TEXT * 20)
    model, result = made("dense", "gemma3", vocab_size=400, num_hidden_layers=3)
    save(model, "dense", pieces())
    exported(model, result, pieces(), place / "out", "gguf", "F16")
    found, _ = numbers(capsys, "dense", "out", *TEXT_OPTION)
    assert found["kl"] < 1e-3 and found["agreement"] > 0.95


def test_several_gguf_files_in_a_folder_are_ambiguous(llama, place, capsys):
    (place / "out").mkdir()
    for name in ("a", "b"):
        (place / "out" / f"{name}.gguf").write_bytes(b"GGUF")
    assert "out has 2 GGUF files; give the path of one of them." in refused(capsys, "dense", "out", *TEXT_OPTION)
    assert "a.gguf could not be read as a GGUF file" in refused(capsys, "dense", "out/a.gguf", *TEXT_OPTION)


@pytest.fixture
def unloaded(monkeypatch):
    """A refusal precedes any loading of weights."""
    for name in ("load_model", "load_compressed"):
        monkeypatch.setattr(comparison, name, lambda *_: pytest.fail("loaded"))


def edited(place, change):
    """Change the tokenizer of the folder `other`."""
    file = place / "other" / "tokenizer.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def swap(content):
    words = content["model"]["vocab"]
    first, second = (next(word for word, place in words.items() if place == one) for one in (5, 6))
    words[first], words[second] = 6, 5


@pytest.mark.usefixtures("unloaded")
def test_other_tokens_are_refused_with_both_names(save, place, capsys):
    save(tiny(), "dense")
    save(tiny(), "other")
    edited(place, swap)
    sentence = refused(capsys, "dense", "other", *TEXT_OPTION)
    assert "dense and other have different vocabularies: token 5 is '" in sentence and "' and '" in sentence


@pytest.mark.usefixtures("unloaded")
def test_other_sizes_of_vocabularies_are_refused(save, place, capsys):
    save(tiny(), "dense")
    save(tiny(vocab_size=90), "other")
    sentence = refused(capsys, "dense", "other", *TEXT_OPTION)
    assert "dense and other have different vocabularies of 97 and 90 tokens" in sentence


@pytest.mark.usefixtures("unloaded")
def test_another_way_to_cut_text_is_refused(save, place, capsys):
    save(tiny(), "dense")
    save(tiny(), "other")
    edited(place, lambda content: content.update(pre_tokenizer={"type": "WhitespaceSplit"}))
    (place / "text.txt").write_text("w1 w2, w3. " * 100)
    sentence = refused(capsys, "dense", "other", *TEXT_OPTION)
    assert re.match(r"The tokenizers of dense and other cut text\.txt\S* into different tokens; only", sentence)


@pytest.mark.usefixtures("unloaded")
def test_a_model_that_reads_no_text_is_refused(save, place, capsys):
    save(tiny(), "dense")
    encoder(layer_type="basic").save_pretrained(place / "vision")
    assert "but fidelity needs two causal language models" in refused(capsys, "dense", "vision", *TEXT_OPTION)


@pytest.mark.usefixtures("unloaded")
def test_a_window_longer_than_a_model_is_refused(save, capsys):
    save(tiny(), "dense")
    save(tiny(max_position_embeddings=16), "other")
    assert "has only 16" in refused(capsys, "dense", "other", *TEXT_OPTION)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (["--dtype", "int8"], "Unknown dtype 'int8'"),
        (["--csv", "--json"], "Choose one of"),
        (["--device", "x"], "Unknown device"),
    ],
)
def test_wrong_options_are_refused(option, sentence, capsys):
    assert sentence in refused(capsys, "./tiny", "tiny", *TEXT_OPTION, *option)


def test_missing_weights_are_named(save, place, capsys):
    save(tiny(), "dense")
    save(tiny(), "other")
    model = tiny()
    kept = {name: tensor for name, tensor in model.state_dict().items() if "layers.1.mlp.up" not in name}
    shutil.rmtree(place / "other")
    model.save_pretrained(place / "other", state_dict=kept)
    for file in (place / "dense").glob("*token*"):
        shutil.copy(file, place / "other")
    assert "lack model.layers.1.mlp.up_proj.weight" in refused(capsys, "dense", "other", *TEXT_OPTION)


def test_the_precision_is_that_of_both(save, capsys):
    save(tiny(), "dense")
    found, rows = numbers(capsys, "dense", "dense", *TEXT_OPTION, "--dtype", "bfloat16")
    assert found["kl"] < 1e-5 and {row["dtype"] for row in rows} == {"bfloat16"}
    assert find_blocks(load_compressed(identify("dense"), "bfloat16")).holder is not None


def test_python_returns_the_rows_of_the_command(save, capsys):
    save(changed(tiny(), 0.5), "other")
    save(tiny(), "dense")
    _, rows = numbers(capsys, "dense", "other", *TEXT_OPTION)
    assert api.fidelity("dense", "other", perplexity=TEXT_OPTION[1]).to_dict("records") == rows


def test_the_default_text_is_that_of_a_run(save, monkeypatch, capsys):
    save(changed(tiny(), 0.5), "other")
    save(tiny(), "dense")
    monkeypatch.setattr(complete, "default_corpora", lambda: ("text.txt", "text.txt"))
    _, rows = numbers(capsys, "dense", "other")
    assert {row["n"] for row in rows} == {16} and all("@128:16" in row["text"] for row in rows)
