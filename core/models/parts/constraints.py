"""What a stage leaves that later ones must keep, beside each linear: which weights stay zero, and in what pattern.

Whoever trains, compresses again, slices or saves a linear asks its constraint; a weight that is zero without one is
an ordinary weight. Two factors in place of a linear are a constraint by themselves: their shapes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Pattern = tuple[int, int]

# Inside it is safetensors. Servers take every *.safetensors in a folder for weights, so it is called otherwise.
FILE = "constraints.bits"

# Under which a linear has it. No buffer: it is not the model's, so neither its state dict nor its memory may count it.
ATTRIBUTE = "constraint"


@dataclass(frozen=True)
class Constraint:
    """Weights of a linear (out, in) that must stay zero, and the n:m pattern that they make."""

    bits: Tensor  # (ceil(out * in / 8),) uint8, eight weights a byte
    shape: tuple[int, int]
    pattern: Pattern | None = None

    @classmethod
    def of(cls, zeros: Tensor, pattern: Pattern | None = None) -> Constraint:
        """Return the constraint of a mask (out, in) that is True where a weight must stay zero."""
        padding = zeros.new_zeros(-zeros.numel() % 8)
        eights = torch.cat([zeros.flatten(), padding]).view(-1, 8).to(torch.uint8)  # (bytes, 8)
        rows, columns = zeros.shape
        return cls((eights << _places(zeros.device)).sum(1, dtype=torch.uint8), (rows, columns), pattern)

    def zeros(self, device: torch.device) -> Tensor:
        """Return the mask (out, in), True where a weight must stay zero."""
        eights = self.bits.to(device)[:, None] >> _places(device) & 1  # (bytes, 8)
        rows, columns = self.shape
        return eights.bool().flatten()[: rows * columns].view(rows, columns)


def _places(device: torch.device) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=device)


def constraint_of(module: nn.Module) -> Constraint | None:
    """Return what later stages must keep of a linear; None where every weight is free."""
    return getattr(module, ATTRIBUTE, None)


def set_constraint(module: nn.Module, zeros: Tensor, pattern: Pattern | None = None) -> None:
    """Bind weights of a linear to zero, besides those that are so already; `zeros` is (out, in)."""
    if (known := constraint_of(module)) is not None:
        zeros = zeros | known.zeros(zeros.device)
        pattern = pattern or known.pattern
    if zeros.any():
        setattr(module, ATTRIBUTE, Constraint.of(zeros, pattern))


def clear_constraint(module: nn.Module) -> None:
    """Let all weights of a linear be free, as where something mixes them."""
    if constraint_of(module) is not None:
        delattr(module, ATTRIBUTE)


def apply_constraint(module: nn.Module, weight: Tensor) -> Tensor:
    """Return a weight (out, in) that a linear may be given: zero where it must be."""
    known = constraint_of(module)
    return weight if known is None else weight.masked_fill(known.zeros(weight.device), 0)


def slice_constraint(module: nn.Module, rows: Tensor | None, columns: Tensor | None) -> None:
    """Keep the given outputs and inputs of a linear's constraint, and the pattern where it still holds."""
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
    """Whether a mask (out, in) leaves at most `kept` of every `group` consecutive inputs."""
    whole = zeros.shape[1] % group == 0
    return whole and bool((zeros.unflatten(1, (-1, group)).sum(-1) >= group - kept).all())


def save_constraints(model: nn.Module, folder: Path) -> None:
    """Write the constraints of a model's linears beside its weights; a file of none says that there are none."""
    found = {name: known for name, module in model.named_modules() if (known := constraint_of(module)) is not None}
    patterns = {name: known.pattern for name, known in found.items() if known.pattern}
    bits = {name: known.bits for name, known in found.items()}
    save_file(bits, folder / FILE, metadata={"patterns": json.dumps(patterns)})


def load_constraints(model: nn.Module, folder: Path) -> None:
    """Give a model's linears what `save_constraints` wrote.

    Raises `OSError`, `SafetensorError` or `ValueError` where the file is missing, damaged or another model's.
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
