"""How many weights the linears of a model's blocks have, and how many those had that a smaller model was made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import nn

from core.models.folders import is_causal
from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.convolutions import convolutions_of


def is_language_model(model: nn.Module) -> bool:
    """Whether a model is a causal LM, by its architecture's name."""
    return is_causal(type(model).__name__)


def counted_sizes(model: nn.Module) -> dict[str, int]:
    """Return by name how many weights have the layers that a ratio is a share of: the linears of a language model's
    blocks, or the convolutions of another model.
    """
    if is_language_model(model):
        return linear_sizes(model)
    return {one.name: one.kernel.numel() for one in convolutions_of(model)}


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
