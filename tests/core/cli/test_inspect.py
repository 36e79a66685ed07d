"""The command that shows what is in a model, before anything is computed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.cli.app import main
from core.models.inspection import inspected
from core.models.sources import identify
from tests.core.models.folders import edit
from tests.core.tiny import tiny
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("machine")


def folder_of(name, model):
    shutil.copytree("tiny", name)
    for file in Path(name).glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(name)
    return f"./{name}"


def test_a_mixture_is_described_with_what_runs_and_a_first_sweep(capsys):
    assert main(["inspect", folder_of("mix", tiny("mixtral"))]) == 0
    out = capsys.readouterr().out
    for words in (
        "Architecture: MixtralForCausalLM",
        "Experts: 8 in a layer, 2 for each token",
        "Covered: 99.4 % of the block weights are in linears; model.layers.*.mlp.gate.weight stay dense",
        "This method needs one FFN in every block, but this model is a mixture of experts.",
        "slimscope sweep --models ./mix --dtype float32 --chain rtn@4bit",
        "--chain reap@0.25",
    ):
        assert words in out
    assert "slimllm@0.2" not in out and "lorap" in out.split("This method needs one FFN")[0].splitlines()[-1]
    assert main(["inspect", "tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["architecture"] == "LlamaForCausalLM" and found["experts"] is None
    assert found["shape"]["blocks"] == 2 and found["heads_refusal"] is None


def test_a_model_with_many_weights_outside_of_linears_needs_consent_and_says_what_stays_dense(capsys):
    name = folder_of("scout", tiny("dbrx"))
    assert main(["inspect", name]) == 0
    assert "Every run of this model needs --partial." in capsys.readouterr().out
    run = ["run", name, "magnitude@0.5", "--perplexity", "text.txt@32:2"]
    assert main(run) == 2
    said = capsys.readouterr().err
    assert "of the block weights of scout are in no linear and would stay dense. Agree to a partial compression" in said
    assert main([*run, "--partial", "--json", "--save", "saved"]) == 0
    result = json.loads(capsys.readouterr().out)
    (stage,) = result["variant"]["made"]
    assert stage["uncovered"] > 0.1 and "of the block weights are in no linear and stay dense" in stage["note"]
    blocks = AutoModelForCausalLM.from_pretrained("saved").transformer.blocks
    matrices = {name: one for name, one in blocks.named_parameters() if one.dim() > 1}
    assert all(one.count_nonzero() == one.numel() for name, one in matrices.items() if "router" in name)
    removed = 1 - sum(int(one.count_nonzero()) for one in matrices.values()) / sum(map(torch.numel, matrices.values()))
    assert main([*run, "--partial"]) == 0
    done = capsys.readouterr()
    key = result["variant"]["key"][:8]
    assert f"Removed {100 * removed:.1f} % of the block weights; 50.0 % was requested." in done.err
    assert main(["results", key]) == 0
    for printed in (done.out, capsys.readouterr().out):
        assert f"{100 * removed:.1f} %" in printed and "of the block weights are in no linear and stay" in printed
        assert "--partial" in printed.partition("To reproduce it:")[2]


@pytest.mark.parametrize("changes", [{"model_type": "\ud800"}, {"rope_parameters": {"rope_type": "\udfff"}}])
@pytest.mark.parametrize("command", [["inspect"], ["run"], ["fidelity", "./tiny"], ["autopilot"]], ids=str)
def test_half_of_a_surrogate_pair_in_a_configuration_is_one_sentence(command, changes, capsys, tmp_path):
    shutil.copytree("tiny", tmp_path / "half")
    edit(tmp_path / "half", **changes)
    more = {"run": ["magnitude@0.5"], "autopilot": ["--max-mb", "1"]}
    assert main([*command, str(tmp_path / "half"), *more.get(command[0], [])]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.endswith("config.json is not readable JSON.")


@pytest.mark.parametrize(
    ("name", "slices", "rotates"),
    [
        ("phi3", True, True),
        ("starcoder2", True, False),  # LayerNorm
        ("gemma", False, False),  # its norms scale by 1 + weight
        ("gpt_neox", False, False),  # attention and FFN read the same states
        ("mixtral", False, False),
    ],
)
def test_slicing_and_rotation_are_refused_before_a_run(name, slices, rotates):
    found = inspected(tiny_model(name).config.to_dict())
    assert ((found.slices_refusal is None), (found.rotation_refusal is None)) == (slices, rotates)


@pytest.mark.full
def test_a_program_without_torch_finds_the_same(monkeypatch):
    config = identify("./tiny").required_config
    here = inspected(config)
    monkeypatch.delitem(__import__("sys").modules, "torch")
    monkeypatch.setenv("SLIMSCOPE_CACHE", "elsewhere")
    assert inspected(config) == here


def test_a_run_on_a_mixture_is_stored_and_formats_without_experts_refuse_before_it(capsys):
    run, text = ["run", folder_of("blend", tiny("mixtral"))], ["--calibration", "text.txt:4x32"]
    measure = ["--perplexity", "text.txt@32:2", "--json"]
    assert main([*run, "reap@0.2+gptq@4bit,group_size=16", *text, *measure]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["footprint"]["bits_per_weight"] < 4.5 and result["measurements"][0]["value"] > 1
    for form, words in (("compressed-tensors", "mixtures of experts"), ("gguf", "GGUF")):
        assert main([*run, "gptq@4bit,group_size=16", *text, "--save", "new", "--format", form]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1 and not Path("new").exists()
