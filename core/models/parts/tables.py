"""A model's tables of tokens: the embedding, and the head where that has weights of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from core.models.modeling_slimscope import FactoredEmbedding, FactoredHead

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def embedding_tables(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the modules that hold whole tables, by name; of two that share a weight the first, the embedding."""
    wanted = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    found: dict[int, tuple[str, nn.Module]] = {}
    for name, module in model.named_modules():
        if id(module) in wanted and not isinstance(module, FactoredEmbedding | FactoredHead):
            found.setdefault(id(module.get_parameter("weight")), (name, module))
    return dict(found.values())
