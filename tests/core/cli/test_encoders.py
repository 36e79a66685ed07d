"""The command line on models of other kinds: `inspect`, and convolutions that are compressed, and nothing else."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, BertConfig, BertModel, ViTImageProcessor

from core.amount import Ratio
from core.base.errors import UserError
from core.cli.app import main
from core.context import Context, StageInput
from core.engine.stages import apply
from core.models.facts import load_shape
from core.models.inspection import inspected
from core.models.manifest import load_model_folder
from core.models.sources import identify, load_model
from core.request.complete import complete
from core.request.settings import RunSettings
from core.request.stages import build_stage
from core.specs import Perplexity, Task
from core.store.store import Store
from tests.core.encoders import ENCODERS, answer, encoder
from tests.core.tiny import tiny
from tests.core.tiny_folder import edit
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("machine")
METHODS = ("conv-lowrank", "depthwise-separable")


@pytest.fixture
def place(tmp_path):
    """Put an encoder into a folder; return that."""

    def make(name):
        encoder(name).save_pretrained(tmp_path / "models" / name)
        return str(tmp_path / "models" / name)

    return make


def run(capsys, *words):
    """Return the exit code of a command, its output and its error output."""
    code = main(["run", *words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def weights(model):
    """Count the weights of the convolutions of a model by its own modules."""
    return sum(one.weight.numel() for one in model.modules() if isinstance(one, nn.Conv1d | nn.Conv2d))


@pytest.mark.matrix(name=lambda name: name in ("whisper", "wav2vec2"))
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_compressed_counted_saved_and_loaded(name, method, place, tmp_path, capsys):
    folder, target = place(name), tmp_path / "saved"
    code, out, err = run(capsys, folder, f"{method}@0.4", "--save", str(target), "--json")
    assert code == 0, err
    result = json.loads(out)
    dense, size, reports = encoder(name), result["footprint"], result["layers"]
    again = load_model_folder(target, torch.float32)
    assert size["dense_block_weights"] == weights(dense) and size["block_weights"] == weights(again) < weights(dense)
    assert size["dense_parameters"] == sum(p.numel() for p in dense.parameters())
    assert size["model_parameters"] == sum(p.numel() for p in again.parameters())
    assert len(reports) == sum(isinstance(one, nn.Conv1d | nn.Conv2d) for one in dense.modules())
    reported = sum((1 - one["sparsity"]) * one["shape"][0] * one["shape"][1] for one in reports)
    assert reported == pytest.approx(size["block_weights"])
    assert all((one["error"] > 0) is (one["sparsity"] > 0) is ("whole" not in one["note"]) for one in reports)
    before = answer(dense, name)
    apply(dense, StageInput(build_stage(method, Ratio(0.4))), Context(torch.device("cpu")))
    assert torch.equal(answer(again, name), answer(dense, name)) and not torch.equal(answer(again, name), before)


PLAIN = """import sys, torch, transformers
model = transformers.AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
inputs = torch.load(sys.argv[2])
torch.save(model(*inputs[:1], **({"decoder_input_ids": inputs[1]} if len(inputs) > 1 else {}))[0], sys.argv[3])
assert not any(name.split(".")[0] == "core" for name in sys.modules)
"""


@pytest.mark.matrix(name=None)
@pytest.mark.parametrize("name", ["resnet", "whisper", "wav2vec2"])
def test_plain_transformers_gives_the_same_outputs(name, place, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    target = tmp_path / "saved"
    assert run(capsys, place(name), "conv-lowrank@0.4", "--save", str(target))[0] == 0
    assert "AutoModel.from_pretrained" in (target / "README.md").read_text()
    inputs = [torch.randn(ENCODERS[name][2], generator=torch.Generator().manual_seed(1))]
    inputs += [torch.ones(2, 3, dtype=torch.long)] if name == "whisper" else []
    torch.save(inputs, tmp_path / "inputs")
    arguments = [str(target), str(tmp_path / "inputs"), str(tmp_path / "outputs")]
    subprocess.run([sys.executable, "-c", PLAIN, *arguments], check=True, cwd=tmp_path)
    wanted = answer(load_model_folder(target, torch.float32), name)
    assert torch.equal(torch.load(tmp_path / "outputs"), wanted)


def test_dense_and_zero_amount_leave_the_model_and_its_processor_unchanged(place, tmp_path, capsys):
    folder = place("resnet")
    ViTImageProcessor(size={"height": 20, "width": 20}).save_pretrained(folder)
    for chain in ("dense", "conv-lowrank@0"):
        target = tmp_path / chain
        assert run(capsys, folder, chain, "--save", str(target))[0] == 0
        assert "ResNetForImageClassification.from_pretrained" in (target / "README.md").read_text()
        assert torch.equal(answer(load_model_folder(target, torch.float32)), answer(encoder()))
        assert ViTImageProcessor.from_pretrained(target).size["height"] == 20


def test_stored_results_are_listed_exported_and_not_recomputed(place, tmp_path, capsys, monkeypatch):
    folder = place("resnet")
    assert main(["sweep", "--models", folder, "--methods", ",".join(METHODS), "--ratios", "0.3,0.5"]) == 0
    stored = {result.variant.stages[0].method: result.variant.key for result in Store().results()}
    assert len(Store().results()) == 5 and set(stored) == {"dense", *METHODS}
    for form in ([], ["--csv"], ["--json"], ["--latex"]):
        assert main(["results", *form]) == 0
    assert "conv-lowrank" in capsys.readouterr().out
    assert main(["compare", stored["dense"], stored["conv-lowrank"]]) == 2
    for form in ("gguf", "compressed-tensors"):
        assert main(["export", stored["conv-lowrank"], str(tmp_path / "other"), "--format", form]) == 2
    assert "Traceback" not in capsys.readouterr().err and not (tmp_path / "other").exists()
    assert main(["export", stored["conv-lowrank"], str(tmp_path / "out")]) == 0
    assert weights(load_model_folder(tmp_path / "out", torch.float32)) < weights(encoder())
    monkeypatch.setattr("core.engine.execute.execute", lambda *_: pytest.fail("made again"))
    code, out, _ = run(capsys, folder, "conv-lowrank@0.5")
    assert code == 0 and "Highest errors of 12 convolutions" in out


def test_facts_match_the_loaded_model(place):
    for name in ENCODERS:
        source = identify(place(name))
        found, model = load_shape(source), load_model(source)
        saved = dict(model.named_buffers()).keys() & model.state_dict().keys()  # which are no parameters
        buffers = sum(model.get_buffer(name).numel() for name in saved)
        assert found.parameters == sum(p.numel() for p in model.parameters()) + buffers, name
        assert found.convolutions == found.block_weights == weights(model)
        assert found.blocks == sum(isinstance(one, nn.Conv1d | nn.Conv2d) for one in model.modules())


@pytest.mark.parametrize(
    ("chain", "options", "sentence"),
    [
        ("wanda@0.5", {}, "Wanda is for language models, and resnet is a ResNetForImageClassification"),
        ("conv-lowrank@0.5+lora", {}, "LoRA is for language models"),
        ("conv-lowrank@0.5", {"tasks": [Task(task="piqa", limit=10)]}, "without perplexity, tasks, latency and scans"),
        ("conv-lowrank@0.5", {"perplexity": [Perplexity.parse("text.txt@32:4")]}, "without perplexity"),
        ("dense", {"latency": True}, "without perplexity"),
        ("conv-lowrank@0.3+depthwise-separable@0.5", {}, "which Low-rank convolutions factored"),
        ("conv-lowrank@2:4", {}, "does not support N:M sparsity"),
        ("conv-lowrank@0.5,layers=0", {}, "compresses the whole model"),
    ],
)
def test_language_model_options_are_rejected(chain, options, sentence, place):
    with pytest.raises(UserError, match=sentence):
        complete(place("resnet"), chain, RunSettings(**options))


def test_other_models_are_rejected(place, tmp_path, capsys):
    folder = place("resnet")
    with pytest.raises(UserError, match="a teacher must be a causal language model"):
        complete("./tiny", f"magnitude@0.5+distill-white,teacher={folder}")
    config = Path(folder, "config.json")
    for spoil in (
        {"architectures": ["NoSuchModel"]},
        {"architectures": ["AutoModel"]},
        {"auto_map": {"AutoModel": "own.Model"}, "architectures": ["OwnModel"]},
    ):
        config.write_text(json.dumps(json.loads(config.read_text()) | spoil))
        code, _, err = run(capsys, folder, "conv-lowrank@0.5")
        assert code == 2 and f"is a {spoil['architectures'][0]}, which transformers" in " ".join(err.split())
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=40, **sizes)).save_pretrained(tmp_path / "bert")
    with pytest.raises(UserError, match="is a BertModel, not a causal language model"):
        complete(str(tmp_path / "bert"), "conv-lowrank@0.5")


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
