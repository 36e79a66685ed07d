"""Removal of decoder blocks and of hidden-state entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from core.models.parts.blocks import Blocks, text_config
from core.models.parts.units import recount, slice_linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def keep_blocks(model: PreTrainedModel, blocks: Blocks, kept: Sequence[int]) -> None:
    """Remove every block but the given ones in place; update cache indices and configuration."""
    config = text_config(model)
    remaining = [blocks.holder[index] for index in kept]
    del blocks.holder[len(remaining) :]
    for position, block in enumerate(remaining):
        blocks.holder[position] = block
        for module in block.modules():
            recount(module, ("layer_idx",), position)
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == config.num_hidden_layers:  # one entry per block
            setattr(config, name, [value[index] for index in kept])
    if hasattr(config, "attention_types"):  # GPT-Neo repeats the list as runs
        config.attention_types = [[[kind], 1] for kind in config.attention_layers]
    config.num_hidden_layers = len(remaining)


def keep_hidden(model: PreTrainedModel, blocks: Blocks, kept: Tensor) -> None:
    """Keep the given entries of the hidden states in blocks, norms, embeddings and head, in place."""
    config = text_config(model)
    inside = {id(linear.module): linear for linear in blocks.all_linears()}
    # The configuration does not always reflect earlier removals.
    hidden = next(linear.shape[1] for linear in inside.values() if linear.role not in ("o", "down"))
    seen: set[int] = set()
    for module in model.modules():
        if linear := inside.get(id(module)):
            reads = linear.role not in ("o", "down")
            slice_linear(linear.plain, columns=kept if reads else None, rows=None if reads else kept)
        elif isinstance(module, nn.Embedding) and module.embedding_dim == hidden:
            if id(module.weight) not in seen:
                module.weight.data = module.weight.data.index_select(1, kept.to(module.weight.device))
                seen.add(id(module.weight))
            module.embedding_dim = len(kept)
        elif isinstance(module, nn.Linear) and module.in_features == hidden:
            if id(module.weight) not in seen:  # a tied head shares the embeddings' tensor
                module.weight.data = module.weight.data.index_select(1, kept.to(module.weight.device))
                seen.add(id(module.weight))
            module.in_features = len(kept)
        elif isinstance(module, nn.Linear) and module.out_features == hidden:  # projects from narrower embeddings
            slice_linear(module, rows=kept)
        else:
            _slice_norm(module, hidden, kept)
    # Other configurations derive the head width, or Gemma's embedding scale, from the hidden size.
    free = getattr(config, "head_dim", None) and not config.model_type.startswith("gemma")
    if free and len(kept) % config.num_attention_heads == 0:
        config.hidden_size = len(kept)


def _slice_norm(module: nn.Module, hidden: int, kept: Tensor) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.shape == (hidden,):
            sliced = parameter.data.index_select(0, kept.to(parameter.device))
            setattr(module, name, nn.Parameter(sliced, parameter.requires_grad))
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and module.normalized_shape == (hidden,):
        module.normalized_shape = (len(kept),)
