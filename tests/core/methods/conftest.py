"""One linear and the sums of what it reads, for methods that round it."""

import pytest
import torch

from tests.core.methods.linear import INPUTS, ROWS


@pytest.fixture
def weight():
    return torch.randn(ROWS, INPUTS, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def gram():
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(INPUTS, 600, generator=draw) * torch.linspace(0.1, 3, INPUTS)[:, None]
    inputs += inputs.mean(0)
    return inputs @ inputs.T
