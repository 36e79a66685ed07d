"""Mixtures of experts: separate linears in memory, the architecture's own tensors in a checkpoint."""

import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from core.models.manifest import load_model_folder, save_model
from core.models.modeling_slimscope import put
from core.models.parts.blocks import find_blocks
from core.models.parts.experts import experts_in, separate_experts, stacked, stacked_shapes
from core.models.removal.units import factors_of
from tests.core.tiny import windows
from tools.architectures.models import ARCHITECTURES, tiny_model

MIXTURES = ["mixtral", "qwen3_moe", "olmoe", "deepseek_v3", "gpt_oss", "granitemoe"]
OF_EACH_CLASS = ["olmo3", "phi3", "gptj", "mixtral", "qwen3_next"]
OTHERS = [*MIXTURES[1:], "mamba", "mamba2", "jamba", "rwkv", "lfm2", "bloom", "mpt", "glm4"]
# Writes the logits of each checkpoint in the folders of the arguments, in a process without this project.
PLAIN = """
import sys, torch
from transformers import AutoModelForCausalLM
assert not any(name.split(".")[0] == "core" for name in sys.modules)
for folder in sys.argv[2:]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.save(model(torch.load(sys.argv[1])).logits, f"{folder}/logits.pt")
"""


@pytest.mark.parametrize("name", MIXTURES)
def test_separate_experts_compute_what_the_stacked_ones_do(name):
    tokens = windows()
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **ARCHITECTURES[name], initializer_range=0.3)
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    before = model(tokens).logits
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    separate_experts(model)
    assert experts_in(model) and torch.allclose(model(tokens).logits, before, atol=1e-5)
    linears = list(find_blocks(model).all_linears())
    experts = [linear for linear in linears if ".experts." in linear.name and "shared" not in linear.name]
    assert len(experts) == sum(3 * len(layer) for layer in experts_in(model))
    assert not [linear for linear in linears if linear.shape[0] in (1, 8)]  # routers have an output for each expert
    with stacked_shapes(model) as layers:
        assert {name: one.shape for name, one in model.state_dict().items()} == {n: t.shape for n, t in tensors.items()}
    assert model.state_dict().keys() != tensors.keys()
    for place, experts in layers.items():
        assert all(torch.equal(one, tensors[f"{place}.{own}"]) for own, one in stacked(experts).items())
    assert torch.allclose(model(tokens).logits, before, atol=1e-5)


@pytest.mark.parametrize("names", [OF_EACH_CLASS, pytest.param(OTHERS, marks=pytest.mark.full)])
def test_changed_weights_load_in_plain_transformers(names, tmp_path):
    """A weight that was set after separation is in the checkpoint that plain transformers load."""
    tokens, folders = windows(), []
    for name in names:
        model = tiny_model(name)
        for linear in find_blocks(model).all_linears():
            linear.set_weight(linear.weight * 0.9)
        folders.append(tmp_path / name)
        assert save_model(model, folders[-1])
        torch.save(model(tokens).logits, folders[-1] / "expected.pt")
    torch.save(tokens, tmp_path / "tokens.pt")
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "tokens.pt"), *map(str, folders)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    for folder in folders:
        found, expected = torch.load(folder / "logits.pt"), torch.load(folder / "expected.pt")
        assert torch.allclose(found, expected, atol=1e-5), folder.name


def test_experts_of_different_shapes_keep_their_linears_in_the_checkpoint(tmp_path):
    model, tokens = tiny_model("mixtral"), windows()
    linear = next(one for one in find_blocks(model).all_linears() if one.name.endswith("experts.3.up_proj"))
    left, _, right = torch.linalg.svd(linear.weight, full_matrices=False)
    put(model, linear.name, factors_of(linear, left[:, :4], right[:4]))
    assert not save_model(model, tmp_path)
    again = load_model_folder(tmp_path, torch.float32)
    assert torch.allclose(again(tokens).logits, model(tokens).logits, atol=1e-5)
    assert type(experts_in(again)[0][3].up_proj).__name__ == "Factors"


@pytest.mark.matrix(name=None)
@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_is_mapped_from_a_copy_with_separate_experts(name, tmp_path, monkeypatch):
    """No expert is in memory of the process, and the mapped model computes what the whole one does."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    model, tokens = tiny_model(name), windows()
    save_model(model, tmp_path / name)
    mapped = load_model_folder(tmp_path / name, torch.float32, mapped=True)
    own = dict(model.named_parameters())
    assert own.keys() == dict(mapped.named_parameters()).keys()
    assert all(torch.equal(one, own[key]) for key, one in mapped.named_parameters())
    assert torch.equal(mapped(tokens).logits, model(tokens).logits)
    (copy,) = [one for one in (tmp_path / "cache" / "converted").iterdir() if one.is_dir()]
    assert not [one for one in copy.rglob("*") if one.suffix not in {".json", ".safetensors"}]
