"""oneDNN's linear against torch's."""

import pytest
import torch
from torch import nn

from core.evaluation.linears import quick_products


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
