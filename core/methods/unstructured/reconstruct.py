"""The best weights for a fixed mask: each row of a linear is a least-squares problem in its kept weights.

References: Hubara et al., Accelerated Sparse Neural Training: A Provable and Efficient Method to Find N:M Transposable
Masks, 2021 (arXiv:2102.08124), AdaPrune: adjusts the kept weights layer by layer. Frantar & Alistarh, SparseGPT, 2023
(arXiv:2301.00774), section 2: the problem of each row, whose exact solution needs a separate factor for each row's
mask. Meng et al., ALPS, 2024 (arXiv:2406.07831), section 3.3: solves all rows at once by preconditioned conjugate
gradients.
"""

import torch
from torch import Tensor


def reconstruct(
    weight: Tensor, reference: Tensor, gram: Tensor, zeros: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, int]:
    """Re-solve the kept weights of a linear so that its outputs approach the reference's.

    Lowers (w - r) H (w - r)^T of each row over its kept weights w. The conjugate gradients are preconditioned by the
    diagonal of H. Each row has its own step length, so that its loss never rises. Weights of inputs that are always
    zero stay unchanged, and so does a row that does not improve.

    Args:
        weight: Masked start of w, (out, in).
        reference: r, (out, in).
        gram: H, (in, in), the inputs' sum of x x^T.
        zeros: (out, in) True for a weight that stays zero.
        iterations: Maximum steps.
        tolerance: A row is finished when its squared preconditioned residual falls to `tolerance`^2 of its first value.

    Returns:
        The weight (out, in) and the number of steps.
    """
    free = ~zeros
    diagonal = gram.diagonal()
    inverse = torch.where(diagonal > 0, 1 / diagonal, 0)  # (in,)
    first = ((reference - weight) @ gram).mul_(free)  # (out, in), half the negative gradient
    solved, residual = weight.clone(), first.clone()
    direction = residual * inverse  # (out, in)
    squared = (residual * direction).sum(1)  # (out,)
    enough = squared * tolerance**2
    used = 0
    for _ in range(iterations):
        active = squared > enough
        if not active.any():
            break
        curved = (direction @ gram).mul_(free)  # (out, in)
        curvature = (direction * curved).sum(1)  # (out,)
        active &= curvature > 0  # no gain is left along a direction that the inputs lack
        step = torch.where(active, squared / curvature, 0)[:, None]
        solved.addcmul_(step, direction)
        residual.addcmul_(step, curved, value=-1)
        scaled = residual * inverse
        following = (residual * scaled).sum(1)
        direction.mul_(torch.where(active, following / squared, 0)[:, None]).add_(scaled)
        squared = torch.where(active, following, 0)
        used += 1
    # Each row's fall in loss, without subtracting two nearly equal losses.
    last = ((reference - solved) @ gram).mul_(free)
    fallen = ((solved - weight) * (first + last)).sum(1)  # (out,)
    return torch.where((fallen > 0)[:, None], solved, weight), used
