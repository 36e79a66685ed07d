"""The parts of a block that read and write the hidden states, for methods that rotate or slice these."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from core.base.errors import UserError
from core.models.modeling_slimscope import Parts, norm_eps
from core.models.parts.blocks import Blocks
from core.models.removal.units import Units

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def block_submodules(block: nn.Module, unit: Units) -> Parts:
    """Return the names of a block's attention, of the norms before attention and FFN, and of the FFN's modules.

    Raises `UserError` if the block has other norms, its attention is inside another module, or attention and FFN read
    the same states.
    """
    children = dict(block.named_children())
    attention = next((name for name, child in children.items() if child is unit.attention), None)
    norms = [
        name
        for name, child in children.items()
        if [tuple(p.shape) for p in child.parameters(recurse=False)][:1] == [(unit.geometry.hidden,)]
    ]
    config = getattr(block, "config", None)
    parallel = getattr(block, "use_parallel_residual", False) or getattr(config, "parallel_attn", False)
    if attention is None or len(norms) != 2 or parallel or not all(_is_plain(children[name]) for name in norms):
        raise unfit()
    down = unit.linears["down"].module
    ffn = next(name for name, child in children.items() if any(module is down for module in child.modules()))
    if children[ffn] is not down:
        return {"attention": attention, "norms": norms, "ffn": [ffn]}
    up = next(name for name, child in children.items() if child is unit.linears["up"].module)
    plain = [
        name
        for name, child in children.items()
        if not any(True for _ in child.parameters()) and not isinstance(child, nn.Dropout)
    ]
    return {"attention": attention, "norms": norms, "ffn": [up, *plain, ffn]}


@torch.no_grad()
def _is_plain(norm: nn.Module) -> bool:
    """Return whether a norm, also one without memory, is a LayerNorm or an RMS norm that its weight scales."""
    if isinstance(norm, nn.LayerNorm):
        return True
    tried = copy.deepcopy(norm).to_empty(device="cpu").float()
    weight = tried.get_parameter("weight")  # (hidden,)
    weight.copy_(torch.linspace(0.5, 1.5, len(weight)))
    states = torch.linspace(-1, 1, len(weight))[None]  # (1, hidden)
    scaled = weight * states * torch.rsqrt(states.square().mean(-1, keepdim=True) + norm_eps(norm))
    return torch.allclose(tried(states), scaled, rtol=1e-3, atol=1e-3)


def rotatable_table(model: PreTrainedModel, blocks: Blocks, parts: Parts) -> nn.Embedding:
    """Return the embedding of a model; raise `UserError` unless it is plain and the norms are RMS norms."""
    table, norm = model.get_input_embeddings(), blocks.holder[0].get_submodule(parts["norms"][0])
    if type(table) is not nn.Embedding or isinstance(norm, nn.LayerNorm):
        raise UserError("A rotation needs a plain embedding and RMS norms; this model has others.")
    return table


def unfit() -> UserError:
    """Return the error on a model whose blocks have another structure."""
    return UserError(
        "Rotating hidden states needs blocks with one plain norm before attention and one before the FFN; this model's "
        "blocks differ. Choose another method."
    )
