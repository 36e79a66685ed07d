"""A matrix as the product of two thin ones."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-4  # stands for the norm of an input that is always zero


def weighted_svd(weight: Tensor, sqnorm: Tensor | None, rank: int) -> tuple[Tensor, Tensor]:
    """Return (left (out, rank), right (rank, in)) whose product is closest to `weight` (out, in).

    With `sqnorm` (in,) of the inputs, closest where each input counts by its norm: the SVD of W D, D = diag of the
    norms, and D^-1 taken out of the right factor again. Reference: Li et al., LoRAP, 2024 (arXiv:2404.09695), eq. 6.
    """
    if sqnorm is None:
        scale = weight.new_ones(weight.shape[1])
    else:
        scale = sqnorm.sqrt()
        scale = torch.where(scale > 0, scale, TINY)
    u, s, v = torch.linalg.svd(weight * scale, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * v[:rank] / scale
