"""Removal of units block by block: each block is calibrated on the output of the shrunk blocks before it."""

import pytest
import torch

from core.engine.runners import by_units
from core.models.parts.blocks import find_blocks
from tests.core.engine.applied import shrunk
from tests.core.tiny import tiny, windows


@pytest.mark.parametrize("name", ["llama-mha", "olmo2"])
def test_the_last_block_is_calibrated_on_what_the_shrunk_model_computes(name, monkeypatch):
    """Also with norms over all heads, whose mean changes once the masked heads are gone."""
    walkers, make = [], by_units.make_walker

    def noted(*args, **kwargs):
        walkers.append(make(*args, **kwargs))
        return walkers[-1]

    monkeypatch.setattr(by_units, "make_walker", noted)
    model = tiny(name, num_hidden_layers=3, num_key_value_heads=4).requires_grad_(False)
    shrunk(model, "slimllm", layer_ratio="uniform")
    assert all(block.self_attn.q_proj.out_features < 32 for block in model.model.layers)
    inputs = []
    last = find_blocks(model).holder[-1]
    last.register_forward_pre_hook(lambda module, args, kwargs: inputs.append(args[0]), with_kwargs=True)
    model(windows())
    torch.testing.assert_close(torch.cat(walkers[-1].hidden), torch.cat(inputs))
