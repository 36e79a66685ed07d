"""Saved checkpoints have the stated size on disk and the requested precision."""

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.base.errors import UserError
from core.base.progress import silent
from core.cli.app import main
from core.models.facts import load_shape
from core.models.sources import identify
from core.request.expected.size import predicted_size
from core.shipping import formats
from core.shipping.export import export
from core.shipping.formats import FORMATS, file_columns, file_sentence, file_sizes, find_format, saved_words
from core.shipping.proof import ExportCheck
from core.specs import RunSpec, Stage, VariantSpec
from core.store.store import Store
from tests.core.commands import RUN
from tests.core.factories import make
from tests.core.shipping.exported import bpe, made, source_of
from tests.core.tiny import tiny

UNREAD = ExportCheck(reason="not read here.")
pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def larger(folder, tmp_path):
    """A folder with a model whose weights outweigh its tokenizer and its card."""
    model = tiny(hidden_size=128, intermediate_size=512, head_dim=32, tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "larger")
    AutoTokenizer.from_pretrained(folder / "tiny").save_pretrained(tmp_path / "larger")
    return tmp_path / "larger"


def on_disk(folder):
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("method", ["wanda", "slimllm"])
def test_a_checkpoint_has_the_announced_precision_and_size(method, larger, tmp_path, output_of, capsys):
    measuring = ["--calibration", "text.txt:4x32", "--perplexity", "text.txt@32:2"]
    key = output_of("run", str(larger), method, "--ratio", "0.3", *measuring, "--json")["variant"]["key"]
    result, form = Store().get(key), find_format("huggingface")
    for precision, dtype in (("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")):
        saved = tmp_path / precision
        assert main(["export", key, str(saved), "--type", precision]) == 0
        announced = form.size(result.variant, identify(str(larger)), result.counted, dtype)
        code = sum(file.stat().st_size for file in saved.glob("*.py"))  # as large as this tiny model's norms
        assert on_disk(saved) - code == pytest.approx(announced, rel=0.04)
        words = capsys.readouterr().err
        assert f"The export needs about {announced / 1e6:.2f} MB, {precision}." in words
        size = f"{on_disk(saved) / 1e6:.2f} MB"
        assert f"Saved to {saved}, {size}, {precision}. Export not checked: not read here. Its README.md" in words
        loaded = AutoModelForCausalLM.from_pretrained(saved, trust_remote_code=method == "slimllm")
        assert {parameter.dtype for parameter in loaded.parameters()} == {getattr(torch, dtype)}
        assert f"are stored, in {precision}." in (saved / "README.md").read_text()
    assert key in [result["variant"]["key"] for result in output_of("results", "--json")]


def test_saving_in_another_precision_does_not_change_the_numbers(tmp_path, output_of, capsys):
    plain = output_of(*RUN, "--json")
    saved = tmp_path / "saved"
    assert main([*RUN, "--force", "--save", str(saved), "--type", "bf16", "--json"]) == 0
    captured = capsys.readouterr()
    again = json.loads(captured.out)
    assert again["variant"]["key"] == plain["variant"]["key"]
    assert [row["value"] for row in again["measurements"]] == [row["value"] for row in plain["measurements"]]
    assert f"Saved to {saved}, {on_disk(saved) / 1e6:.2f} MB, bf16." in captured.err
    assert AutoModelForCausalLM.from_pretrained(saved).dtype == torch.bfloat16
    assert f"{plain['measurements'][0]['value']:.4g}" in (saved / "README.md").read_text()  # the card has them already


def test_others_can_read_an_export_as_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        assert main([*RUN, "--save", str(tmp_path / "saved")]) == 0
    finally:
        os.umask(before)
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "saved").iterdir()}
    assert "model.safetensors" in files and set(files.values()) == {0o640}


def test_default_precision_is_the_computed_one(tmp_path, capsys):
    saved = tmp_path / "saved"
    assert main([*RUN, "--dtype", "bfloat16", "--save", str(saved)]) == 0
    assert "MB, bf16." in capsys.readouterr().err
    assert AutoModelForCausalLM.from_pretrained(saved).dtype == torch.bfloat16


def test_a_weight_beyond_the_precision_is_rejected_before_writing(tmp_path):
    model = tiny(vocab_size=320)
    model.model.norm.weight.data[0] = 1e5
    with pytest.raises(UserError, match="A weight of 1e\\+05 exceeds the range of fp16"):
        export(model, bpe(), make(), source_of(model), tmp_path / "out", FORMATS[0], "float16", silent)
    assert not (tmp_path / "out").exists() and model.dtype == torch.float32


