"""A shrunk model is saved and comes back the same, in this project and in plain transformers."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.base.errors import UserError
from core.models.manifest import load_model_folder, save_model
from tests.core.engine.applied import check_reloads, shrunk
from tests.core.methods.structured.test_structured import SHAPES, STRUCTURED
from tests.core.tiny import tiny, windows

OUTSIDE = """
import sys, torch
from transformers import AutoModelForCausalLM
for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()
    saved = torch.load(folder + "/check.pt", weights_only=True)
    gap = (model(saved["tokens"]).logits - saved["logits"]).abs().max().item()
    assert gap < 1e-5, (folder, gap)
    asked = {"min_new_tokens": 3, "max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    longer = model.generate(saved["tokens"][:1, :5], **asked)
    assert longer.shape == (1, 8)
assert not [name for name in sys.modules if name == "core" or name.startswith("core.")]
print("same")
"""


@pytest.mark.full
@pytest.mark.parametrize("name", SHAPES)
def test_models_of_every_method_are_saved_and_loaded(name, tmp_path):
    folders = []
    for method in STRUCTURED:
        model = tiny(name, num_hidden_layers=4)
        shrunk(model, method.name)
        folder = tmp_path / method.name
        plain = save_model(model, folder)
        assert plain != (folder / "modeling_slimscope.py").exists()
        assert plain or method.name != "shortgpt"
        tokens = windows(2, 12)
        logits = model(tokens).logits
        torch.testing.assert_close(load_model_folder(folder, torch.float32)(tokens).logits, logits)
        torch.save({"tokens": tokens, "logits": logits.detach()}, folder / "check.pt")
        folders.append(str(folder))
    done = subprocess.run([sys.executable, "-c", OUTSIDE, *folders], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "same", done.stderr[-3000:]


def test_equal_blocks_make_a_plain_checkpoint(tmp_path):
    model = tiny("llama-mha")
    shrunk(model, "neuron-magnitude", 0.5)
    check_reloads(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["num_attention_heads"], config["intermediate_size"], config["head_dim"]) == (2, 24, 8)
    assert not (tmp_path / "modeling_slimscope.py").exists()


@pytest.mark.parametrize("name", ["llama-gqa", "opt-projected"])  # to a width that no number of heads divides
def test_configuration_matches_the_shrunk_model(name, tmp_path):
    model = tiny(name, num_hidden_layers=4)
    shrunk(model, "llm-pruner", 0.3, granularity="channel")
    check_reloads(model, tmp_path)


def test_a_saved_model_can_be_saved_again_and_misses_no_tensor(tmp_path):
    model = tiny(num_hidden_layers=3)
    shrunk(model, "slimllm", 0.4)
    check_reloads(check_reloads(model, tmp_path / "once"), tmp_path / "twice")
    weights = tmp_path / "twice" / "model.safetensors"
    state = {name: tensor.clone() for name, tensor in load_file(weights).items()}
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model_folder(tmp_path / "twice", torch.float32)
