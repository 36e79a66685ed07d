"""The n-bit grid of a linear's weights, which later stages must preserve, and its size in bits."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

# A safetensors file with another ending, because servers load every *.safetensors in a folder as weights.
FILE = "grids.bits"

ATTRIBUTE = "grid"  # of a linear; not a buffer, like a constraint
SCALE_BITS = 16


@dataclass(frozen=True)
class Grid:
    """A quantisation grid: a weight (out, in) is (code - zero) * scale, with both per `group` consecutive inputs.

    Without `zero`, codes are signed, start at -2^(bits-1), and code 0 is the weight 0. With `zero`, they start at 0.
    """

    bits: int
    group: int
    scale: Tensor  # (out, groups) fp32, each exact in 16 bits
    zero: Tensor | None = None  # (out, groups) fp32: whole numbers, or any numbers that are stored in 16 bits

    @property
    def lowest(self) -> int:
        return -(2 ** (self.bits - 1)) if self.zero is None else 0

    @property
    def overhead_bits(self) -> int:
        """The bits of all scales and zero points."""
        zero_bits = 0
        if self.zero is not None:
            zero_bits = self.bits if torch.equal(self.zero, self.zero.round()) else SCALE_BITS
        return self.scale.numel() * (SCALE_BITS + zero_bits)

    def to(self, device: torch.device | str) -> "Grid":
        """Return the grid with its tensors on a device."""
        return replace(self, scale=self.scale.to(device), zero=None if self.zero is None else self.zero.to(device))

    def codes(self, weight: Tensor) -> Tensor:
        """Return the code nearest to each weight (out, in), int16."""
        return self._codes(weight, *self._spread(weight.shape[1])).to(torch.int16)

    def weight(self, codes: Tensor) -> Tensor:
        """Return the weights (out, in), fp32, of codes."""
        scale, zero = self._spread(codes.shape[1])
        return (codes.float() if zero is None else codes - zero) * scale

    def nearest(self, weight: Tensor) -> Tensor:
        """Return the nearest weights (out, in) on the grid."""
        if weight.shape[1] % self.group:
            return self.nearest_of(weight, *self._spread(weight.shape[1]))
        groups = weight.unflatten(1, (-1, self.group))  # (out, groups, group)
        zero = None if self.zero is None else self.zero[..., None]
        return self.nearest_of(groups, self.scale[..., None], zero).flatten(1)

    def nearest_of(self, weight: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        """Return the nearest grid values of some weights; `scale` and `zero` broadcast to the weights' shape."""
        codes = self._codes(weight, scale, zero)
        return (codes if zero is None else codes.sub_(zero)).mul_(scale)

    def _codes(self, weight: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        exact = weight / scale if zero is None else (weight / scale).add_(zero)
        return exact.round_().clamp_(self.lowest, self.lowest + 2**self.bits - 1)

    def _spread(self, inputs: int) -> tuple[Tensor, Tensor | None]:
        """Return scale and zero point of each weight, (out, in)."""
        parts = (None if part is None else part.repeat_interleave(self.group, 1) for part in (self.scale, self.zero))
        scale, zero = (None if part is None else part[:, :inputs] for part in parts)
        assert scale is not None
        return scale, zero


def grid_of(module: nn.Module) -> Grid | None:
    """Return the grid of a linear's weights, on their device; None without one."""
    grid: Grid | None = getattr(module, ATTRIBUTE, None)
    return None if grid is None else grid.to(module.get_parameter("weight").device)


def set_grid(module: nn.Module, grid: Grid) -> None:
    """Record the grid of a linear's weights."""
    setattr(module, ATTRIBUTE, grid.to("cpu"))  # those of all blocks would fill a GPU


def save_grids(model: nn.Module, folder: Path) -> None:
    """Write the grids of a model's linears beside its weights; write nothing if there are none."""
    found = {name: grid for name, module in model.named_modules() if (grid := grid_of(module)) is not None}
    if not found:
        return
    tensors = {f"{name}.scale": grid.scale.contiguous() for name, grid in found.items()}
    tensors |= {f"{name}.zero": grid.zero.contiguous() for name, grid in found.items() if grid.zero is not None}
    save_file(tensors, folder / FILE, metadata={name: f"{grid.bits} {grid.group}" for name, grid in found.items()})


def load_grids(model: nn.Module, folder: Path) -> None:
    """Load the grids that `save_grids` wrote into a model's linears; a missing file means none.

    Raises `OSError`, `SafetensorError` or `ValueError` for a file that is damaged or another model's.
    """
    if not (folder / FILE).is_file():
        return
    linears = dict(model.named_modules())
    with safe_open(folder / FILE, "pt") as file:
        names = set(file.keys())
        for name, sizes in (file.metadata() or {}).items():
            if name == "format":
                continue
            if name not in linears or f"{name}.scale" not in names:
                raise ValueError(f"{FILE} does not fit the model: {name}")
            bits, group = map(int, sizes.split())
            zero = file.get_tensor(f"{name}.zero") if f"{name}.zero" in names else None
            set_grid(linears[name], Grid(bits, group, file.get_tensor(f"{name}.scale"), zero))
