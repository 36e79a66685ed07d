"""Hadamard matrices of many orders, and random rotations from them.

References: Paley, On orthogonal matrices, 1933, for the orders q + 1 and 2 (q + 1) of a prime q; Sylvester, 1867, for
doubling. QuIP# (Tseng et al., 2024, arXiv:2402.04396), section 3, for random signs.
"""

import torch
from torch import Tensor


def random_rotation(width: int, seed: int) -> Tensor:
    """Return an orthogonal matrix (width, width), fp64: a Hadamard matrix with random signs if known, else random."""
    draw = torch.Generator().manual_seed(seed)
    plain = hadamard(width)
    if plain is None:
        drawn: Tensor = torch.linalg.qr(torch.randn(width, width, generator=draw, dtype=torch.float64)).Q
        return drawn
    signs = 2.0 * torch.randint(2, (width,), generator=draw) - 1
    rotation: Tensor = signs[:, None].double() * plain / width**0.5
    return rotation


def hadamard(order: int) -> Tensor | None:
    """Return a Hadamard matrix (order, order) of 1 and -1, fp64; None if no construction here gives one."""
    if order == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if order % 2 == 0 and (half := hadamard(order // 2)) is not None:
        return torch.cat([torch.cat([half, half], 1), torch.cat([half, -half], 1)])
    if order % 4 == 0 and _prime(order - 1):
        return _bordered(order - 1, -1) + torch.eye(order, dtype=torch.float64)  # Paley's first construction
    if order % 4 == 0 and _prime(order // 2 - 1) and (order // 2 - 1) % 4 == 1:
        return _symmetric(order // 2 - 1)
    return None


def _prime(number: int) -> bool:
    return number > 2 and all(number % one for one in range(2, int(number**0.5) + 1))


def _bordered(prime: int, corner: float) -> Tensor:
    """Return a prime's Jacobsthal matrix with a border of 1 above and `corner` on the left, (prime + 1, prime + 1)."""
    residues = {number * number % prime for number in range(1, prime)}
    places = (torch.arange(prime)[:, None] - torch.arange(prime)) % prime
    character = torch.tensor([0.0] + [1.0 if number in residues else -1.0 for number in range(1, prime)]).double()
    found = torch.zeros(prime + 1, prime + 1, dtype=torch.float64)
    found[0, 1:], found[1:, 0], found[1:, 1:] = 1, corner, character[places]
    return found


def _symmetric(prime: int) -> Tensor:
    """Return Paley's second construction, for a prime that is 1 modulo 4."""
    entries = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    diagonal = torch.tensor([[1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    return torch.kron(_bordered(prime, 1), entries) + torch.kron(torch.eye(prime + 1, dtype=torch.float64), diagonal)
