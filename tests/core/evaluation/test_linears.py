"""oneDNN's linear against torch's."""

import pytest
import torch
from torch import nn

from core.evaluation.states import states_by_block
from core.models.parts import products
from core.models.parts.products import quick_products
from core.request.stages import build_stage
from tests.core.engine.applied import compress
from tests.core.tiny import tiny, windows


@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (1, 1, 12), (0, 12)])
@pytest.mark.parametrize("bias", [False, True])
def test_quick_linears_match_torch(shape, bias):
    torch.manual_seed(0)
    layer, inputs = nn.Linear(12, 20, bias), torch.randn(*shape)
    with torch.inference_mode():
        expected = layer(inputs)
        with quick_products(torch.float32):
            found = layer(inputs)
            strided = layer(inputs.repeat_interleave(2, -1)[..., ::2])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(strided, expected)


def test_layers_with_gradients_use_torch():
    layer = nn.Linear(12, 20)
    with quick_products(torch.float32):
        layer(torch.randn(3, 12)).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.usefixtures("machine")
def test_block_by_block_a_rotated_embedding_is_computed_in_the_same_way(monkeypatch):
    model, batches = tiny(tie_word_embeddings=True), [windows(3)]
    compress(model, build_stage("rotate"), None)
    turn, calls, quick = model.get_input_embeddings().turn, [], []
    turn.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    monkeypatch.setattr(products, "_suits", lambda *args: args[1] is turn.weight and quick.append(len(args[0])))
    list(states_by_block(model, batches, "key", lambda done, count: None))
    assert quick.count(3) == calls.count(3) > 1  # before the first block, and with the last one
