"""A model's weights in another precision for a while, and whether they fit one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.errors import UserError
from core.specs import Dtype, precision_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_holds(model: PreTrainedModel, dtype: Dtype, instead: str) -> None:
    """Raise `UserError` where a weight is beyond what `dtype` holds; `instead` says what to do."""
    wanted = getattr(torch, dtype)
    largest = max(parameter.abs().max().item() for parameter in model.parameters())
    if torch.finfo(wanted).max < largest < torch.inf:
        raise UserError(f"A weight of {largest:.3g} is beyond what {precision_name(dtype)} holds; {instead}.")


@contextmanager
def in_precision(model: PreTrainedModel, dtype: Dtype) -> Iterator[None]:
    """Have the weights in `dtype` inside, and what they were, bit by bit, afterwards. Both are held meanwhile.

    What the model computes its positions from stays as it is, as in a checkpoint that is loaded in `dtype`.
    """
    wanted = getattr(torch, dtype)
    own = [(tensor, tensor.data) for tensor in _stored(model) if tensor.is_floating_point() and tensor.dtype != wanted]
    if own:
        check_holds(model, dtype, "score in bf16 or fp32")
    try:
        for tensor, data in own:
            tensor.data = data.to(wanted)
        yield
    finally:
        for tensor, data in own:
            tensor.data = data


def _stored(model: PreTrainedModel) -> list[Tensor]:
    """Return what a checkpoint holds, tied weights once."""
    found: dict[int, Tensor] = {id(parameter): parameter for parameter in model.parameters()}
    for module in model.modules():
        lasting = module._buffers.keys() - module._non_persistent_buffers_set
        found |= {id(one): one for name in lasting if (one := module._buffers[name]) is not None}
    return list(found.values())
