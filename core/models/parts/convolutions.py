"""The 1-D and 2-D convolutions of a model, and the pair of convolutions that can replace one.

Modules that compute something else than `torch.nn` does, such as a kernel that is standardised first, do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from core.models.modeling_slimscope import ConvolutionPair

KINDS = (nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class Convolution:
    """A convolution and its name in the model, such as encoder.conv1."""

    name: str
    module: nn.Conv1d | nn.Conv2d

    @property
    def kernel(self) -> Tensor:
        """The weight (out, in / groups, *size); a parametrisation such as weight norm is evaluated."""
        return self.module.weight.detach()

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in / groups times the positions of the kernel)."""
        return self.kernel.shape[0], self.kernel[0].numel()


def convolutions_of(model: nn.Module) -> list[Convolution]:
    """Return the convolutions of a model in definition order, including those of pairs."""
    return [
        Convolution(name, module)
        for name, module in model.named_modules()
        if isinstance(module, KINDS) and type_before_parametrizations(module) in KINDS
    ]


def pair_in_place_of(
    module: nn.Conv1d | nn.Conv2d, first: Tensor, second: Tensor, first_groups: int, axes: int
) -> ConvolutionPair:
    """Return two convolutions with the given kernels that replace `module`.

    The first strides, pads and dilates along the kernel's first `axes`, the second along the rest.
    """
    every = range(len(module.kernel_size))
    near = _like(module, first, first_groups, [axis < axes for axis in every], None)
    far = _like(module, second, module.groups, [axis >= axes for axis in every], module.bias)
    return ConvolutionPair(near, far).train(module.training)


def _like(
    module: nn.Conv1d | nn.Conv2d, kernel: Tensor, groups: int, moves: Sequence[bool], bias: Tensor | None
) -> nn.Module:
    """Return a convolution that strides, pads and dilates as `module` does, but only along the axes of `moves`."""

    def along(values: Sequence[int] | str, neutral: int) -> Any:  # Any: text or a tuple, which torch types by dimension
        if isinstance(values, str):  # padding that follows from the kernel's size
            return values
        return tuple(value if moving else neutral for value, moving in zip(values, moves, strict=True))

    weight = module.weight
    kind: Any = nn.Conv2d if isinstance(module, nn.Conv2d) else nn.Conv1d  # Any: torch types sizes by dimension
    with torch.device("meta"):
        found: nn.Module = kind(
            kernel.shape[1] * groups,
            kernel.shape[0],
            tuple(kernel.shape[2:]),
            stride=along(module.stride, 1),
            padding=along(module.padding, 0),
            dilation=along(module.dilation, 1),
            groups=groups,
            bias=bias is not None,
            padding_mode=module.padding_mode,
        )
    found.weight = nn.Parameter(kernel.to(weight).contiguous(), requires_grad=weight.requires_grad)
    if bias is not None:
        found.bias = bias
    return found
