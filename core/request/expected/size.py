"""The size of a compressed model before it is made, from the model's shape and what its stages declare."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from core.amount import WHOLE_BITS, Bits, Factor, Pattern, least_bits
from core.methods.base import Method
from core.models.facts import load_shape
from core.models.shape import ModelShape
from core.models.sources import identify_again
from core.notation.formatting import format_number
from core.registry import build_method
from core.specs import Stage, VariantSpec

SCALE_BITS = 16


class Size(NamedTuple):
    """A size; `exact` to the rounding of ratios to whole weights, heads and blocks, else at most this one."""

    packed_bytes: int  # each matrix in its smallest lossless layout
    model_parameters: int
    block_weights: int
    bits_per_weight: float  # of the dense model's block linears
    exact: bool

    def words(self) -> str:
        """Return the packed size: `89.9 MB`, or `at most 89.9 MB`."""
        return f"{'' if self.exact else 'at most '}{format_number(self.packed_bytes / 1e6)} MB"


@dataclass(frozen=True)
class _Matrices:
    """Equal matrices, (rows, columns) each; a structured removal leaves a fraction of a row."""

    rows: float
    columns: float
    count: int
    share: float = 1.0  # of the weights that are not zero
    pattern: tuple[int, int] | None = None
    each: float = WHOLE_BITS  # bits of a weight
    overhead: float = 0.0  # bits of the scales and zero points of one

    @property
    def weights(self) -> float:
        return self.rows * self.columns * self.count

    @property
    def bits(self) -> float:
        """The bits of all."""
        stored = least_bits(self.weights, self.weights * self.share, self.each, self.pattern)
        return stored + self.count * self.overhead


@dataclass(frozen=True)
class _Layout:
    linears: tuple[_Matrices, ...]
    tables: tuple[_Matrices, ...]
    others: float  # parameters
    exact: bool = True


def size_sentence(variant: VariantSpec) -> str:
    """Return a sentence on the packed size of a variant and of its dense model; empty if it is dense or unknown."""
    size, dense = size_of_variant(variant), size_of_variant(variant.prefixes[0])
    if variant.is_dense or size is None or dense is None:
        return ""
    share = size.packed_bytes / dense.packed_bytes
    return f"The packed size is {size.words()}, {100 * share:.0f} % of the dense model's {dense.words()}."


def size_of_variant(variant: VariantSpec) -> Size | None:
    """Return the `predicted_size` of a variant."""
    return predicted_size(load_shape(identify_again(variant.model, variant.revision)), variant.stages)


def predicted_size(shape: ModelShape, stages: Sequence[Stage]) -> Size | None:
    """Return the size after some stages; None if it does not follow from what they declare.

    It does not follow for selected layers, for stages that shrink the hidden states, and for encoders.
    """
    linears = tuple(_Matrices(rows, columns, count) for rows, columns, count in shape.matrices)
    tables = (_Matrices(shape.vocabulary, shape.hidden, 1),) * shape.tables
    dense = sum(one.weights for one in linears)
    if not dense or not tables:
        return None
    others = shape.parameters - dense - sum(one.weights for one in tables)
    layout: _Layout | None = _Layout(linears, tables, others)
    for stage in stages:
        method = build_method(stage)
        layout = None if layout is None else _after(layout, stage, method, dense, shape)
        if layout is not None and method.shifts:  # blocks with fewer weights or bits may save more than others lose
            layout = replace(layout, exact=False)
    if layout is None:
        return None
    bits = sum(one.bits for one in layout.linears)
    whole = bits + sum(one.bits for one in layout.tables) + WHOLE_BITS * layout.others
    blocks = sum(one.weights for one in layout.linears)
    parameters = layout.others + blocks + sum(one.weights for one in layout.tables)
    return Size(math.ceil(whole / 8), round(parameters), round(blocks), bits / dense, layout.exact)


def _after(layout: _Layout, stage: Stage, method: Method, dense: float, shape: ModelShape) -> _Layout | None:
    """Return the layout after a stage; None if it does not follow from what the method declares."""
    if stage.layers is not None:
        return None
    if "rotation" in method.leaves:  # one matrix after the embedding, and one before the head
        return replace(layout, others=layout.others + 2 * shape.hidden**2)
    pattern: tuple[int, int] | None = None
    match stage.amount:
        case None:
            return layout
        case Bits(bits=bits):
            return _rounded(layout, method, bits)
        case Factor(factor=factor):
            return _factored(layout, method, factor)
        case Pattern(pair=(kept, group) as pattern):
            share = kept / group
        case _ if method.ratio_kind == "sparsity":
            share = (1 - stage.required_ratio) * dense / sum(one.weights for one in layout.linears)
        case _:
            return _smaller(layout, stage, method, dense)
    sparse = (replace(one, share=min(one.share, share), pattern=pattern or one.pattern) for one in layout.linears)
    pruned = replace(layout, linears=tuple(sparse))
    width = getattr(method.parameters, "bits", None)  # of a method that prunes and rounds at once
    return pruned if width is None else _rounded(pruned, method, width)


def _rounded(layout: _Layout, method: Method, bits: float) -> _Layout | None:
    """Return a layout with weights of so many bits in the linears or the tables."""
    size = getattr(method.parameters, "group_size", None)
    if size is None:
        return None
    zero = 0.0 if getattr(method.parameters, "symmetric", False) else bits
    if getattr(method, "float_zero_point", False):
        zero = SCALE_BITS

    def rounded(one: _Matrices) -> _Matrices:
        groups = math.ceil(one.columns / (size or one.columns))
        return replace(one, each=bits, overhead=one.rows * groups * (SCALE_BITS + zero))

    exact = layout.exact and bits == int(bits)
    if "tables" in method.modifies:
        return replace(layout, tables=tuple(map(rounded, layout.tables)), exact=exact)
    return replace(layout, linears=tuple(map(rounded, layout.linears)), exact=exact)


def _factored(layout: _Layout, method: Method, factor: float) -> _Layout:
    """Return a layout whose embedding is in factors; an untied head, or one that is stored apart, stays whole."""
    whole, *heads = layout.tables
    if not heads and getattr(method.parameters, "head", None) == "explicit":
        heads = [whole]
    return replace(layout, tables=(replace(whole, rows=whole.rows / factor), *heads), exact=False)


def _smaller(layout: _Layout, stage: Stage, method: Method, dense: float) -> _Layout | None:
    """Return a layout without some heads, channels, blocks or ranks."""
    if "tables" in method.modifies or "basis" in method.leaves:
        return None
    nonzero = sum(one.weights * one.share for one in layout.linears)
    left = (1 - stage.required_ratio) * dense / nonzero
    if "factors" not in method.leaves or "shapes" in method.leaves:
        return replace(layout, linears=tuple(replace(one, rows=one.rows * left) for one in layout.linears))
    pairs = []
    for one in layout.linears:
        rank = left * one.rows * one.columns / (one.rows + one.columns)
        pairs += [_Matrices(one.rows, rank, one.count), _Matrices(rank, one.columns, one.count)]
    return replace(layout, linears=tuple(pairs))
