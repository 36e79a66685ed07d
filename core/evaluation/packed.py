"""Linears that compute on packed codes, for the latency and memory of a quantised model.

Codes of at most 4 bits use torch's int4 product with bf16 activations. Codes of 8 bits use its dynamic int8 product,
which rounds the weights to one scale per row and the activations to 8 bits.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.grids import Grid, grid_of
from core.models.parts.precision import in_precision

GROUPS = (256, 128, 64, 32)  # inputs that share a scale in the int4 product
MIDDLE = 8  # the code that the int4 product reads as 0
FOUR, EIGHT = "bfloat16 x int4", "float32 x int8"  # activations x weights


class Int4Linear(nn.Module):
    """A linear on a grid of at most 4 bits, for activations in bf16."""

    def __init__(self, weight: Tensor, bias: Tensor | None, grid: Grid):
        """Pack a weight (out, in) on a grid whose group is divisible by one of `GROUPS`, and a bias (out,)."""
        super().__init__()
        self.group = _group(grid.group)
        repeats = grid.group // self.group
        middle = MIDDLE - 2 ** (grid.bits - 1) - grid.lowest  # centres codes of fewer bits, since bf16 is coarse
        codes = grid.codes(weight).int() + middle  # (out, in) in 0 ... 15
        zero = middle if grid.zero is None else grid.zero + middle
        both = torch.stack([grid.scale, (MIDDLE - zero) * grid.scale], -1)  # (out, groups, 2)
        both = both.repeat_interleave(repeats, 1).transpose(0, 1).contiguous()  # (groups, out, 2)
        self.register_buffer("codes", torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1))
        self.register_buffer("scales", both.bfloat16())
        self.register_buffer("bias", None if bias is None else bias.detach().bfloat16())

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1])  # (tokens, in)
        outputs = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.codes, self.group, self.scales)
        outputs = outputs if self.bias is None else outputs + self.bias
        found: Tensor = outputs.view(*inputs.shape[:-1], -1)
        return found


class Int8Linear(nn.Module):
    """A linear in 8 bits with one scale per row, for fp32 activations that it rounds to 8 bits."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        super().__init__()
        scale = weight.abs().amax(1).clamp_min(2.0**-24) / 127  # (out,)
        zero = torch.zeros_like(scale, dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch deprecates these tensors
            rounded = torch.quantize_per_channel(weight.float(), scale.double(), zero, 0, torch.qint8)
        self.held = rounded.numel() + scale.numel() * 4  # bytes; the packed weight is not a buffer
        self.packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = torch.ops.quantized.linear_dynamic(inputs, self.packed, True)
        return outputs


@contextmanager
def packed(model: PreTrainedModel) -> Iterator[str | None]:
    """Replace the quantised linears by packed ones, and restore them afterwards.

    If some have at most 4 bits, only these are packed and the rest of the model is in bf16.

    Yields:
        The precision of the packed products; None if the model is unchanged, since it is not on a CPU or has no
        supported grid.
    """
    every = [(linear, grid_of(linear.module)) for linear in find_blocks(model).all_linears()]
    supported = [(linear, grid) for linear, grid in every if grid is not None and _suits(grid)]
    few = [(linear, grid) for linear, grid in supported if grid.bits <= 4]
    chosen, how = (few, FOUR) if few else (supported, EIGHT)
    if not chosen or model.device.type != "cpu":
        yield None
        return
    replaced = {linear.name: _packed(linear, grid) for linear, grid in chosen}
    own = {name: model.get_submodule(name) for name in replaced}
    try:
        for name, module in replaced.items():
            model.set_submodule(name, module)
        with in_precision(model, "bfloat16") if few else nullcontext():
            yield how
    finally:
        for name, module in own.items():
            model.set_submodule(name, module)


def held_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of a model's weights, including packed ones."""
    return int(model.get_memory_footprint()) + sum(one.held for one in model.modules() if isinstance(one, Int8Linear))


def _suits(grid: Grid) -> bool:
    return grid.bits == 8 or (grid.bits <= 4 and _group(grid.group) > 0)


def _group(group: int) -> int:
    """Return the largest group of the int4 product that divides a grid's group; 0 if none does."""
    return next((size for size in GROUPS if group % size == 0), 0)


def _packed(linear: Linear, grid: Grid) -> nn.Module:
    weight, bias = linear.weight.detach(), getattr(linear.module, "bias", None)
    return Int8Linear(weight, bias) if grid.bits == 8 else Int4Linear(weight, bias, grid)
