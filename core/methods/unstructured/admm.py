"""The mask of a linear by ADMM, which alternates between the best weights and the nearest with enough zeros.

Reference: Meng et al., ALPS, 2024 (arXiv:2406.07831), section 3.2, algorithm 1. The penalty rho follows how much of the
mask still changes; its constants are those of the authors' repository.
"""

from collections.abc import Callable

import torch
from torch import Tensor

EVERY = 3  # iterations between two updates of rho
GROWTH = ((0.1, 1.3), (0.005, 1.2), (0.0, 1.1))  # (changed share of the mask, growth of rho above it)
SHRINKAGE = 5  # divisor of rho until it grows for the first time
MOST_RHO = 1e6
SETTLED, AT_LEAST = 0.0003, 30  # changed share that ends the search, after this many iterations


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
