"""Temporary conversion of a model's weights to another precision, and a check of their range."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from core.base.errors import UserError
from core.models.lazy import PreTrainedModel
from core.specs import Dtype, precision_name


def check_holds(model: PreTrainedModel, dtype: Dtype, instead: str) -> None:
    """Raise `UserError` if a weight exceeds the range of `dtype`; `instead` is the fix that the error names."""
    wanted = getattr(torch, dtype)
    largest = max(parameter.abs().max().item() for parameter in model.parameters())
    if torch.finfo(wanted).max < largest < torch.inf:
        raise UserError(f"A weight of {largest:.3g} exceeds the range of {precision_name(dtype)}; {instead}.")


@contextmanager
def in_precision(model: PreTrainedModel, dtype: Dtype) -> Iterator[None]:
    """Convert the weights to `dtype` inside the context, and restore them bit by bit afterwards.

    Both copies stay in memory meanwhile. Buffers that position encodings are computed from are not converted, as in a
    checkpoint loaded in `dtype`.
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
    """Return the tensors that a checkpoint contains, tied weights once."""
    found: dict[int, Tensor] = {id(parameter): parameter for parameter in model.parameters()}
    for module in model.modules():
        lasting = module._buffers.keys() - module._non_persistent_buffers_set
        found |= {id(one): one for name in lasting if (one := module._buffers[name]) is not None}
    return list(found.values())
