"""The best weights for a fixed mask: each row of a linear a least-squares problem in its kept weights.

References: Hubara et al., Accelerated Sparse Neural Training: A Provable and Efficient Method to Find N:M Transposable
Masks, 2021 (arXiv:2102.08124), AdaPrune, for adjusting the kept weights layer by layer; Frantar & Alistarh, SparseGPT,
2023 (arXiv:2301.00774), section 2, for the problem of each row, whose exact solution needs a factor of its own for
every row's mask; Meng et al., ALPS, 2024 (arXiv:2406.07831), section 3.3, for solving all rows at once by
preconditioned conjugate gradients instead.
"""

import torch
from torch import Tensor


def reconstruct(
    weight: Tensor, reference: Tensor, gram: Tensor, zeros: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, int]:
    """Return the weight (out, in) whose outputs are closer to the reference's, and how many iterations that took.

    Lowers (w - r) H (w - r)^T of each row over the weights that `zeros` (out, in) does not bind to zero: `weight`, its
    masked start, w; `reference` r; `gram` H (in, in), the inputs' sum of x x^T. Conjugate gradients, preconditioned by
    the diagonal of H and with step lengths of its own for each row, so that a row's loss never rises. A row is done
    when its squared preconditioned residual has fallen to `tolerance`^2 of its first. Weights of inputs that are always
    zero stay; so does a row that comes out no better.
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
        active &= curvature > 0  # no more is left to gain along a direction that the inputs do not have
        step = torch.where(active, squared / curvature, 0)[:, None]
        solved.addcmul_(step, direction)
        residual.addcmul_(step, curved, value=-1)
        scaled = residual * inverse
        following = (residual * scaled).sum(1)
        direction.mul_(torch.where(active, following / squared, 0)[:, None]).add_(scaled)
        squared = torch.where(active, following, 0)
        used += 1
    # What each row's loss has fallen by, with no difference of two losses that are nearly equal.
    last = ((reference - solved) @ gram).mul_(free)
    fallen = ((solved - weight) * (first + last)).sum(1)  # (out,)
    return torch.where((fallen > 0)[:, None], solved, weight), used
