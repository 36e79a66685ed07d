"""A weight as the product of two thin matrices, closest to it under weighted inputs.

With `scale` S, (in,) or lower triangular (in, in), the SVD is that of W S, and the right factor is multiplied by S^-1.
Of all products of this rank, this one has the smallest |(W - W') S|. Its square is the sum of the discarded squared
singular values. If S S^T is the Gram matrix of the inputs X, it is |(W - W') X|, the linear's output error.
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-4  # replaces the scale of an input that is always zero


def spectrum(weight: Tensor, scale: Tensor | None) -> Tensor:
    """Return the squared singular values of a weight (out, in) times its scale, largest first, fp64."""
    squares: Tensor = torch.linalg.svdvals(_scaled(weight, scale)).double().square()
    return squares


def truncate(weight: Tensor, scale: Tensor | None, rank: int) -> tuple[Tensor, Tensor]:
    """Return left (out, rank) and right (rank, in), whose product is closest to `weight` (out, in) under `scale`."""
    u, s, v = torch.linalg.svd(_scaled(weight, scale), full_matrices=False)
    root = s[:rank].sqrt()
    right = root[:, None] * v[:rank]  # (rank, in)
    if scale is not None and scale.dim() == 1:
        right = right / scale
    elif scale is not None:
        right = torch.linalg.solve_triangular(scale, right, upper=False, left=False)
    return u[:, :rank] * root, right


def nonzero(scale: Tensor) -> Tensor:
    """Return a scale (in,) without zeros, to divide by."""
    return torch.where(scale > 0, scale, TINY)


def _scaled(weight: Tensor, scale: Tensor | None) -> Tensor:
    if scale is None:
        return weight
    weight = weight.to(scale.dtype)
    return weight * scale if scale.dim() == 1 else weight @ scale
