"""References of linears: the dense weights that a later stage should approximate.

A linear without a reference is its own, because results of training, rotation or factorisation must not be undone. A
linear that is only a slice of the dense model's, possibly rescaled, has a `SliceRecord`. A record needs no copy of
weights and survives masking. Any other linear is copied before its first mask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from core.models.parts.blocks import Blocks

# A safetensors file of cached variants only; a checkpoint is complete without it.
FILE = "references.bits"

ATTRIBUTE = "reference"  # of a linear; not a buffer, like a constraint
CUTS = ("rows", "columns", "scale")  # optional tensors of a `SliceRecord`, which also name them in the file


@dataclass(frozen=True)
class SliceRecord:
    """A linear of the dense model, with the slices and the output scale applied since."""

    name: str  # in the dense model
    rows: Tensor | None = None  # (out,) kept outputs; None: all
    columns: Tensor | None = None  # (in,) kept inputs; None: all
    scale: Tensor | None = None  # (out,) of the kept outputs

    def follow(self, weight: Tensor) -> Tensor:
        """Return the dense weight (dense out, dense in) after slices and scale, (out, in) fp32."""
        for dim, kept in enumerate((self.rows, self.columns)):
            if kept is not None:
                weight = weight.index_select(dim, kept.to(weight.device))
        return weight.float() if self.scale is None else rescaled(weight, self.scale)


Reference = SliceRecord | Tensor  # a tensor is (out, in), on the CPU


def mark_dense(blocks: Blocks) -> None:
    """Give every linear of a dense model a `SliceRecord` of itself."""
    for linear in blocks.all_linears():
        setattr(linear.module, ATTRIBUTE, SliceRecord(linear.name))


def reference_of(module: nn.Module) -> Reference | None:
    """Return a linear's reference; None if that is its own weight."""
    return getattr(module, ATTRIBUTE, None)


def resolve_reference(module: nn.Module, weight: Tensor, dense: Callable[[str], Tensor]) -> Tensor:
    """Return the reference weight of a linear, (out, in) fp32, on the device of its `weight`, which is the default.

    `dense` returns the weight of a linear of the dense model by its name there.
    """
    known = reference_of(module)
    if isinstance(known, SliceRecord):
        known = known.follow(dense(known.name))
    return (weight if known is None else known).to(weight.device, torch.float32)


def set_reference(module: nn.Module, weight: Tensor) -> None:
    """Copy the weight (out, in) of a linear as its reference before masking; an earlier reference is preserved."""
    if reference_of(module) is None:
        setattr(module, ATTRIBUTE, weight.to("cpu", copy=True, memory_format=torch.contiguous_format))


def clear_reference(module: nn.Module) -> None:
    """Make a linear its own reference, after a stage computed other weights."""
    if reference_of(module) is not None:
        delattr(module, ATTRIBUTE)


def slice_reference(module: nn.Module, rows: Tensor | None, columns: Tensor | None) -> None:
    """Slice a linear's reference to the given outputs and inputs."""
    known = reference_of(module)
    if isinstance(known, SliceRecord):
        scale = known.scale if rows is None or known.scale is None else known.scale[rows.cpu()]
        cut = SliceRecord(known.name, _remaining(known.rows, rows), _remaining(known.columns, columns), scale)
        setattr(module, ATTRIBUTE, cut)
    elif known is not None:
        for dim, kept in enumerate((rows, columns)):
            if kept is not None:
                known = known.index_select(dim, kept.cpu())
        setattr(module, ATTRIBUTE, known)


