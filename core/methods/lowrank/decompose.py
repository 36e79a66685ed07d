"""A matrix as the product of two thin ones, closest to it where its inputs are weighed.

With `scale` S (in,), or (in, in) lower triangular, the SVD is that of W S, and S^-1 is taken out of the right factor
again: of all products of this rank it has the smallest |(W - W') S|, whose square is the sum of the discarded squared
singular values. Where S S^T is the Gram matrix of the inputs X, that is |(W - W') X|: the linear's output error.
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-4  # stands for the scale of an input that is always zero


def spectrum(weight: Tensor, scale: Tensor | None) -> Tensor:
    """Return the squared singular values of a weight (out, in) times its scale, largest first, fp64."""
    return torch.linalg.svdvals(_scaled(weight, scale)).double().square()


def truncate(weight: Tensor, scale: Tensor | None, rank: int) -> tuple[Tensor, Tensor]:
    """Return (left (out, rank), right (rank, in)) whose product is closest to `weight` (out, in) under `scale`."""
    u, s, v = torch.linalg.svd(_scaled(weight, scale), full_matrices=False)
    root = s[:rank].sqrt()
    right = root[:, None] * v[:rank]  # (rank, in)
    if scale is not None and scale.dim() == 1:
        right = right / scale
    elif scale is not None:
        right = torch.linalg.solve_triangular(scale, right, upper=False, left=False)
    return u[:, :rank] * root, right


def nonzero(scale: Tensor) -> Tensor:
    """Return a scale (in,) that can be divided by."""
    return torch.where(scale > 0, scale, TINY)


def _scaled(weight: Tensor, scale: Tensor | None) -> Tensor:
    if scale is None:
        return weight
    weight = weight.to(scale.dtype)
    return weight * scale if scale.dim() == 1 else weight @ scale
