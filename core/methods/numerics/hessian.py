"""Factors of matrices: of the inputs' Gram matrix and of its inverse, and of a weight as the product of two thin ones.

References: Frantar & Alistarh, 2023 (arXiv:2301.00774), section 3.3, for the sweeps of SparseGPT and GPTQ. U is the
inverse of the reversed Cholesky factor: H = R R^T with R upper triangular and U = R^-1, so H^-1 = U^T U. This takes one
factorisation and one solve.

With `scale` S, (in,) or lower triangular (in, in), the SVD of a weight is that of W S, and the right factor is
multiplied by S^-1. Of all products of this rank, this one has the smallest |(W - W') S|. Its square is the sum of the
discarded squared singular values. If S S^T is the Gram matrix of the inputs X, it is |(W - W') X|, the linear's output
error.
"""

import torch
from torch import Tensor

from core.base.errors import UserError
from core.methods.linear import Factor

DAMPING_STEPS = (1, 10, 100)  # factors of the damping, tried in turn
PANEL = 256  # rows at once
RIDGES = (0.0, 1e-9, 1e-7, 1e-5, 1e-3)  # shares of the mean diagonal, added in turn until it is definite
TINY = 1e-4  # replaces the scale of an input that is always zero


def factorise(gram: Tensor, damping: float) -> Factor:
    """Return U of the damped Gram matrix (in, in); raise `UserError` if it is not finite or stays indefinite."""
    check_finite(gram)
    diagonal = gram.diagonal()
    dead = diagonal == 0
    notes = [f"{int(dead.sum())} dead inputs"] if dead.any() else []
    mean = diagonal.mean()
    for step in DAMPING_STEPS:
        used = damping * step
        # Reversed rows and columns give the upper factor. At most three such matrices are in memory at once.
        hessian = gram.flip(0, 1)
        hessian.diagonal()[dead.flip(0)] = 1
        hessian.diagonal().add_(used * mean)
        lower, info = torch.linalg.cholesky_ex(hessian)
        del hessian
        if info == 0:
            inverse = torch.eye(len(gram), dtype=gram.dtype, device=gram.device).T  # by columns, so solved in place
            torch.linalg.solve_triangular(lower, inverse, upper=False, out=inverse)
            del lower
            if step > 1:
                notes.append(f"not positive definite at damping {damping:g}, repeated with {used:g}")
            return Factor(_reversed(inverse), dead, used, "; ".join(notes) or None)
    raise UserError(
        f"The Hessian is not positive definite even with damping {used:g}; "
        "use more calibration sequences or a larger damping."
    )


def _reversed(matrix: Tensor) -> Tensor:
    """Return a contiguous copy with reversed rows and columns."""
    found = torch.empty(matrix.shape, dtype=matrix.dtype, device=matrix.device)
    for rows, last in zip(found.split(PANEL), range(len(matrix), 0, -PANEL), strict=True):
        rows.copy_(matrix[last - len(rows) : last].flip(0, 1))
    return found


def lower_factor(gram: Tensor) -> tuple[Tensor, str | None]:
    """Return L (in, in), lower triangular fp64, of the Gram matrix L L^T, and a note if it needed a ridge."""
    check_finite(gram)
    mean = gram.diagonal().double().mean().clamp_min(1e-30)
    for ridge in RIDGES:
        damped = gram.to(torch.float64, copy=True)
        damped.diagonal().add_(ridge * mean)
        lower, info = torch.linalg.cholesky_ex(damped)
        if info == 0:
            return lower, f"inputs not independent, ridge {ridge:g}" if ridge else None
    raise UserError("The calibration activations are too few or too similar to factor; use more calibration sequences.")


def check_finite(gram: Tensor) -> None:
    """Raise `UserError` if a Gram matrix (in, in) is not finite."""
    if not all(rows.isfinite().all() for rows in gram.split(PANEL)):
        raise UserError("The calibration activations are not finite; use float32 or bfloat16 instead of float16.")


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
