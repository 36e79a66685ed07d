"""LoRA on every block linear, through PEFT; merged in the end with zeros still zero and factors still factors.

References: Hu et al., LoRA, 2021 (arXiv:2106.09685). Where a weight W has zeros that pruning made, the adapter's
product is masked like it while it trains, too: x -> (W + M * s B A) x, so that what is learnt is what is merged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from core.models.blocks import find_blocks
from core.models.modeling_slimscope import put

MASKED_FROM = 1e-3  # share of zeros from which training heeds them, too, at the cost of one more product a linear

NAME = "default"


class SparseLora(LoraLinear):
    """A LoRA layer over a weight whose zeros stay zero."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        weight = self.get_base_layer().weight
        zeros = weight == 0
        self.mask = (~zeros).to(weight.dtype) if zeros.float().mean() > MASKED_FROM else None

    def remove(self, mask: Tensor) -> None:
        """Zero the weights where `mask` (as the weight is stored) is 0, for good."""
        self.mask = mask.to(self.get_base_layer().weight)  # its dtype and device
        self.get_base_layer().weight.data.mul_(self.mask)

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        if self.mask is None:
            return super().forward(x, *args, **kwargs)
        base, dropout = self.get_base_layer(), self.lora_dropout[NAME]
        delta = self.get_delta_weight(NAME).to(base.weight.dtype)
        if self.training and isinstance(dropout, nn.Dropout):
            return linear(x, self._rows(base.weight), base.bias) + linear(dropout(x), self._rows(delta))
        return linear(x, self._rows(base.weight + delta), base.bias)

    def _rows(self, weight: Tensor) -> Tensor:
        """Return a weight as it is stored as (out, in)."""
        return weight.T if self.fan_in_fan_out else weight

    def get_delta_weight(self, adapter: str) -> Tensor:
        delta = super().get_delta_weight(adapter)
        return delta if self.mask is None else delta * self.mask


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
                    lora_alpha=alpha,
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
    """Add what was learnt to the weights and take the adapters away, in place; what was zero stays so."""
    for name, layer in adapters_of(model).items():
        base = layer.get_base_layer()
        zeros = base.weight == 0
        layer.merge()
        base.weight.data.masked_fill_(zeros, 0)
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
