"""A model with fewer decoder blocks, or narrower hidden states."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from core.models.blocks import Blocks
from core.models.units import slice_linear


def keep_blocks(model: nn.Module, blocks: Blocks, kept: Sequence[int]) -> None:
    """Drop every block but those at the given indices, in place; caches and configuration follow the new count."""
    config = model.config.get_text_config()
    remaining = [blocks.holder[index] for index in kept]
    del blocks.holder[len(remaining) :]
    for position, block in enumerate(remaining):
        blocks.holder[position] = block
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = position
    config.num_hidden_layers = len(remaining)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[index] for index in kept]


def keep_hidden(model: nn.Module, blocks: Blocks, kept: Tensor) -> None:
    """Keep the given entries of the hidden states everywhere, in place: blocks, norms, embeddings and head."""
    config = model.config.get_text_config()
    hidden = config.hidden_size
    inside = {id(linear.module): linear.role for linear in blocks.all_linears()}
    seen: set[int] = set()
    for module in model.modules():
        if role := inside.get(id(module)):
            reads = role not in ("o", "down")
            slice_linear(module, columns=kept if reads else None, rows=None if reads else kept)
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
        else:
            _slice_norm(module, hidden, kept)
    if getattr(config, "head_dim", None):  # elsewhere the configuration ties the heads' width to the hidden size
        config.hidden_size = len(kept)


def _slice_norm(module: nn.Module, hidden: int, kept: Tensor) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.shape == (hidden,):
            sliced = parameter.data.index_select(0, kept.to(parameter.device))
            setattr(module, name, nn.Parameter(sliced, parameter.requires_grad))
    if getattr(module, "normalized_shape", None) == (hidden,):
        module.normalized_shape = (len(kept),)
