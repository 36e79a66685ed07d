"""SparseGPT and its pieces against brute force."""

import pytest
import torch

from core.base.errors import UserError
from core.methods.numerics.hessian import factorise
from core.methods.numerics.sweep import sweep

COLUMNS, ROWS = 48, 12


@pytest.fixture
def gram():
    torch.manual_seed(0)
    mixing = torch.randn(COLUMNS, COLUMNS, dtype=torch.float64)
    inputs = torch.randn(400, COLUMNS, dtype=torch.float64) @ mixing
    return inputs.T @ inputs


@pytest.fixture
def weight():
    return torch.randn(ROWS, COLUMNS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_factor_holds_the_inverses_of_all_trailing_parts(gram):
    upper = factorise(gram, 0.01).upper
    hessian = gram + 0.01 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    assert torch.equal(upper, upper.triu())
    for j in (0, 7, 20, COLUMNS - 1):
        inverse = torch.linalg.inv(hessian[j:, j:])
        assert upper[j, j] ** 2 == pytest.approx(inverse[0, 0].item(), rel=1e-8)
        torch.testing.assert_close(upper[j, j:] / upper[j, j], inverse[0] / inverse[0, 0])


def reference_sweep(weight, upper, ratio, block, pattern=None):
    """Algorithm 1 of the paper, column by column on an (out, in) weight with eager updates."""
    weight, mask = weight.clone(), torch.zeros_like(weight, dtype=torch.bool)
    diagonal = upper.diagonal()
    for j in range(weight.shape[1]):
        if pattern is None and j % block == 0:
            stop = min(j + block, weight.shape[1])
            score = weight[:, j:stop] ** 2 / diagonal[j:stop] ** 2
            count = round(ratio * ROWS * stop) - round(ratio * ROWS * j)
            mask[:, j:stop] = score <= score.flatten().sort().values[count - 1]
        if pattern is not None and j % pattern[1] == 0:
            score = weight[:, j : j + pattern[1]] ** 2 / diagonal[j : j + pattern[1]] ** 2
            pruned = score.argsort(dim=1)[:, : pattern[1] - pattern[0]]
            mask[:, j : j + pattern[1]] = torch.zeros_like(score, dtype=torch.bool).scatter(1, pruned, True)
        error = weight[:, j] * mask[:, j] / diagonal[j]
        weight[:, j:] -= error[:, None] * upper[j, j:]
        weight[mask[:, j], j] = 0
    return weight


@pytest.mark.parametrize("pattern", [None, (2, 4), (4, 8), (1, 3)])
@pytest.mark.parametrize("mask_block", [1, 16, 20, 128])
@pytest.mark.parametrize("block_size", [1, 5, 32])
def test_sweep_equals_the_algorithm_column_by_column(gram, weight, pattern, mask_block, block_size):
    upper = factorise(gram, 0.01).upper
    swept, _ = sweep(weight.clone(), upper, 0.4, pattern, mask_block, block_size)
    torch.testing.assert_close(swept, reference_sweep(weight, upper, 0.4, mask_block, pattern))


def test_a_failed_factorisation_adds_damping_and_a_note():
    indefinite = torch.eye(4)
    indefinite[0, 1] = indefinite[1, 0] = 1.05
    factor = factorise(indefinite, 0.01)
    assert factor.damping == pytest.approx(0.1)
    assert "repeated with 0.1" in factor.note
    with pytest.raises(UserError, match="not positive definite"):
        factorise(torch.eye(2) - 10 * torch.ones(2, 2).fliplr().triu().tril(), 1e-6)
