"""A model put together from parts of variants that differ in one amount: each part is made once for each amount.

Parts were calibrated on the outputs of their own variant, so a model that is made as a whole has slightly other losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.cache.observations import Tensors, observed
from core.engine.allotment import allot
from core.engine.amounts import target_of
from core.errors import UserError
from core.evaluation.perplexity import window_losses
from core.methods.linear import LinearMethod
from core.models.modeling_slimscope import put
from core.models.parts.blocks import find_blocks, move
from core.registry import build_method

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from core.models.parts.blocks import Linear
    from core.specs import Stage

Choice = Mapping[str, int]  # the level of each part, by its name in the model


class Mosaic:
    """The losses of a model whose parts come from variants at several levels.

    Args:
        models: A variant at each level; the first one gives all other parts.
        names: The names of the parts.
        windows: Tokens, (N, L).
        device: Where to compute.
    """

    def __init__(self, models: Mapping[int, PreTrainedModel], names: list[str], windows: Tensor, device: torch.device):
        self.windows = windows.to(device)
        self.model = next(iter(models.values()))
        for model in models.values():
            move(model, device)
        self._parts = {level: {name: model.get_submodule(name) for name in names} for level, model in models.items()}

    def losses(self, choice: Choice) -> np.ndarray:
        """Return the loss of each window with these parts, (N,) in nats."""
        for name, level in choice.items():
            put(self.model, name, self._parts[level][name])
        return np.array([window_losses(self.model, window[None])[0] for window in self.windows])


def block_names(model: PreTrainedModel) -> list[str]:
    """Return the names of a model's blocks, in order."""
    blocks = find_blocks(model)
    return [f"{blocks.name}.{index}" for index in range(len(blocks.holder))]


def rounding_losses(stage: Stage, before: str) -> Tensors:
    """Return the losses that a stage for a mean of bits has observed on each linear, by name.

    Args:
        stage: The stage.
        before: Key of the variant before it.

    Raises:
        UserError: They are no longer in the cache.
    """
    return observed(before, stage, build_method(stage).observations, _missing)


def planned_bits(linears: Sequence[Linear], stage: Stage, losses: Tensors) -> dict[str, int]:
    """Return the bits that a stage for a mean of bits gives each linear, by name, from its `rounding_losses`."""
    method = build_method(stage)
    assert isinstance(method, LinearMethod)
    plan = allot(method, linears, target_of(stage, stage.required_ratio), losses, level=False).plan
    return {name: bits for name, bits in plan.items() if bits is not None}


def _missing(name: str | None) -> Tensors:
    raise UserError("The losses of rounding are no longer in the cache.")
