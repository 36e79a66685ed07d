"""Quantisation, in place, of the embedding and of an untied head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from core.cache.shelf import changing
from core.context import Context, StageInput, StageResult
from core.engine.amounts import target_of
from core.methods.tables import TableQuantMethod
from core.models.parts.grids import set_grid
from core.models.parts.tables import embedding_tables

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def quantise_tables(
    model: PreTrainedModel, method: TableQuantMethod, given: StageInput, context: Context
) -> StageResult:
    """Quantise the model's embedding and head in place, tied ones once."""
    tables = embedding_tables(model)
    target = target_of(given.stage, given.share)
    for done, (name, table) in enumerate(tables.items()):
        context.progress("compress", done, len(tables), name)
        with changing(context.shelf, table):
            weight = table.get_parameter("weight").data
            result = method.compress_table(weight.to(torch.float32, copy=True), target)
            weight.copy_(result.weight)
        if result.grid is not None:
            set_grid(table, result.grid)
    context.progress("compress", len(tables), len(tables), "")
    return StageResult([])
