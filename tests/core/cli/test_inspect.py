"""The command line on models of other kinds: `inspect`, and what is refused."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertModel

from core.base.errors import UserError
from core.cli.app import main
from core.models.inspection import inspected
from core.models.sources import identify
from core.request.complete import complete
from core.request.settings import RunSettings
from tests.core.tiny import tiny
from tests.core.tiny_folder import edit
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("machine")


def test_other_models_are_rejected(tmp_path, capsys):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=40, **sizes)).save_pretrained(tmp_path / "bert")
    said = "bert is a BertModel, not a causal language model; only these can be compressed"
    for chain in ("dense", "wanda@0.5"):
        with pytest.raises(UserError, match=said):
            complete(str(tmp_path / "bert"), chain, RunSettings())
    with pytest.raises(UserError, match=said):
        complete("./tiny", f"magnitude@0.5+distill-white,teacher={tmp_path / 'bert'}", RunSettings())
    assert main(["inspect", str(tmp_path / "bert")]) == 2 and said in " ".join(capsys.readouterr().err.split())


def folder_of(name, model):
    shutil.copytree("tiny", name)
    for file in Path(name).glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(name)
    return f"./{name}"


def test_a_mixture_is_described_with_what_runs_and_a_first_sweep(output_of):
    out = output_of("inspect", folder_of("mix", tiny("mixtral")))
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
    found = output_of("inspect", "tiny", "--json")
    assert found["architecture"] == "LlamaForCausalLM" and found["experts"] is None
    assert found["shape"]["blocks"] == 2 and found["heads_refusal"] is None


def test_many_weights_outside_of_linears_need_consent_and_what_stays_dense_is_named(output_of, error_of, capsys):
    name = folder_of("scout", tiny("dbrx"))
    assert "Every run of this model needs --partial." in output_of("inspect", name)
    run = ["run", name, "magnitude@0.5", "--perplexity", "text.txt@32:2"]
    said = error_of(*run)
    assert "of the block weights of scout are in no linear and would stay dense. Agree to a partial compression" in said
    result = output_of(*run, "--partial", "--json", "--save", "saved")
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
    for printed in (done.out, output_of("results", key)):
        assert f"{100 * removed:.1f} %" in printed and "of the block weights are in no linear and stay" in printed
        assert "--partial" in printed.partition("To reproduce it:")[2]


@pytest.mark.parametrize("changes", [{"model_type": "\ud800"}, {"rope_parameters": {"rope_type": "\udfff"}}])
@pytest.mark.parametrize("command", [["inspect"], ["run"], ["fidelity", "./tiny"], ["autopilot"]], ids=str)
def test_half_of_a_surrogate_pair_in_a_configuration_is_one_sentence(command, changes, error_of, tmp_path):
    shutil.copytree("tiny", tmp_path / "half")
    edit(tmp_path / "half", **changes)
    more = {"run": ["magnitude@0.5"], "autopilot": ["--max-mb", "1"]}
    (sentence,) = error_of(*command, str(tmp_path / "half"), *more.get(command[0], [])).splitlines()
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


def test_a_run_on_a_mixture_is_stored_and_formats_without_experts_refuse_before_it(output_of, error_of):
    run, text = ["run", folder_of("blend", tiny("mixtral"))], ["--calibration", "text.txt:4x32"]
    measure = ["--perplexity", "text.txt@32:2", "--json"]
    result = output_of(*run, "reap@0.2+gptq@4bit,group_size=16", *text, *measure)
    assert result["footprint"]["bits_per_weight"] < 4.5 and result["measurements"][0]["value"] > 1
    for form, words in (("compressed-tensors", "mixtures of experts"), ("gguf", "GGUF")):
        said = error_of(*run, "gptq@4bit,group_size=16", *text, "--save", "new", "--format", form)
        assert words in said and said.count("\n") == 1 and not Path("new").exists()
