"""A module kind that another file adds: one class and one place in the table."""

import json
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from core.base.errors import UserError
from core.models import modeling_slimscope
from core.models.manifest import load_model_folder, save_model
from core.models.modeling_slimscope import KINDS, ModuleKind, put
from tests.core.models.test_manifest import OUTSIDE
from tests.core.tiny import tiny, windows

NAME = "model.layers.1.mlp.down_proj"


class GatedLinear(ModuleKind, nn.Module):
    """A linear whose outputs each have a gate."""

    tag = "gated"

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.gate = nn.Parameter(torch.ones(outputs))

    @property
    def settings(self) -> list[int]:
        return [self.linear.in_features, self.linear.out_features]

    def forward(self, hidden: Tensor) -> Tensor:
        return self.linear(hidden) * self.gate


@pytest.fixture
def gated(monkeypatch):
    """A model with a gated linear, whose kind is registered."""
    monkeypatch.setattr(modeling_slimscope, "KINDS", [*KINDS, GatedLinear])
    model = tiny()
    old = model.get_submodule(NAME)
    new = GatedLinear(old.in_features, old.out_features)
    new.linear.weight.data.copy_(old.weight)
    new.gate.data.copy_(torch.linspace(0.5, 2, old.out_features))
    put(model, NAME, new)
    return model.eval()


@torch.no_grad()
def test_a_registered_kind_is_saved_and_loaded(gated, tmp_path, monkeypatch):
    assert not save_model(gated, tmp_path)
    shapes = json.loads((tmp_path / "config.json").read_text())["slimscope"]
    assert {tag: listed for tag, listed in shapes.items() if listed} == {"gated": {NAME: [48, 32]}}
    again = load_model_folder(tmp_path, torch.float32)
    assert isinstance(again.get_submodule(NAME), GatedLinear)
    logits = gated(windows()).logits
    assert torch.equal(again(windows()).logits, logits)
    assert not torch.equal(tiny()(windows()).logits, logits)
    monkeypatch.setattr(modeling_slimscope, "KINDS", KINDS)
    with pytest.raises(UserError, match="this program has no module kind gated"):
        load_model_folder(tmp_path, torch.float32)


@pytest.mark.full
@torch.no_grad()
def test_plain_transformers_builds_a_registered_kind(gated, tmp_path):
    save_model(gated, tmp_path)
    torch.save({"tokens": windows(), "logits": gated(windows()).logits}, tmp_path / "check.pt")
    done = subprocess.run([sys.executable, "-c", OUTSIDE, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "same", done.stderr[-3000:]
