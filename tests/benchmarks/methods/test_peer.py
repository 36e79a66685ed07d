"""The side of llm-compressor, with a package in its place that halves every weight."""

import sys
from pathlib import Path

import pytest
import torch

from benchmarks.methods.peer import compress
from benchmarks.smoke import tiny_inputs
from core.models.sources import identify, load_model

ONESHOT = """
def oneshot(model, dataset, recipe, max_seq_length, num_calibration_samples):
    assert (num_calibration_samples, max_seq_length) == (len(dataset), len(dataset[0]["input_ids"])) == (2, 24)
    for parameter in model.parameters():
        parameter.data.mul_(0.5)
"""
PACKAGE = {
    "__init__.py": ONESHOT,
    "modifiers/__init__.py": "",
    "modifiers/pruning.py": "def SparseGPTModifier(sparsity, mask_structure, targets, ignore): ...",
    "modifiers/quantization.py": "def GPTQModifier(config_groups, ignore): ...",
}
pytestmark = pytest.mark.full


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Let this interpreter find the package in place of llm-compressor."""
    for name, source in PACKAGE.items():
        file = tmp_path / "llmcompressor" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(("method", "amount"), [("sparsegpt", "0.5"), ("gptq", "4")])
def test_the_model_has_the_weights_of_the_peer(method, amount):
    with tiny_inputs() as model:
        source = identify(str(model))
        tokens = torch.ones(2, 24, dtype=torch.long)
        seconds, left = compress(Path(sys.executable), source, tokens, method, amount)
        dense = load_model(source).state_dict()
    assert seconds >= 0
    assert all(torch.equal(weight, dense[name] / 2) for name, weight in left.state_dict().items())
