"""The table of embeddings put into factors, in place, and a head that shares it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from core.chain import factor_of
from core.context import Context, StageInput, StageResult
from core.errors import UserError
from core.methods.embedding.base import EmbeddingMethod
from core.models.modeling_slimscope import FactoredHead, RotatedEmbedding, put
from core.models.parts.blocks import text_config

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from core.models.modeling_slimscope import FactoredEmbedding

CHUNK = 4096  # rows that are compared at once
TRIED = 64  # rows that are read to see what a table does
NEAR = 1e-2  # relative; what 16 bits round


@torch.no_grad()
def factor_embedding(
    model: PreTrainedModel, method: EmbeddingMethod, given: StageInput, context: Context
) -> StageResult:
    """Put the embedding of the model into factors, in place.

    Raises `UserError` where it is no plain table, or has no factors that are as small, before anything is changed.
    """
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and getattr(head, "weight", None) is table.weight
    scale = _scale(table)
    if scale is None or (tied and getattr(head, "bias", None) is not None):
        raise UserError(
            f"{method.label} needs a table of embeddings whose rows are read as they are or times one number, and a "
            f"head without a bias where that shares it; this model's {type(table).__name__} does more, or its head has "
            "one."
        )
    names = {id(module): name for name, module in model.named_modules()}
    own = table.get_parameter("weight")
    weight = own.data.to(context.device, torch.float32)

    def progress(done: int, total: int) -> None:
        context.progress("compress", done, total, names[id(table)])

    found, said = method.factored(weight, factor_of(type(method), given.stage.pattern or ""), progress)
    error = _error(weight, found)
    for parameter in found.parameters():
        parameter.data = parameter.data.to(own)  # its dtype and device
        parameter.requires_grad_(own.requires_grad)
    found.scale = scale
    if isinstance(table, RotatedEmbedding):
        found.turn = table.turn
    put(model, names[id(table)], found)
    note = f"{said}, {error:.3f} of the squares lost"
    if tied:
        text_config(model).tie_word_embeddings = False
        if method.parameters.head == "rebuilt":
            put(model, names[id(head)], FactoredHead(found))
        else:
            note += "; the head keeps the whole table"
    return StageResult([], note=note)


def _scale(table: nn.Module) -> float | None:
    """Return what the rows of a table are multiplied by as they are read; None where it does something else."""
    if type(table) in (nn.Embedding, RotatedEmbedding):
        return 1.0
    weight, scale = table.get_parameter("weight"), float(getattr(table, "embed_scale", 1.0))
    some = torch.arange(min(TRIED, len(weight)), device=weight.device)
    alike = torch.allclose(table(some).float(), weight[some].float() * scale, rtol=NEAR, atol=0)
    return scale if isinstance(table, nn.Embedding) and alike else None


def _error(weight: Tensor, found: FactoredEmbedding) -> float:
    """Return |E - E'|^2 / |E|^2 of a table (tokens, width) and its factors."""
    lost = sum((weight[part] - found.rows(part)).square().sum(dtype=torch.float64) for part in found.parts(CHUNK))
    return float(lost / weight.square().sum(dtype=torch.float64))
