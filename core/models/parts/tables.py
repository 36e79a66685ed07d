"""The token tables of a model: the embedding, and an untied head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from core.models.modeling_slimscope import FactoredEmbedding, FactoredHead

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def embedding_tables(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the modules with whole token tables by name; of a tied pair only the first, the embedding."""
    wanted = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    found: dict[int, tuple[str, nn.Module]] = {}
    for name, module in model.named_modules():
        if id(module) in wanted and not isinstance(module, FactoredEmbedding | FactoredHead):
            found.setdefault(id(module.get_parameter("weight")), (name, module))
    return dict(found.values())
