"""LoRA on every block linear, through PEFT; merged in the end with zeros still zero and factors still factors.

References: Hu et al., LoRA, 2021 (arXiv:2106.09685). Where weights of W must stay zero, the adapter's product is
masked like it while it trains, too: x -> (W + M * s B A) x, so that what is learnt is what is merged. Where W lies on a
grid Q, x -> Q(W + s B A) x, with gradients as if it were not rounded: Bondarenko et al., Low-Rank Quantization-Aware
Training for LLMs, 2024 (arXiv:2406.06385), section 3, the scales as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from core.models.modeling_slimscope import put
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import constraint_of
from core.models.parts.grids import grid_of
from core.models.parts.reference import clear_reference

NAME = "default"


class SparseLora(LoraLinear):
    """A LoRA layer over a weight that keeps its constraint."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        base = self.inner
        known = constraint_of(base)
        # As the weight is stored and in its dtype, 0 where it must stay zero; None costs one product a linear less.
        self.mask = None if known is None else self._rows(~known.zeros(base.weight.device)).to(base.weight.dtype)
        self.grid = grid_of(base)

    @property
    def inner(self) -> nn.Linear | Conv1D:
        """The linear that is adapted."""
        inner = self.get_base_layer()
        if not isinstance(inner, (nn.Linear, Conv1D)):
            raise TypeError(f"An adapter is on a {type(inner).__name__}, which is no linear.")
        return inner

    @property
    def pair(self) -> tuple[nn.Parameter, nn.Parameter]:
        """What is trained: A (rank, in) and B (out, rank)."""
        return self.lora_A[NAME].get_parameter("weight"), self.lora_B[NAME].get_parameter("weight")

    @property
    def zeros(self) -> Tensor | None:
        """The weights that must stay zero, (out, in); None where none must."""
        return None if self.mask is None else self._rows(self.mask == 0)

    def remove(self, mask: Tensor) -> None:
        """Zero the weights where `mask` (as the weight is stored) is 0, for good, besides those that are so already."""
        weight = self.inner.weight
        kept = mask.to(weight)  # its dtype and device
        self.mask = kept if self.mask is None else self.mask * kept
        weight.data.mul_(self.mask)

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        base, dropout = self.inner, self.lora_dropout[NAME]
        drops = self.training and isinstance(dropout, nn.Dropout)
        if self.mask is None and self.grid is None:
            rows = x.flatten(0, -2)  # (tokens, in)
            dropped = dropout(rows) if drops else None
            y = _LowRankUpdate.apply(rows, dropped, self._rows(base.weight), base.bias, *self.pair, self.scaling[NAME])
            return y.view(*x.shape[:-1], -1)
        delta = self.get_delta_weight(NAME).to(base.weight.dtype)
        if drops:
            return linear(x, self._rows(base.weight), base.bias) + linear(dropout(x), self._rows(delta))
        return linear(x, self._rows(base.weight + delta), base.bias)

    def _rows(self, weight: Tensor) -> Tensor:
        """Return a weight as it is stored as (out, in), or the other way round."""
        return weight.T if self.fan_in_fan_out else weight

    def get_delta_weight(self, adapter: str) -> Tensor:
        delta = super().get_delta_weight(adapter)
        delta = delta if self.mask is None else delta * self.mask
        if self.grid is None:
            return delta
        weight = self.inner.weight.detach()
        return delta + (self.rounded(weight + delta.detach()) - weight - delta).detach()

    def rounded(self, weight: Tensor) -> Tensor:
        """Return a weight, as it is stored, on the grid that its linear's has, and 0 where it must be."""
        if self.grid is None:
            return weight
        found = self._rows(self.grid.nearest(self._rows(weight).float())).to(weight.dtype)
        return found if self.mask is None else found * self.mask


class _LowRankUpdate(torch.autograd.Function):
    """x W^T + s (x A^T) B^T with few passes over what is as large as x; W gets no gradient.

    A and B are as precise as they are trained, whatever W is; `dropped` is what A reads instead of x, if not None.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dropped: Tensor | None, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, s: float
    ) -> Tensor:
        read = (x if dropped is None else dropped).to(a.dtype)  # (tokens, in)
        low = read @ a.T  # (tokens, r)
        y = linear(x, weight, bias)  # (tokens, out)
        y += low @ (s * b).T
        ctx.save_for_backward(read, low, weight, a, b)
        ctx.scale = s
        return y

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        read, low, weight, a, b = ctx.saved_tensors
        exact = upstream.to(a.dtype)  # (tokens, out)
        low_gradient = exact @ (ctx.scale * b)  # (tokens, r)
        a_gradient = low_gradient.T @ read  # (r, in)
        b_gradient = (low.T @ exact).T * ctx.scale  # (out, r), in the order of factors that matrix libraries do fastest
        x_gradient = dropped_gradient = None  # (tokens, in)
        if ctx.needs_input_grad[1]:
            dropped_gradient = (low_gradient @ a).to(upstream.dtype)
        if ctx.needs_input_grad[0]:
            x_gradient = upstream @ weight
            if dropped_gradient is None:
                x_gradient += low_gradient @ a
        return x_gradient, dropped_gradient, None, None, a_gradient, b_gradient, None


def add_adapters(model: nn.Module, rank: int, alpha: float, dropout: float, seed: int) -> list[nn.Parameter]:
    """Put an adapter on every block linear, in place, and return what is to be trained."""
    linears = list(find_blocks(model).all_linears())
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)  # A is drawn
        for kind in (nn.Linear, Conv1D):
            names = [linear.name for linear in linears if type(linear.module) is kind]
            if names:
                config = LoraConfig(
                    r=rank,
                    lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT declares int and divides whatever number it is
                    lora_dropout=dropout,
                    target_modules=names,
                    fan_in_fan_out=kind is Conv1D,
                )
                config._register_custom_module({kind: SparseLora})
                inject_adapter_in_model(config, model, adapter_name=NAME)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()  # steps of a learning rate would be lost in 16 bits
    return trained


def adapters_of(model: nn.Module) -> dict[str, SparseLora]:
    """Return the adapters by the name of their linear."""
    return {name: module for name, module in model.named_modules() if isinstance(module, SparseLora)}


def merge_adapters(model: nn.Module) -> None:
    """Add what was learnt to the weights and take the adapters away, in place.

    What must stay zero does, and what lies on a grid stays there.
    """
    for name, layer in adapters_of(model).items():
        base = layer.inner
        layer.merge()
        base.weight.data = layer.rounded(base.weight.data)
        if layer.mask is not None:
            base.weight.data.masked_fill_(layer.mask == 0, 0)
        clear_reference(base)  # what was learnt is not to be undone
        put(model, name, base)
    del model.peft_config
    model.requires_grad_(False)


def weights_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return copies of trained parameters."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def set_weights(parameters: Sequence[nn.Parameter], weights: Sequence[Tensor]) -> None:
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.copy_(weight)