def test_a_deleted_folder_is_reported(tmp_path):
    variant = VariantSpec(model="m", revision="r", stages=(Stage(method="dense"),))
    words = saved_words(RunSpec(variant=variant, save=str(tmp_path / "gone")))
    assert words.endswith("as fp32, but the folder cannot be read: No such file or directory.")


NEAR = 0.01
WIDE = {"vocab_size": 2048, "hidden_size": 256, "intermediate_size": 1024, "head_dim": 64, "num_hidden_layers": 4}
WORDS = Path(__file__).parents[3] / "docs/methods.md"
EVERY = ("huggingface", "gguf", "compressed-tensors")
GRID = "rtn@4bit,group_size=32"
CHANNELS = "llm-pruner@0.3,granularity=channel"  # hidden states no longer of whole blocks
CASES = [
    ("dense", EVERY[:2]),
    ("magnitude@0.5", EVERY[:2]),
    ("slimllm@0.3", EVERY[:2]),
    ("svd@0.5", EVERY[:1]),
    (f"{GRID}+{GRID},on=embedding", EVERY),
    (f"{GRID},symmetric=false", EVERY[:2]),
    (f"magnitude@0.5+{GRID}", EVERY),
    (CHANNELS, EVERY[:2]),
    ("rtn@4bit,group_size=0", EVERY),  # one scale for each row
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Let the source of a tiny model have a folder with a tokenizer; return both."""
    tokenizer = bpe(vocabulary=WIDE["vocab_size"], text=WORDS.read_text())
    tokenizer.save_pretrained(tmp_path / "source")

    def place(model):
        source = source_of(model).model_copy(update={"folder": tmp_path / "source"})
        monkeypatch.setattr(formats, "identify_again", lambda *_: source)
        return source, tokenizer

    return place


@pytest.mark.parametrize(("chain", "accepted"), CASES)
def test_the_stated_size_is_that_of_the_written_file(chain, accepted, here, tmp_path, monkeypatch):
    monkeypatch.setattr("core.shipping.export.verify_export", lambda *_: UNREAD)
    model, result = made(chain, **WIDE, tie_word_embeddings=True)
    source, tokenizer = here(model)
    stated = {one.format: one for one in file_sizes(result.variant, result.counted)}
    assert set(stated) == {find_format(name).label for name in accepted}
    assert [one.bytes for one in stated.values()] == sorted(one.bytes for one in stated.values())
    size = predicted_size(load_shape(source), result.variant.stages)
    before = {one.format: one.bytes for one in file_sizes(result.variant, size)}
    assert (size is None) == (chain == CHANNELS)
    for name in accepted:
        form = find_format(name)
        kind, folder = form.default(result.variant), tmp_path / name
        assert stated[form.label].type == form.type_name(kind)
        model, _ = made(chain, **WIDE, tie_word_embeddings=True)  # an export may change the precision of a model
        export(model, tokenizer, result, source, folder, form, kind, silent)
        files = list(folder.glob("*.gguf")) or list(folder.iterdir())
        written = sum(file.stat().st_size for file in files)
        assert stated[form.label].bytes == pytest.approx(written, rel=NEAR), name
        assert size is None or before[form.label] == pytest.approx(written, rel=NEAR), name


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0"])
def test_narrower_hidden_states_are_stated_in_the_types_that_they_need(kind, here, tmp_path, monkeypatch):
    monkeypatch.setattr("core.shipping.export.verify_export", lambda *_: UNREAD)
    model, result = made(CHANNELS, **WIDE, tie_word_embeddings=True)
    source, tokenizer = here(model)
    stated = find_format("gguf").size(result.variant, source, result.counted, kind)
    export(model, tokenizer, result, source, tmp_path / "out", find_format("gguf"), kind, silent)
    (file,) = (tmp_path / "out").glob("*.gguf")
    assert stated == pytest.approx(file.stat().st_size, rel=NEAR)


def test_sizes_are_words_by_format_and_a_model_that_is_gone_has_none(here, monkeypatch):
    model, result = made("rtn@4bit,group_size=32", tie_word_embeddings=True)
    here(model)
    known = result.variant, result.counted
    columns = file_columns(*known)
    assert list(columns)[:3] == ["compressed-tensors", "GGUF", "Hugging Face"]
    assert [words.split()[0] for words in list(columns.values())[:3]] == ["bf16", "Q4_0", "fp32"]
    assert file_sentence(*known).startswith(f"As a file: GGUF {columns['GGUF']}; compressed-tensors bf16 ")
    assert file_sentence(result.variant, None) == ""

    def gone(*_):
        raise UserError("There is no such folder.")

    monkeypatch.setattr(formats, "identify_again", gone)
    assert file_sizes(*known) == [] and set(file_columns(*known).values()) == {""}
