"""Rows as tensor trains, many at once: TT-SVD, Oseledets, Tensor-Train Decomposition, 2011 (doi:10.1137/090752286).

Algorithm 1, with the left singular vectors computed as eigenvectors of the small Gram matrix. For tens of thousands of
small matrices, that is several times faster. The vectors are orthonormal, however exact they are. Where no rank is cut,
none are needed, so a train of full ranks gives its row back.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

Shape = tuple[int, ...]


def train_cores(rows: Tensor, shape: Shape, ranks: Shape) -> Tensor:
    """Return the cores (rows, P) of rows (rows, width), each core as (r_k, I_k, r_(k-1)), in the rows' dtype.

    A row is folded with its first index the fastest, and padded with zeros if the shape is larger.
    """
    count = len(rows)
    carry = pad(rows, (0, math.prod(shape) - rows.shape[1]))[:, None]  # (rows, r_(k-1), I_k ... I_N)
    cores = []
    for size, before, after in zip(shape[:-1], ranks, ranks[1:], strict=False):
        matrix = carry.view(count, before, -1, size).transpose(2, 3).reshape(count, before * size, -1)
        left, carry = _split(matrix, after)
        cores.append(left.view(count, before, size, after).permute(0, 3, 2, 1).flatten(1))
    cores.append(carry.transpose(1, 2).flatten(1))
    return torch.cat(cores, 1)


def _split(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factor each matrix (n, rows, columns) into the closest product of this rank.

    Returns:
        The left factors (n, rows, rank), whose columns are orthonormal, and the right ones (n, rank, columns).
    """
    count, rows, columns = matrix.shape
    if rank == rows:
        return torch.eye(rows).to(matrix).expand(count, -1, -1).contiguous(), matrix
    basis = None
    if columns < rows:
        basis, matrix = torch.linalg.qr(matrix)
        if rank == columns:
            return basis, matrix
    left = torch.linalg.eigh(matrix @ matrix.mT).eigenvectors[..., -rank:]
    return (left if basis is None else basis @ left), left.mT @ matrix