def join_references(module: nn.Module, parts: Mapping[nn.Module, Tensor]) -> None:
    """Give a linear the references of the linears that compute its `parts`, with the rows (out,) of each."""
    total = sum(map(len, parts.values()))
    known = [(reference_of(part), rows) for part, rows in parts.items()]
    records = [(one, rows) for one, rows in known if isinstance(one, SliceRecord)]
    copies = [(one, rows) for one, rows in known if isinstance(one, Tensor)]
    if len(records) == len(known):
        kept, scale = torch.empty(total, dtype=torch.long), torch.ones(total, dtype=torch.float64)
        for record, rows in records:
            kept[rows] = torch.arange(len(rows)) if record.rows is None else record.rows
            scale[rows] = torch.ones(len(rows)).double() if record.scale is None else record.scale.double()
        first = records[0][0]
        scaled = any(record.scale is not None for record, _ in records)
        setattr(module, ATTRIBUTE, SliceRecord(first.name, kept, first.columns, scale if scaled else None))
    elif len(copies) == len(known):
        whole = copies[0][0].new_empty(total, copies[0][0].shape[1])
        for copy, rows in copies:
            whole[rows] = copy
        setattr(module, ATTRIBUTE, whole)


def scale_reference(module: nn.Module, scale: Tensor) -> None:
    """Multiply the outputs of a linear's reference by a scale (out,)."""
    known, scale = reference_of(module), scale.cpu()
    if isinstance(known, SliceRecord):
        both = scale if known.scale is None else known.scale * scale
        setattr(module, ATTRIBUTE, SliceRecord(known.name, known.rows, known.columns, both))
    elif known is not None:
        setattr(module, ATTRIBUTE, rescaled(known, scale).to(known.dtype))


def rescaled(weight: Tensor, scale: Tensor) -> Tensor:
    """Return a weight (out, in) with its outputs multiplied by a scale (out,), fp32."""
    return (weight.double() * scale.to(weight.device, torch.float64)[:, None]).float()


def _remaining(known: Tensor | None, kept: Tensor | None) -> Tensor | None:
    """Return the indices that remain after `kept` selects from the `known` ones; None for all."""
    if kept is None:
        return known
    return kept.cpu() if known is None else known[kept.cpu()]


def reference_bytes(model: nn.Module) -> int:
    """Return the bytes of the references that are copies."""
    found = (reference_of(module) for module in model.modules())
    return sum(known.numel() * known.element_size() for known in found if isinstance(known, Tensor))


def save_references(model: nn.Module, folder: Path) -> None:
    """Write the references of a model's linears beside its weights; a file is written even if there are none."""
    tensors: dict[str, Tensor] = {}
    recipes: dict[str, str] = {}
    for name, module in model.named_modules():
        known = reference_of(module)
        if isinstance(known, SliceRecord):
            recipes[name] = known.name
            cuts = {cut: getattr(known, cut) for cut in CUTS}
            # safetensors rejects shared memory, which linears with equal slices have.
            tensors |= {f"{name} {cut}": value.clone() for cut, value in cuts.items() if value is not None}
        elif known is not None:
            tensors[name] = known
    save_file(tensors, folder / FILE, metadata={"recipes": json.dumps(recipes)})


def load_references(model: nn.Module, folder: Path) -> None:
    """Load the references that `save_references` wrote into a model's linears.

    Raises `OSError`, `SafetensorError` or `ValueError` for a file that is missing, damaged or another model's.
    """
    linears = {name: module for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))}
    with safe_open(folder / FILE, "pt") as file:
        recipes = json.loads((file.metadata() or {}).get("recipes", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    found: dict[str, Reference] = {
        name: SliceRecord(dense, **{cut: tensors.get(f"{name} {cut}") for cut in CUTS})
        for name, dense in recipes.items()
    }
    found |= {name: tensor for name, tensor in tensors.items() if " " not in name}
    for name, known in found.items():
        if name not in linears or not _fits(known, linears[name]):
            raise ValueError(f"{FILE} does not fit the model: {name}")
        setattr(linears[name], ATTRIBUTE, known)


def _fits(known: Reference, module: nn.Linear | Conv1D) -> bool:
    """Return whether a reference fits the shape of a linear, as far as the reference states its shape."""
    rows, columns = module.weight.shape[::-1] if isinstance(module, Conv1D) else module.weight.shape
    if isinstance(known, Tensor):
        return known.shape == (rows, columns)
    sizes = ((known.rows, rows), (known.columns, columns), (known.scale, rows))
    return all(cut is None or cut.shape == (size,) for cut, size in sizes)
