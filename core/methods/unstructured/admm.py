"""Which weights of a linear stay, found by alternating directions: the best weights, and the nearest with enough zeros.

Reference: Meng et al., ALPS, 2024 (arXiv:2406.07831), section 3.2, algorithm 1, whose penalty rho follows how much of
the mask still changes; the numbers of that are its repository's.
"""

from collections.abc import Callable

import torch
from torch import Tensor

EVERY = 3  # iterations after which rho is looked at
GROWTH = ((0.1, 1.3), (0.005, 1.2), (0.0, 1.1))  # what it grows by where more than a share of the mask has changed
SHRINKAGE = 5  # by which it goes down until it grows for the first time
MOST_RHO = 1e6
SETTLED, AT_LEAST = 0.0003, 30  # it ends where less of the mask has changed, after so many iterations


def alternate(
    weight: Tensor,
    gram: Tensor,
    spectrum: tuple[Tensor, Tensor],
    choose: Callable[[Tensor], Tensor],
    rho: float,
    iterations: int,
) -> tuple[Tensor, Tensor, int]:
    """Return weights (out, in) near the best with zeros, where those are (out, in), and how many iterations it took.

    Lowers tr((B - W) H (B - W)^T) of the `weight` W; `gram` is H (in, in), with ones on its diagonal, `spectrum` its
    eigenvalues (in,) and eigenvectors (in, in), and `choose` says of a weight which of its entries become zero.
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
