"""The mask of a linear by ADMM, and the best weights for a fixed mask: for each row a least-squares problem.

References: Meng et al., ALPS, 2024 (arXiv:2406.07831), section 3.2, algorithm 1: ADMM alternates between the best
weights and the nearest with enough zeros. The penalty rho follows how much of the mask still changes; its constants are
those of the authors' repository. Section 3.3: solves all rows at once by preconditioned conjugate gradients. Hubara et
al., Accelerated Sparse Neural Training: A Provable and Efficient Method to Find N:M Transposable Masks, 2021
(arXiv:2102.08124), AdaPrune: adjusts the kept weights layer by layer. Frantar & Alistarh, SparseGPT, 2023
(arXiv:2301.00774), section 2: the problem of each row, whose exact solution needs a factor of its own for each mask.
"""

from collections.abc import Callable

import torch
from torch import Tensor

EVERY = 3  # iterations between two updates of rho
GROWTH = ((0.1, 1.3), (0.005, 1.2), (0.0, 1.1))  # (changed share of the mask, growth of rho above it)
SHRINKAGE = 5  # divisor of rho until it grows for the first time
MOST_RHO = 1e6
SETTLED, AT_LEAST = 0.0003, 30  # changed share that ends the search, after this many iterations


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


def alternate(
    weight: Tensor,
    gram: Tensor,
    spectrum: tuple[Tensor, Tensor],
    choose: Callable[[Tensor], Tensor],
    rho: float,
    iterations: int,
) -> tuple[Tensor, Tensor, int]:
    """Search the mask of a linear by ADMM, for the least tr((B - W) H (B - W)^T) with zeros.

    Args:
        weight: W, (out, in).
        gram: H, (in, in), with ones on its diagonal.
        spectrum: Eigenvalues (in,) and eigenvectors (in, in) of H.
        choose: Returns the mask (out, in) of the entries of a weight that become zero.
        rho: Initial penalty.
        iterations: Maximum iterations.

    Returns:
        The last B (out, in), its mask (out, in), True is pruned, and the number of iterations.
    """
    values, vectors = spectrum
    wanted = weight @ gram  # (out, in)
    start = weight.masked_fill(first := choose(weight), 0)
    sparse, seen, dual = start, first, torch.zeros_like(weight)  # Z, its mask, V
    kept, raised, step = max(int((~first).sum()), 1), False, 0
    best = weight  # B
    for step in range(1, iterations + 1):
        best = ((wanted - dual + rho * sparse) @ vectors / (values + rho)) @ vectors.T
        shifted = best + dual / rho
        mask = choose(shifted)
        sparse = shifted.masked_fill(mask, 0)
        dual += rho * (best - sparse)
        if step % EVERY:
            continue
        changed, seen = int((mask ^ seen).sum()) / kept, mask
        if (step >= AT_LEAST and changed < SETTLED) or (raised and not changed):
            break
        if raised or changed > GROWTH[1][0]:
            rho, raised = min(rho * next(by for share, by in GROWTH if changed > share), MOST_RHO), True
            continue
        rho /= SHRINKAGE
        if changed:
            best, sparse, seen, dual = weight, start, first, torch.zeros_like(weight)
    return best, choose(best), step
