"""The residual stream of a model whose blocks have two norms: shared code of rotation and slicing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from core.models.modeling_slimscope import Parts
from core.models.parts.blocks import Blocks, first
from core.models.parts.recorder import Recorder
from core.models.removal.stream import unfit

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def fold_norm(linear: nn.Linear, norm: nn.Module) -> None:
    """Fold a norm's scale, and its shift if it has one, into a linear that reads it."""
    shift = getattr(norm, "bias", None)
    if shift is not None:
        bias = linear.weight.double() @ shift.double() + (0 if linear.bias is None else linear.bias.double())
        linear.bias = like(linear.weight, bias)
    linear.weight = like(linear.weight, linear.weight.double() * norm.get_parameter("weight").double())


def write(linear: nn.Linear, change: Callable[[Tensor], Tensor]) -> None:
    """Transform the outputs of a linear; `change` maps (out, n) to (new out, n)."""
    if linear.bias is not None:
        linear.bias = like(linear.weight, change(linear.bias.double()[:, None])[:, 0])
    linear.weight = like(linear.weight, change(linear.weight.double()))


def like(weight: Tensor, value: Tensor) -> nn.Parameter:
    """Convert `value` to a parameter with the dtype and `requires_grad` of `weight`."""
    return nn.Parameter(value.to(weight.dtype), weight.requires_grad)


def check_blocks(blocks: Blocks, parts: Parts, windows: Tensor, recorder: Recorder, device: torch.device) -> None:
    """Raise `UserError` unless the first block computes x + f(norm(x)) twice."""
    [recording] = recorder.record([windows[:1, :64]])
    block = blocks.holder[0].to(device)
    call, states = recording.calls[0].to(device), recording.hidden
    expected = first(block(states, *call.args, **call.kwargs))
    norms = [getattr(block, name) for name in parts["norms"]]
    try:
        hidden = states + getattr(block, parts["attention"])(norms[0](states), *call.args, **call.kwargs)[0]
        added = norms[1](hidden)
        for name in parts["ffn"]:
            added = getattr(block, name)(added)
        found = hidden + added
    except TypeError:  # attention or the FFN takes other arguments, or returns more than its output
        raise unfit() from None
    near = 1e-3 if states.dtype == torch.float32 else 0.05
    if not torch.allclose(found, expected, rtol=near, atol=near):
        raise unfit()


def final_norm(model: PreTrainedModel, blocks: Blocks) -> tuple[nn.Module, str]:
    """Return the module that contains the norm after the last block, and the norm's name in it."""
    holder = model.get_submodule(blocks.name.rpartition(".")[0])
    names = [
        name
        for name, child in holder.named_children()
        if child is not blocks.holder and not isinstance(child, nn.Embedding) and any(True for _ in child.parameters())
    ]
    if len(names) != 1:
        raise unfit()
    return holder, names[0]
