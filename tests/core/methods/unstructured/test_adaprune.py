"""AdaPrune against the exact solution, row by row, and inside the engine."""

import pytest
import torch

from core.methods.numerics.masks import pattern_mask, smallest_mask
from core.methods.unstructured.reconstruct import reconstruct
from core.models.parts.blocks import find_blocks
from core.request.stages import build_stage
from tests.core.engine.applied import CALIBRATION, compress, shrunk
from tests.core.methods.linear import drawn, row_losses
from tests.core.tiny import tiny, windows

ROWS, COLUMNS = 12, 48


def gram_of(tokens=400, dead=()):
    """The Gram matrix (in, in) of inputs that hang together, of which some are always zero."""
    inputs = drawn(tokens, COLUMNS) @ (drawn(COLUMNS, COLUMNS, seed=1) + 4 * torch.eye(COLUMNS))
    inputs[:, list(dead)] = 0
    return inputs.T @ inputs


def exact(reference, gram, zeros):
    """Least squares in the kept weights of each row, fp64."""
    root = torch.linalg.eigh(gram.double())
    inputs = (root.eigenvectors * root.eigenvalues.clamp_min(0).sqrt()).T  # inputs^T inputs is the Gram matrix
    solved = torch.zeros_like(reference, dtype=torch.float64)
    for row, bound in enumerate(zeros):
        target = inputs @ reference[row].double()
        if not bound.all():
            solved[row, ~bound] = torch.linalg.lstsq(inputs[:, ~bound], target, driver="gelsd").solution
    return solved


def masks():
    scores = drawn(ROWS, COLUMNS, seed=3).abs()
    uneven = smallest_mask(scores, COLUMNS // 2)
    uneven[0], uneven[1], uneven[2, 1:] = True, False, True
    return {"half": smallest_mask(scores, COLUMNS // 2), "2:4": pattern_mask(scores, 2, 4), "uneven": uneven}


@pytest.fixture
def reference():
    return drawn(ROWS, COLUMNS, seed=2)


@pytest.mark.parametrize("mask", masks())
@pytest.mark.parametrize("gram", [gram_of(), gram_of(dead=(3, 17)), gram_of(tokens=30)], ids=["full", "dead", "few"])
def test_reconstruction_reaches_the_exact_solution(reference, mask, gram):
    zeros = masks()[mask]
    start = reference.masked_fill(zeros, 0)
    solved, used = reconstruct(start, reference, gram, zeros, 400, 1e-6)
    best = row_losses(exact(reference, gram, zeros), reference, gram)
    whole = row_losses(torch.zeros_like(reference), reference, gram)
    found = row_losses(solved, reference, gram)
    assert not solved[zeros].any() and 1 < used <= 400
    assert (found - best <= 1e-4 * best + 1e-6 * whole).all()
    assert found.sum() < 0.95 * row_losses(start, reference, gram).sum()
    dead = (gram.diagonal() == 0).nonzero().flatten().tolist()
    assert torch.equal(solved[:, dead], start[:, dead])


def test_solved_rows_are_bit_identical(reference):
    zeros, gram = masks()["uneven"], gram_of()
    start = reference.masked_fill(zeros, 0)
    solved, _ = reconstruct(start, reference, gram, zeros, 50, 1e-3)
    assert torch.equal(solved[:2], start[:2])  # a row that is wholly masked, and one that is not at all
    same, used = reconstruct(start, start, gram, zeros, 50, 1e-3)
    assert used == 0 and torch.equal(same, start)


ADAPRUNE = build_stage("adaprune", calibration=CALIBRATION)


def test_masked_linears_move_closer_to_dense_and_others_do_not_change():
    model = tiny()
    pruned = shrunk(model, "magnitude", 0.5, layers="0:0")
    before = {linear.name: linear.weight.clone() for linear in find_blocks(model).all_linears()}
    reports = {report.name: report for report in compress(model, ADAPRUNE, windows())}
    for linear in find_blocks(model).all_linears():
        assert torch.equal(linear.weight, before[linear.name]) == (linear.block == 1)
        assert (reports[linear.name].error == 0) == (linear.block == 1)
        assert (reports[linear.name].note is None) == (linear.block == 1)
        assert reports[linear.name].error_kind == "output"
        assert reports[linear.name].sparsity == pytest.approx(0.5 * (linear.block == 0), abs=0.02)
    first = [report for report in pruned if report.role == "q"]  # whose inputs are the same
    assert first and all(0 < reports[report.name].error < report.error for report in first)
