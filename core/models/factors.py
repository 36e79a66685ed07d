"""A linear stored as the product of two thin ones."""

import torch
from torch import Tensor, nn


class Factors(nn.Sequential):
    """right (rank, in) and then left (out, rank), with the bias of the linear it replaces."""

    def __init__(self, left: Tensor, right: Tensor, bias: Tensor | None = None):
        first = nn.Linear(right.shape[1], right.shape[0], bias=False, device="meta")
        second = nn.Linear(left.shape[1], left.shape[0], bias=bias is not None, device="meta")
        first.weight, second.weight = nn.Parameter(right), nn.Parameter(left)
        if bias is not None:
            second.bias = nn.Parameter(bias)
        super().__init__(first, second)


@torch.no_grad()
def factorise(parent: nn.Module, name: str, left: Tensor, right: Tensor) -> None:
    """Put the product of left (out, rank) and right (rank, in) in the place of a module's linear."""
    linear = getattr(parent, name)
    weight, bias = linear.weight, linear.bias
    factors = Factors(
        left.to(weight.dtype).contiguous(), right.to(weight.dtype).contiguous(), None if bias is None else bias.data
    )
    setattr(parent, name, factors.requires_grad_(weight.requires_grad))
