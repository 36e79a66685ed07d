"""Constraints of linears: weights that later stages must leave at zero, and their N:M pattern.

Training, compression, slicing and saving apply a linear's constraint. A zero weight without a constraint is an ordinary
weight. Two factors that replace a linear are a constraint by their shapes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

NM = tuple[int, int]

# A safetensors file with another ending, because servers load every *.safetensors in a folder as weights.
FILE = "constraints.bits"

# Not a buffer, so that neither the state dict nor the memory footprint of the model includes it.
ATTRIBUTE = "constraint"


@dataclass(frozen=True)
class Constraint:
    """Weights of a linear (out, in) that must stay zero, and their N:M pattern."""

    bits: Tensor  # (ceil(out * in / 8),) uint8, eight weights per byte
    shape: tuple[int, int]
    pattern: NM | None = None

    @classmethod
    def of(cls, zeros: Tensor, pattern: NM | None = None) -> "Constraint":
        """Return the constraint of a mask (out, in); True marks a weight that must stay zero."""
        padding = zeros.new_zeros(-zeros.numel() % 8)
        eights = torch.cat([zeros.flatten(), padding]).view(-1, 8).to(torch.uint8)  # (bytes, 8)
        rows, columns = zeros.shape
        bits = (eights << _places(zeros.device)).sum(1, dtype=torch.uint8)
        return cls(bits.cpu(), (rows, columns), pattern)  # those of all blocks would fill a GPU

    def zeros(self, device: torch.device) -> Tensor:
        """Return the mask (out, in); True marks a weight that must stay zero."""
        eights = self.bits.to(device)[:, None] >> _places(device) & 1  # (bytes, 8)
        rows, columns = self.shape
        return eights.bool().flatten()[: rows * columns].view(rows, columns)


def _places(device: torch.device) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=device)


def constraint_of(module: nn.Module) -> Constraint | None:
    """Return the constraint of a linear; None if every weight is free."""
    return getattr(module, ATTRIBUTE, None)


def set_constraint(module: nn.Module, zeros: Tensor, pattern: NM | None = None) -> None:
    """Bind weights of a linear to zero, in addition to those already bound; `zeros` is (out, in)."""
    if (known := constraint_of(module)) is not None:
        zeros = zeros | known.zeros(zeros.device)
        pattern = pattern or known.pattern
    if zeros.any():
        setattr(module, ATTRIBUTE, Constraint.of(zeros, pattern))


def clear_constraint(module: nn.Module) -> None:
    """Free all weights of a linear, for stages that mix them."""
    if constraint_of(module) is not None:
        delattr(module, ATTRIBUTE)


def apply_constraint(module: nn.Module, weight: Tensor) -> Tensor:
    """Return a weight (out, in) with zeros where the linear's constraint requires them."""
    known = constraint_of(module)
    return weight if known is None else weight.masked_fill(known.zeros(weight.device), 0)


def slice_constraint(module: nn.Module, rows: Tensor | None, columns: Tensor | None) -> None:
    """Slice a linear's constraint to the given outputs and inputs; drop its pattern if that no longer applies."""
    known = constraint_of(module)
    if known is None:
        return
    clear_constraint(module)
    zeros = known.zeros(known.bits.device)
    for dim, kept in enumerate((rows, columns)):
        if kept is not None:
            zeros = zeros.index_select(dim, kept.to(zeros.device))
    set_constraint(module, zeros, known.pattern if known.pattern and _follows(zeros, *known.pattern) else None)


def _follows(zeros: Tensor, kept: int, group: int) -> bool:
    """Return whether a mask (out, in) keeps at most `kept` of every `group` consecutive inputs."""
    whole = zeros.shape[1] % group == 0
    return whole and bool((zeros.unflatten(1, (-1, group)).sum(-1) >= group - kept).all())


def save_constraints(model: nn.Module, folder: Path) -> None:
    """Write the constraints of a model's linears beside its weights; a file is written even if there are none."""
    found = {name: known for name, module in model.named_modules() if (known := constraint_of(module)) is not None}
    patterns = {name: known.pattern for name, known in found.items() if known.pattern}
    bits = {name: known.bits for name, known in found.items()}
    save_file(bits, folder / FILE, metadata={"patterns": json.dumps(patterns)})


def load_constraints(model: nn.Module, folder: Path) -> None:
    """Load the constraints that `save_constraints` wrote into a model's linears.

    Raises `OSError`, `SafetensorError` or `ValueError` for a file that is missing, damaged or another model's.
    """
    linears = {name: module for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))}
    with safe_open(folder / FILE, "pt") as file:
        patterns = json.loads((file.metadata() or {}).get("patterns", "{}"))
        for name in file.keys():  # noqa: SIM118 - no mapping
            bits = file.get_tensor(name)
            if name not in linears or len(bits) != -(-linears[name].weight.numel() // 8) or bits.dtype != torch.uint8:
                raise ValueError(f"{FILE} does not fit the model: {name}")
            weight = linears[name].weight
            rows, columns = weight.shape[::-1] if isinstance(linears[name], Conv1D) else weight.shape
            pattern = patterns.get(name)
            setattr(linears[name], ATTRIBUTE, Constraint(bits, (rows, columns), pattern and tuple(pattern)))
