"""How many weights the linears of a model's blocks have, and how many those had that a smaller model was made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import nn

from core.models.parts.blocks import Linear, find_blocks


def linear_sizes(model: nn.Module) -> dict[str, int]:
    """Return the weights of each block linear by its name."""
    return {linear.name: linear.weight.numel() for linear in find_blocks(model).all_linears()}


def size_before(linears: Sequence[Linear], dense: Mapping[str, int]) -> int:
    """Return how many weights some linears had in the dense model, whose sizes are `linear_sizes`.

    Two factors are one linear there, and a shortcut of SliceGPT is none. Where blocks were removed, a name means the
    block that had its place, as all blocks have equal linears.
    """
    names = {name if name in dense else re.sub(r"\.[01]$", "", name) for name in (linear.name for linear in linears)}
    return sum(dense.get(name, 0) for name in names)
