"""Saved checkpoints have the announced size on disk and the requested precision."""

import json
import os
import stat

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.base.errors import UserError
from core.base.progress import silent
from core.cli.app import main
from core.models.sources import identify
from core.shipping.export import export
from core.shipping.formats import FORMATS, find_format, saved_words
from core.specs import RunSpec, Stage, VariantSpec
from core.store.store import Store
from tests.core.commands import RUN
from tests.core.factories import make
from tests.core.shipping.exported import bpe, source_of
from tests.core.tiny import tiny

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
def test_a_checkpoint_has_the_announced_precision_and_size(method, larger, tmp_path, capsys):
    measuring = ["--calibration", "text.txt:4x32", "--perplexity", "text.txt@32:2"]
    assert main(["run", str(larger), method, "--ratio", "0.3", *measuring, "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["variant"]["key"]
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
    assert main(["results", "--json"]) == 0
    assert key in [result["variant"]["key"] for result in json.loads(capsys.readouterr().out)]


def test_saving_in_another_precision_does_not_change_the_numbers(tmp_path, capsys):
    assert main([*RUN, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
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
