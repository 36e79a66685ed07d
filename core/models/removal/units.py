"""The removable units of a decoder block, and their removal: matrices are sliced and counts updated.

Linears are found by role (q, k, v, o, gate, up, down), not by architecture. The attention module states the head width.
"""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.base.errors import UserError
from core.models.modeling_slimscope import KV_COUNTS, QUERY_COUNTS, WIDTHS, Factors, Joined, configure_heads
from core.models.parts.blocks import Blocks, Linear
from core.models.parts.constraints import slice_constraint
from core.models.parts.reference import slice_reference
from core.models.removal.geometry import Geometry, Mode, choose_mode


@dataclass(frozen=True)
class KeptUnits:
    """The units of a block to keep: ascending indices, or None for all."""

    query_heads: Tensor | None = None
    kv_heads: Tensor | None = None
    channels: Tensor | None = None


@dataclass(frozen=True)
class Units:
    """One block as attention heads and FFN channels."""

    block: int
    linears: dict[str, Linear]  # by role
    attention: nn.Module  # contains q, k, v and o
    ffn: nn.Module  # contains down, and is the block itself in some models
    geometry: Geometry

    @property
    def ffn_inputs(self) -> list[Linear]:
        """Gate and up, or up alone."""
        return [self.linears[role] for role in ("gate", "up") if role in self.linears]

    @property
    def sizes(self) -> dict[str, int]:
        """The weight count of each linear, by role."""
        return {role: linear.weight.numel() for role, linear in self.linears.items()}

    def shrink(self, kept: KeptUnits) -> None:
        """Slice the block's matrices in place to the kept units."""
        shape = self.geometry
        if kept.query_heads is not None:
            queries = spread(kept.query_heads, shape.head_dim)
            norms = head_norms(self, "q"), head_norms(self, "k")
            slice_linear(self.linears["q"].plain, rows=queries)
            slice_linear(self.linears["o"].plain, columns=queries)
            kv_heads = torch.arange(shape.kv_heads) if kept.kv_heads is None else kept.kv_heads
            for role in ("k", "v"):
                slice_linear(self.linears[role].plain, rows=spread(kv_heads, shape.head_dim))
            recount(self.attention, QUERY_COUNTS, len(kept.query_heads))
            recount(self.attention, KV_COUNTS, len(kv_heads))
            recount(self.attention, ("num_key_value_groups",), len(kept.query_heads) // len(kv_heads))
            recount(self.attention, WIDTHS, len(queries))
            joined = any(isinstance(module, Joined) for module in self.attention.children())
            if joined and "config" in vars(self.attention):
                configure_heads(self.attention, len(kept.query_heads))
            for role_norms, kept_entries in zip(norms, (queries, spread(kv_heads, shape.head_dim)), strict=True):
                for norm in role_norms:  # over all query or all key heads, such as those of OLMo 2
                    cut(norm, "weight", 0, kept_entries)
        if kept.channels is not None:
            for linear in self.ffn_inputs:
                slice_linear(linear.plain, rows=kept.channels)
            slice_linear(self.linears["down"].plain, columns=kept.channels)


def head_norms(units: Units, role: str) -> list[nn.Module]:
    """Return the norms in a block's attention that span all heads of q or of k, by their name."""
    width = units.linears[role].shape[0]
    if width == units.geometry.head_dim:
        return []
    named = re.compile(rf"{role}_?(layer)?norm$")
    children = {name: child for name, child in units.attention.named_children() if named.match(name)}
    return [child for child in children.values() if any(len(own) == width for own in child.parameters(recurse=False))]


def find_units(blocks: Blocks, index: int, mode: Mode = "auto") -> Units:
    """Return one block's units; raise `UserError` unless q, k, v, o, up and down are separate linears."""
    found = blocks.linears(index)
    linears = {linear.role: linear for linear in found if [other.role for other in found].count(linear.role) == 1}
    missing = [role for role in ("q", "k", "v", "o", "up", "down") if role not in linears]
    unplain = [role for role, linear in linears.items() if not isinstance(linear.module, nn.Linear)]
    if "down" in missing and any(linear.role == "down" for linear in found):
        raise UserError(
            "This method needs one FFN in every block, but this model is a mixture of experts. Choose reap, "
            "unstructured pruning, quantisation or low rank."
        )
    if missing or unplain:
        raise UserError(
            "Structured pruning needs q, k, v, o, up and down as separate linears in every block. "
            f"This model lacks {', '.join(missing or unplain)}."
        )
    block = blocks.holder[index]
    attention, ffn = (
        block.get_submodule(linears[role].name.removeprefix(f"{blocks.name}.{index}.").rpartition(".")[0])
        for role in ("o", "down")
    )
    head_dim = head_width(attention)
    (queries, hidden), keys = linears["q"].shape, linears["k"].shape[0]
    return Units(
        index,
        linears,
        attention,
        ffn,
        Geometry(
            hidden=hidden,
            query_heads=queries // head_dim,
            kv_heads=keys // head_dim,
            head_dim=head_dim,
            channels=linears["down"].weight.shape[1],
            ffn_matrices=3 if "gate" in linears else 2,
            mode=choose_mode(mode, queries // head_dim, keys // head_dim),
        ),
    )


def head_width(attention: nn.Module) -> int:
    """Return the width of an attention head, under either of its attribute names; a `UserError` without one."""
    width = getattr(attention, "head_dim", None) or getattr(attention, "head_size", None)
    if not isinstance(width, int):
        raise UserError(f"{type(attention).__name__} does not state the width of its heads, so none can be removed.")
    return width


def whole_block(blocks: Blocks, index: int) -> Units:
    """Return a block of any architecture as one unit, for methods that remove whole blocks; its roles are names."""
    linears = {linear.name: linear for linear in blocks.linears(index)}
    nothing = Geometry(hidden=0, query_heads=1, kv_heads=1, head_dim=0, channels=0, ffn_matrices=0)
    return Units(index, linears, blocks.holder[index], blocks.holder[index], nothing)


def check_heads(units: Units) -> None:
    """Raise `UserError` as `check_channels`, or if attention has parameters over all heads but norms of q and of k."""
    check_channels(units)
    widths = {units.linears[role].weight.shape[0] for role in ("q", "k")} - {units.geometry.head_dim}
    biased = {"alibi", "position_bias"} & set(inspect.signature(type(units.attention).forward).parameters)
    if getattr(getattr(units.attention, "config", None), "alibi", bool(biased)):
        raise UserError(
            "The attention of this model adds a bias of its own to every head (ALiBi), so no head can be removed. Use "
            "lorap, or a method that zeroes weights."
        )
    known = {*head_norms(units, "q"), *head_norms(units, "k")}
    for module in units.attention.modules():
        own = () if isinstance(module, nn.Linear) or module in known else module.parameters(recurse=False)
        if any(parameter.ndim == 1 and len(parameter) in widths for parameter in own):
            raise UserError(
                "The attention of this model has a norm over all heads, so no head can be removed; use lorap or a "
                "method that zeroes weights."
            )


def check_channels(units: Units) -> None:
    """Raise `UserError` if the FFN has a norm over all channels."""
    if units.attention in set(units.ffn.modules()):  # the block itself, whose norms are of hidden states
        return
    for module in units.ffn.children():
        own = () if isinstance(module, nn.Linear) else module.parameters(recurse=False)
        if any(parameter.shape == (units.geometry.channels,) for parameter in own):
            raise UserError(
                "The FFN of this model has a norm over all channels, so none can be removed; use a method that zeroes "
                "weights."
            )


def spread(owners: Tensor, width: int) -> Tensor:
    """Return the indices of the `width` entries of each owner: rows of heads, query heads of key-value heads."""
    return (owners[:, None] * width + torch.arange(width, device=owners.device)).flatten()


def cut(module: nn.Module, name: str, axis: int, kept: Tensor) -> None:
    """Keep the given entries of a module's own parameter along an axis."""
    whole = module.get_parameter(name)
    part = whole.data.index_select(axis, kept.to(whole.device))
    setattr(module, name, nn.Parameter(part, whole.requires_grad))


def slice_linear(module: nn.Linear, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    """Keep the given outputs and inputs of a linear in place; bias, constraint and reference are sliced too."""
    if rows is not None:
        cut(module, "weight", 0, rows)
        if module.bias is not None:
            cut(module, "bias", 0, rows)
    if columns is not None:
        cut(module, "weight", 1, columns)
    module.out_features, module.in_features = module.weight.shape
    slice_constraint(module, rows, columns)
    slice_reference(module, rows, columns)


def factors_of(linear: Linear, left: Tensor, right: Tensor) -> Factors:
    """Return left (out, rank) and right (rank, in) as a module that replaces a linear."""
    weight, bias = linear.module.weight, linear.module.bias
    with torch.device("meta"):
        factors = Factors(right.shape[1], right.shape[0], left.shape[0], bias is not None)
    for thin, value in zip(factors, (right, left), strict=True):
        thin.weight = nn.Parameter(value.to(weight).contiguous(), weight.requires_grad)
    factors[1].bias = bias
    return factors


def recount(module: nn.Module, names: Sequence[str], value: int) -> None:
    """Set a module's count under each of the given names that it has."""
    for name in names:
        if hasattr(module, name):
            setattr(module, name, value)
