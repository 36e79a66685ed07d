"""fp32 linears on a CPU with oneDNN, which is faster; torch itself uses it for 16 bits only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from core.models.parts.blocks import Args, Kwargs
from core.models.parts.products import wide_products

Result = TypeVar("Result")


@contextmanager
def quick_products(dtype: torch.dtype) -> Iterator[None]:
    """Compute linears of a model of this type in the fastest way inside the context."""
    with wide_products(dtype), QuickLinears():
        yield


class QuickLinears(TorchFunctionMode):
    """A context in which `torch.nn.functional.linear` uses oneDNN where possible, without gradients."""

    def __torch_function__(
        self,
        func: Callable[..., Result],
        types: Sequence[type],
        args: Args = (),
        kwargs: Kwargs | None = None,
    ) -> Result:
        if func is linear and not kwargs and _suits(*args):
            bias = args[2] if len(args) > 2 else None
            product: Result = torch.ops.mkldnn._linear_pointwise(*args[:2], bias, "none", [], "")
            return product
        return func(*args, **(kwargs or {}))


def _suits(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    plain = all(one is None or (one.device.type, one.dtype) == ("cpu", torch.float32) for one in (inputs, weight, bias))
    return plain and inputs.numel() > 0 and torch.backends.mkldnn.is_available() and not torch.is_grad_enabled()
