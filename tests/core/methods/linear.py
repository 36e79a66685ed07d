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
