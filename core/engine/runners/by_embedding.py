"""Factorisation, in place, of the embedding and of a head tied to it, and quantisation of embedding and head."""

import torch
from torch import nn
from transformers import PreTrainedModel

from core.amount import Factor
from core.base.errors import UserError
from core.cache.shelf import changing
from core.context import Context, StageInput, StageResult
from core.engine.amounts import target_of
from core.methods.embedding.base import EmbeddingMethod
from core.methods.kinds import TableQuantMethod
from core.models.modeling_slimscope import FactoredHead, RotatedEmbedding, put
from core.models.parts.blocks import text_config
from core.models.parts.grids import set_grid
from core.models.parts.sizes import embedding_tables

CHUNK = 4096  # rows per comparison
TRIED = 64  # rows that show whether a table scales its rows
NEAR = 1e-2  # relative tolerance, for rounding to 16 bits


@torch.no_grad()
def factor_embedding(
    model: PreTrainedModel, method: EmbeddingMethod, given: StageInput, context: Context
) -> StageResult:
    """Factor the embedding of the model in place.

    Raises `UserError` if the embedding is no plain table, layers share blocks, or no factors are small enough; the
    model stays unchanged.
    """
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and getattr(head, "weight", None) is table.weight
    scale = _scale(table)
    if scale is None or (tied and getattr(head, "bias", None) is not None):
        raise UserError(
            f"{method.label} needs a plain embedding, at most scaled by one number, and no bias in a tied head; this "
            f"model's {type(table).__name__} or head differs."
        )
    if tied and given.blocks.shared:  # which transformers forgets once the head is not tied
        raise UserError(f"{method.label} needs a block for each layer, but layers of this model share blocks.")
    names = {id(module): name for name, module in model.named_modules()}
    own = table.get_parameter("weight")
    weight = own.data.to(context.device, torch.float32)

    def progress(done: int, total: int) -> None:
        context.progress("compress", done, total, names[id(table)])

    if not isinstance(given.stage.amount, Factor):
        raise TypeError(f"The amount of {method.name} is not a factor.")
    factored, description = method.factored(weight, given.stage.amount.factor, progress)
    parts = factored.parts(CHUNK)
    lost = sum((weight[part] - factored.rows(part)).square().sum(dtype=torch.float64) for part in parts)
    error = float(lost / weight.square().sum(dtype=torch.float64))
    for parameter in factored.parameters():
        parameter.data = parameter.data.to(own)  # its dtype and device
        parameter.requires_grad_(own.requires_grad)
    factored.scale = scale
    if isinstance(table, RotatedEmbedding):
        factored.turn = table.turn
    put(model, names[id(table)], factored)
    note = f"{description}, {error:.3f} of the squares lost"
    if tied:
        text_config(model).tie_word_embeddings = False
        if method.parameters.head == "rebuilt":
            put(model, names[id(head)], FactoredHead(factored))
        else:
            note += "; the head keeps the whole table"
    return StageResult([], note=note)


def _scale(table: nn.Module) -> float | None:
    """Return the number that a table multiplies its rows by; None if the table does anything else."""
    if type(table) in (nn.Embedding, RotatedEmbedding):
        return 1.0
    weight, scale = table.get_parameter("weight"), float(getattr(table, "embed_scale", 1.0))
    rows = torch.arange(min(TRIED, len(weight)), device=weight.device)
    only_scaled = torch.allclose(table(rows).float(), weight[rows].float() * scale, rtol=NEAR, atol=0)
    return scale if isinstance(table, nn.Embedding) and only_scaled else None


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
