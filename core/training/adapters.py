"""LoRA adapters on every block linear, through PEFT, and their merge, which preserves zeros, grids and factors.

If weights of W must stay zero, the mask M applies to the adapter's product during training, too:
x -> (W + M * s B A) x, so the merged model equals the trained one. If W is on a grid Q, x -> Q(W + s B A) x, with
straight-through gradients and fixed scales.

References: Hu et al., LoRA, 2021 (arXiv:2106.09685); Bondarenko et al., Low-Rank Quantization-Aware Training for LLMs,
2024 (arXiv:2406.06385), section 3.
"""

from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from core.cache.shelf import Shelf, changing
from core.models.modeling_slimscope import put
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import constraint_of
from core.models.parts.grids import grid_of
from core.models.parts.reference import clear_reference

NAME = "default"


class SparseLora(LoraLinear):
    """LoRA layer that preserves the constraint of its weight."""

    def __init__(self, *args: Any, **kwargs: Any):  # Any: as of PEFT
        super().__init__(*args, **kwargs)
        base = self.inner
        known = constraint_of(base)
        # In the layout and dtype of the weight, 0 for permanent zeros; None saves one product per linear.
        self.mask = None if known is None else self._rows(~known.zeros(base.weight.device)).to(base.weight.dtype)
        self.grid = grid_of(base)

    @property
    def inner(self) -> nn.Linear | Conv1D:
        """The adapted linear."""
        inner = self.get_base_layer()
        if not isinstance(inner, (nn.Linear, Conv1D)):
            raise TypeError(f"An adapter needs a linear, not a {type(inner).__name__}.")
        return inner

    @property
    def pair(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The trained matrices, A (rank, in) and B (out, rank)."""
        return self.lora_A[NAME].get_parameter("weight"), self.lora_B[NAME].get_parameter("weight")

    @property
    def zeros(self) -> Tensor | None:
        """Mask of the weights that must stay zero, (out, in); None if there are none."""
        return None if self.mask is None else self._rows(self.mask == 0)

    def remove(self, mask: Tensor) -> None:
        """Permanently zero the weights where `mask`, in the weight's layout, is 0, in addition to earlier ones."""
        weight = self.inner.weight
        added = mask.to(weight)  # its dtype and device
        self.mask = added if self.mask is None else self.mask * added
        weight.data.mul_(self.mask)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # Any: as of PEFT
        base, dropout = self.inner, self.lora_dropout[NAME]
        drops = self.training and isinstance(dropout, nn.Dropout)
        if self.mask is None and self.grid is None:
            rows = x.flatten(0, -2)  # (tokens, in)
            dropped = dropout(rows) if drops else None
            weight = self._rows(base.weight)
            y: Tensor = _LowRankUpdate.apply(rows, dropped, weight, base.bias, *self.pair, self.scaling[NAME])
            return y.view(*x.shape[:-1], y.shape[-1])
        delta = self.get_delta_weight(NAME).to(base.weight.dtype)
        if drops:
            return linear(x, self._rows(base.weight), base.bias) + linear(dropout(x), self._rows(delta))
        return linear(x, self._rows(base.weight + delta), base.bias)

    def _rows(self, weight: Tensor) -> Tensor:
        """Convert a weight between its stored layout and (out, in)."""
        return weight.T if self.fan_in_fan_out else weight

    def get_delta_weight(self, adapter: str) -> Tensor:
        delta = super().get_delta_weight(adapter)
        delta = delta if self.mask is None else delta * self.mask
        if self.grid is None:
            return delta
        weight = self.inner.weight.detach()
        return delta + (self.rounded(weight + delta.detach()) - weight - delta).detach()

    def rounded(self, weight: Tensor) -> Tensor:
        """Round a weight in its stored layout to the linear's grid, and zero the masked weights."""
        if self.grid is None:
            return weight
        nearest = self._rows(self.grid.nearest(self._rows(weight).float())).to(weight.dtype)
        return nearest if self.mask is None else nearest * self.mask


class _LowRankUpdate(torch.autograd.Function):
    """The product x W^T + s (x A^T) B^T with few passes over tensors of the size of x; W gets no gradient.

    A and B have their training precision, whatever the precision of W. `dropped`, if not None, replaces x as the input
    of A.
    """

    @staticmethod
    def forward(
        ctx: Any,  # Any: torch adds attributes
        x: Tensor,
        dropped: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        s: float,
    ) -> Tensor:
        read = (x if dropped is None else dropped).to(a.dtype)  # (tokens, in)
        low = read @ a.T  # (tokens, r)
        y = linear(x, weight, bias)  # (tokens, out)
        y += low @ (s * b).T
        ctx.save_for_backward(read, low, weight, a, b)
        ctx.scale = s
        return y

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # Any: torch adds attributes
        read, low, weight, a, b = ctx.saved_tensors
        exact = upstream.to(a.dtype)  # (tokens, out)
        low_gradient = exact @ (ctx.scale * b)  # (tokens, r)
        a_gradient = low_gradient.T @ read  # (r, in)
        b_gradient = (low.T @ exact).T * ctx.scale  # (out, r); this order of the factors is the fastest
        x_gradient = dropped_gradient = None  # (tokens, in)
        if ctx.needs_input_grad[1]:
            dropped_gradient = (low_gradient @ a).to(upstream.dtype)
        if ctx.needs_input_grad[0]:
            x_gradient = upstream @ weight
            if dropped_gradient is None:
                x_gradient += low_gradient @ a
        return x_gradient, dropped_gradient, None, None, a_gradient, b_gradient, None


def add_adapters(model: nn.Module, rank: int, alpha: float, dropout: float, seed: int) -> list[nn.Parameter]:
    """Add an adapter to every block linear in place, and return the parameters to train."""
    linears = list(find_blocks(model).all_linears())
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)  # A is random
        for kind in (nn.Linear, Conv1D):
            names = [linear.name for linear in linears if type(linear.module) is kind]
            if names:
                config = LoraConfig(
                    r=rank,
                    lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT declares int but accepts any number
                    lora_dropout=dropout,
                    target_modules=names,
                    fan_in_fan_out=kind is Conv1D,
                )
                config._register_custom_module({kind: SparseLora})
                inject_adapter_in_model(config, model, adapter_name=NAME)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()  # 16 bits would lose small steps
    return trained


def adapters_of(model: nn.Module) -> dict[str, SparseLora]:
    """Return the adapters by linear name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, SparseLora)}


def merge_adapters(model: nn.Module, shelf: Shelf | None = None) -> None:
    """Merge the adapters into the weights in place, and remove them; with a shelf, one block at a time is in memory.

    Masked weights stay zero, and quantised weights stay on their grid.
    """
    for block in find_blocks(model).holder:
        with changing(shelf, block):
            for name, layer in adapters_of(block).items():
                base = layer.inner
                layer.merge()
                base.weight.data = layer.rounded(base.weight.data)
                if layer.mask is not None:
                    base.weight.data.masked_fill_(layer.mask == 0, 0)
                clear_reference(base)  # a later reconstruction must not undo the training
                put(block, name, base)
    del model.peft_config
    model.requires_grad_(False)


def weights_of(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Copy the values of parameters."""
    return [parameter.detach().clone() for parameter in parameters]


@torch.no_grad()
def set_weights(parameters: Sequence[nn.Parameter], weights: Sequence[Tensor]) -> None:
    """Copy values into parameters."""
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.copy_(weight)
