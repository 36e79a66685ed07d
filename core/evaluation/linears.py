"""fp32 linears on a CPU with oneDNN, which is faster; torch itself uses it for 16 bits only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode


class QuickLinears(TorchFunctionMode):
    """A context in which `torch.nn.functional.linear` uses oneDNN where possible, without gradients."""

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is linear and not kwargs and _suits(*args):
            return torch.ops.mkldnn._linear_pointwise(*args[:2], args[2] if len(args) > 2 else None, "none", [], "")
        return func(*args, **(kwargs or {}))


def _suits(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    plain = all(one is None or (one.device.type, one.dtype) == ("cpu", torch.float32) for one in (inputs, weight, bias))
    return plain and inputs.numel() > 0 and torch.backends.mkldnn.is_available() and not torch.is_grad_enabled()
