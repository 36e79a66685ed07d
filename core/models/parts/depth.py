"""A model with fewer decoder blocks, or narrower hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from core.models.parts.blocks import Blocks, text_config
from core.models.parts.units import recount, slice_linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def keep_blocks(model: PreTrainedModel, blocks: Blocks, kept: Sequence[int]) -> None:
    """Drop every block but those at the given indices, in place; caches and configuration follow the new count."""
    config = text_config(model)
    remaining = [blocks.holder[index] for index in kept]
    del blocks.holder[len(remaining) :]
    for position, block in enumerate(remaining):
        blocks.holder[position] = block
        for module in block.modules():
            recount(module, ("layer_idx",), position)
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == config.num_hidden_layers:  # told of each block
            setattr(config, name, [value[index] for index in kept])
    if hasattr(config, "attention_types"):  # GPT-Neo: the same once more, in runs
        config.attention_types = [[[kind], 1] for kind in config.attention_layers]
    config.num_hidden_layers = len(remaining)


def keep_hidden(model: PreTrainedModel, blocks: Blocks, kept: Tensor) -> None:
    """Keep the given entries of the hidden states everywhere, in place: blocks, norms, embeddings and head."""
    config = text_config(model)
    inside = {id(linear.module): linear for linear in blocks.all_linears()}
    # A configuration does not always tell of entries that went before.
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
        elif isinstance(module, nn.Linear) and module.out_features == hidden:  # from narrower embeddings
            slice_linear(module, rows=kept)
        else:
            _slice_norm(module, hidden, kept)
    # Elsewhere the configuration ties the heads' width, or Gemma's scale of the embeddings, to the hidden size.
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
