"""What a variant takes up, counted on its tensors: parameters, zeros, bytes dense and packed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.models.modeling_slimscope import FactoredEmbedding, FactoredHead, RotatedEmbedding, RotatedNorm
from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.constraints import Pattern, constraint_of
from core.models.parts.convolutions import convolutions_of
from core.models.parts.grids import Grid, grid_of
from core.models.parts.sizes import is_language_model
from core.models.parts.tables import embedding_tables
from core.results import Footprint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BITS = 16  # of one stored weight
MAC_TOKENS = 64  # of the forward whose products are counted, as in LLM-Pruner's table (arXiv:2305.11627)


def packed_bits(weight: Tensor, pattern: Pattern | None = None, grid: Grid | None = None) -> int:
    """Return the bits of a matrix (out, in) in its smallest valid layout.

    A kept weight takes 16 bits, or those of its grid, whose scales and zeros come on top. Dense: all are kept; bitmask:
    1 bit a weight says which are; 2:4, where that is its pattern, 2 kept of 4 with a 2-bit index each.
    """
    kept = int(torch.count_nonzero(weight))
    each, beside = (BITS, 0) if grid is None else (grid.bits, grid.overhead_bits)
    layouts = [each * weight.numel(), weight.numel() + each * kept]
    if pattern == (2, 4):
        layouts.append(weight.numel() // 4 * (2 * each + 2 * 2))
    return min(layouts) + beside


def footprint(model: PreTrainedModel, dense_parameters: int, dense_block_weights: int) -> Footprint:
    """Count a model. `dense_parameters` and `dense_block_weights` are those of the uncompressed model.

    Of a model that is no language model the weights of its convolutions stand in the place of those of block linears,
    as its ratio is of them. Nothing of it is packed, and what it multiplies is not told: it reads no tokens.
    """
    if not is_language_model(model):
        return _of_convolutions(model, dense_parameters, dense_block_weights)
    linears = list(find_blocks(model).all_linears())
    weights = [linear.weight for linear in linears]
    block_weights = sum(weight.numel() for weight in weights)
    block_zeros = sum(weight.numel() - int(torch.count_nonzero(weight)) for weight in weights)
    constraints = [constraint_of(linear.module) for linear in linears]
    block_bits = sum(
        packed_bits(linear.weight, known.pattern if known else None, grid_of(linear.module))
        for linear, known in zip(linears, constraints, strict=True)
    )
    total, zeros = _counted(model)
    table = model.get_input_embeddings()
    factored = table if isinstance(table, FactoredEmbedding) else None
    return Footprint(
        block_weights=block_weights,
        block_zeros=block_zeros,
        dense_block_weights=dense_block_weights,
        model_parameters=total,
        model_zeros=zeros,
        dense_parameters=dense_parameters,
        dense_bytes=total * BITS // 8,
        packed_bytes=(total - block_weights) * BITS // 8 + math.ceil((block_bits - _saved_on_tables(model)) / 8),
        bits_per_weight=round(block_bits / dense_block_weights, 4),
        macs=MAC_TOKENS * (block_weights + _turning(model) + _mixed(linears)) + _tables_macs(model),
        embedding_weights=None if factored is None else factored.stored,
        whole_embedding_weights=None if factored is None else factored.tokens * factored.width,
    )


def _of_convolutions(model: PreTrainedModel, dense_parameters: int, dense_weights: int) -> Footprint:
    kernels = [one.kernel for one in convolutions_of(model)]
    weights = sum(kernel.numel() for kernel in kernels)
    total, zeros = _counted(model)
    return Footprint(
        block_weights=weights,
        block_zeros=sum(kernel.numel() - int(torch.count_nonzero(kernel)) for kernel in kernels),
        dense_block_weights=dense_weights,
        model_parameters=total,
        model_zeros=zeros,
        dense_parameters=dense_parameters,
        dense_bytes=total * BITS // 8,
        packed_bytes=total * BITS // 8,
        bits_per_weight=round(BITS * weights / dense_weights, 4),
    )


def _counted(model: PreTrainedModel) -> tuple[int, int]:
    """Return the parameters of a model, tied tensors once, and how many of them are zero."""
    parameters = {id(p): p for p in model.parameters()}.values()
    return sum(p.numel() for p in parameters), sum(p.numel() - int(torch.count_nonzero(p)) for p in parameters)


def _saved_on_tables(model: PreTrainedModel) -> int:
    """Return by how many bits the tables of tokens are smaller than at 16 bits a weight."""
    weights = [(table.get_parameter("weight"), grid_of(table)) for table in embedding_tables(model).values()]
    return sum(BITS * weight.numel() - packed_bits(weight, grid=grid) for weight, grid in weights if grid is not None)


def _turning(model: PreTrainedModel) -> int:
    """Return the weights that turn hidden states outside of the blocks."""
    able = (RotatedEmbedding, RotatedNorm, FactoredEmbedding)
    turns = (module.turn for module in model.modules() if isinstance(module, able))
    return sum(turn.weight.numel() for turn in turns if turn is not None)


def _tables_macs(model: PreTrainedModel) -> int:
    """Return the products of the head over `MAC_TOKENS` positions, and those that embeddings in factors are made by."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    made = MAC_TOKENS * table.row_macs if isinstance(table, FactoredEmbedding) else 0
    if isinstance(head, FactoredHead):
        return made + head.table.head_macs(MAC_TOKENS)
    return made + MAC_TOKENS * head.get_parameter("weight").numel()


def _mixed(linears: list[Linear]) -> int:
    """Return attention's own products a token, scores and their weighted sum, over `MAC_TOKENS` positions."""
    widths: dict[int, int] = {}  # what o reads, the first factor's input where it has two
    for linear in linears:
        if linear.role == "o":
            widths[linear.block] = max(widths.get(linear.block, 0), linear.weight.shape[1])
    return 2 * MAC_TOKENS * sum(widths.values())
