"""Memory footprint of a variant, counted on its tensors: parameters, zeros, dense and packed bytes."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.amount import WHOLE_BITS, least_bits
from core.models.modeling_slimscope import FactoredEmbedding, FactoredHead, RotatedEmbedding, RotatedNorm
from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.constraints import NM, constraint_of
from core.models.parts.grids import Grid, grid_of
from core.models.parts.sizes import active_weights, embedding_tables
from core.results import Footprint

MAC_TOKENS = 64  # tokens of the counted forward pass, as in LLM-Pruner's table (arXiv:2305.11627)


def packed_bits(weight: Tensor, pattern: NM | None = None, grid: Grid | None = None) -> int:
    """Return the bits of a matrix in its smallest lossless layout; a stored weight takes 16, or those of its grid.

    The matrix is (out, in). The scales and zero points of its grid, if any, add `overhead_bits`.
    """
    nonzero = int(torch.count_nonzero(weight))
    each, overhead = (WHOLE_BITS, 0) if grid is None else (grid.bits, grid.overhead_bits)
    return int(least_bits(weight.numel(), nonzero, each, pattern)) + overhead


def footprint(
    model: PreTrainedModel, dense_parameters: int, dense_block_weights: int, dense_uncovered: int = 0
) -> Footprint:
    """Count the parameters, zeros, bytes and multiply-accumulates of a model.

    The counts of the dense model are of its parameters, of the weights in block linears, and of other block weights.
    """
    linears = list(find_blocks(model).all_linears())
    block_weights, block_zeros = _summed([linear.weight for linear in linears])
    total, zeros = _summed(list(model.parameters()))  # tied tensors once
    counted = partial(
        Footprint,
        block_weights=block_weights,
        block_zeros=block_zeros,
        dense_block_weights=dense_block_weights,
        model_parameters=total,
        model_zeros=zeros,
        dense_parameters=dense_parameters,
        dense_bytes=total * WHOLE_BITS // 8,
    )
    constraints = [constraint_of(linear.module) for linear in linears]
    block_bits = sum(
        packed_bits(linear.weight, known.pattern if known else None, grid_of(linear.module))
        for linear, known in zip(linears, constraints, strict=True)
    )
    table = model.get_input_embeddings()
    factored = table if isinstance(table, FactoredEmbedding) else None
    return counted(
        packed_bytes=(total - block_weights) * WHOLE_BITS // 8 + math.ceil((block_bits - _saved_on_tables(model)) / 8),
        bits_per_weight=round(block_bits / dense_block_weights, 4),
        macs=MAC_TOKENS * (active_weights(model) + _rotation_weights(model) + _attention_macs(linears))
        + _tables_macs(model),
        embedding_weights=None if factored is None else factored.stored,
        whole_embedding_weights=None if factored is None else factored.tokens * factored.width,
        uncovered_weights=sum(find_blocks(model).uncovered.values()) if dense_uncovered else None,
        dense_uncovered_weights=dense_uncovered or None,
    )


def _summed(weights: Sequence[Tensor]) -> tuple[int, int]:
    """Return the numbers of weights and of zeros among them."""
    return sum(one.numel() for one in weights), sum(one.numel() - int(torch.count_nonzero(one)) for one in weights)


def _saved_on_tables(model: PreTrainedModel) -> int:
    """Return the bits that quantised embedding tables save compared with 16 bits per weight."""
    weights = [(table.get_parameter("weight"), grid_of(table)) for table in embedding_tables(model).values()]
    return sum(
        WHOLE_BITS * weight.numel() - packed_bits(weight, grid=grid) for weight, grid in weights if grid is not None
    )


def _rotation_weights(model: PreTrainedModel) -> int:
    """Return the number of weights that rotate hidden states outside of the blocks."""
    able = (RotatedEmbedding, RotatedNorm, FactoredEmbedding)
    turns = (module.turn for module in model.modules() if isinstance(module, able))
    return sum(turn.weight.numel() for turn in turns if turn is not None)


def _tables_macs(model: PreTrainedModel) -> int:
    """Return the multiply-accumulates of the output head and of factored embeddings over `MAC_TOKENS` tokens."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    lookups = MAC_TOKENS * table.row_macs if isinstance(table, FactoredEmbedding) else 0
    if isinstance(head, FactoredHead):
        return lookups + head.table.head_macs(MAC_TOKENS)
    return lookups + MAC_TOKENS * int(head.get_parameter("weight").numel())


def _attention_macs(linears: list[Linear]) -> int:
    """Return the multiply-accumulates per token of attention scores and weighted sums over `MAC_TOKENS` positions."""
    widths: dict[int, int] = {}  # input width of o by block; the largest, since a factored o has two matrices
    for linear in linears:
        if linear.role == "o":
            widths[linear.block] = max(widths.get(linear.block, 0), linear.weight.shape[1])
    return 2 * MAC_TOKENS * sum(widths.values())
