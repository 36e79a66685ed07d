"""ALPS against its algorithm written out, and what must hold of what it returns."""

import pytest
import torch

from core.methods.linear import Statistics, Target
from core.methods.numerics.masks import smallest_mask
from core.methods.unstructured.alps import ALPS, ALPSParameters
from core.methods.unstructured.reconstruct import MOST_RHO, alternate
from tests.core.methods.linear import drawn, masked_solution, row_losses

ROWS, COLUMNS = 16, 48


@pytest.fixture
def gram():
    inputs = drawn(400, COLUMNS) @ (drawn(COLUMNS, COLUMNS, seed=1) + 3 * torch.eye(COLUMNS))
    inputs *= torch.linspace(0.2, 3, COLUMNS)
    return inputs.T @ inputs


@pytest.fixture
def weight():
    return drawn(ROWS, COLUMNS, seed=2)


def alps(weight, gram, target, **own):
    return ALPS(ALPSParameters(**own)).compress(weight.clone(), Statistics(400, {"gram": gram}), target)


def losses(weight, dense, gram, damping=0.01):
    """What each row's outputs are off, on the damped inputs, (out,) fp64."""
    hessian = gram.double() + damping * gram.double().diagonal().mean() * torch.eye(len(gram))
    return row_losses(weight, dense, hessian)


def written_out(weight, hessian, count, rho, iterations):
    """ADMM with an inverse of its own for each rho, and what each check found and did; all rows compete."""

    def largest(score):
        kept = torch.zeros(score.numel(), dtype=torch.bool)
        kept[score.abs().flatten().argsort(descending=True)[:count]] = True
        return kept.view_as(score)

    def begin():
        return torch.where(largest(weight), weight, 0), torch.zeros_like(weight)

    identity, rises, did = torch.eye(len(hessian), dtype=hessian.dtype), 0, []
    (nearest, dual), before = begin(), largest(weight)
    for step in range(iterations):
        fitting = (weight @ hessian - dual + rho * nearest) @ torch.linalg.inv(hessian + rho * identity)
        pulled = fitting + dual / rho
        support = largest(pulled)
        nearest = torch.where(support, pulled, 0)
        dual = dual + rho * (fitting - nearest)
        if step % 3 == 2:
            share = (support != before).sum().item() / count
            before = support
            if step + 1 >= 30 and share < 0.0003:
                did.append("settled")
                break
            if share > 0.005 or (share > 0 and rises):
                rho, rises = min(1e6, rho * (1.3 if share > 0.1 else 1.2 if share > 0.005 else 1.1)), rises + 1
                did.append("raised")
            elif share > 0:
                rho, before = rho / 5, largest(weight)
                nearest, dual = begin()
                did.append("begun again")
            elif rises:
                did.append("stopped")
                break
            else:
                rho /= 5
                did.append("lowered")
    return fitting, ~largest(fitting), did


@pytest.mark.parametrize(
    ("ratio", "rho", "iterations", "rules"),
    [
        (0.5, 0.1, 1, set()),
        (0.9, 0.1, 8, {"raised"}),
        (0.05, 0.001, 300, {"raised", "settled"}),
        (0.05, 300.0, 300, {"lowered", "begun again", "raised", "settled"}),
        (0.9, 3.0, 300, {"lowered", "raised", "stopped"}),
    ],
)
def test_alps_matches_the_algorithm_written_out(weight, gram, ratio, rho, iterations, rules):
    """The cases have each rule of the penalty."""
    scale = gram.diagonal().double().sqrt()
    hessian = gram.double() / scale / scale[:, None]
    wanted, count = weight.double() * scale, round(ratio * weight.numel())
    expected, mask, did = written_out(wanted, hessian, weight.numel() - count, rho, iterations)
    assert set(did) == rules and MOST_RHO == 1e6

    def choose(score):
        return smallest_mask(score.abs().flatten(), count).view_as(score)

    spectrum = tuple(torch.linalg.eigh(hessian))
    found, pruned, used = alternate(wanted, hessian, spectrum, choose, rho, iterations)
    torch.testing.assert_close(found, expected)
    assert torch.equal(pruned, mask) and 1 <= used <= iterations


def test_kept_weights_are_near_the_exact_masked_solution(weight, gram):
    found = alps(weight, gram, Target(0.7), refinements=100)
    hessian = gram.double() + 0.01 * gram.double().diagonal().mean() * torch.eye(COLUMNS)
    best = masked_solution(weight, hessian, found.zeros)
    torch.testing.assert_close(
        losses(found.weight, weight, gram).sum(), losses(best, weight, gram).sum(), rtol=1e-3, atol=0
    )


def test_weights_do_not_change_if_no_more_are_pruned(weight, gram):
    assert torch.equal(alps(weight, gram, Target(0.0)).weight, weight)
    zeros = smallest_mask(weight.abs(), COLUMNS // 2)
    masked = weight.masked_fill(zeros, 0)
    found = alps(masked, gram, Target(0.5, zeros=zeros))
    assert torch.equal(found.weight, masked) and torch.equal(found.zeros, zeros)


def test_inputs_that_are_zero_are_handled(weight, gram):
    gram[5], gram[:, 5] = 0, 0
    assert alps(weight, gram, Target(0.5)).weight.isfinite().all()
    assert alps(weight, torch.zeros_like(gram), Target(0.5)).weight.isfinite().all()
