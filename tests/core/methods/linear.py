"""Random linears, the size of the one that rounding is tried on, and what their outputs lose."""

import torch

ROWS, INPUTS, GROUP = 24, 128, 32


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def row_losses(weight, reference, gram):
    """By how much the outputs of each row differ from the reference's, squared: (out,) fp64."""
    gap = weight.double() - reference.double()
    return ((gap @ gram.double()) * gap).sum(1)


def loss(gram, weight, rounded):
    """The squared error of the outputs: tr((W - W') X X^T (W - W')^T)."""
    return float(row_losses(rounded, weight, gram).sum())


def masked_solution(reference, hessian, zeros):
    """The rows (out, in) fp64 nearest in outputs that are zero where `zeros`, from the equations of what each keeps."""
    solved, hessian = torch.zeros_like(reference, dtype=torch.float64), hessian.double()
    for row, kept in enumerate(~zeros):
        solved[row, kept] = torch.linalg.solve(hessian[kept][:, kept], hessian[kept] @ reference[row].double())
    return solved
