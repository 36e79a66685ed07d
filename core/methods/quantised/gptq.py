"""GPTQ: rounds column by column and updates the columns that are not rounded yet to compensate.

It is SparseGPT's sweep (`core.methods.numerics.sweep`) with every column rounded. Group-aware order: groups stay whole,
sorted by their largest diagonal entry of the Hessian. Columns inside a group are sorted too. For a requested mean of
bits, see `core.methods.quantised.rounding_losses`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from core.amount import Amount, Bits
from core.methods.base import Method
from core.methods.cost import differentiating, gradient_bytes
from core.methods.lazy import Grid, Linear, Tensor
from core.methods.linear import Accumulator, Compressed, Factor, Plan, Statistics, Target
from core.methods.numerics.groups import SymmetricScales
from core.methods.parameters import MethodParameters, ShiftedParameters, WalkerParameters
from core.methods.quantised.base import GridParameters, QuantisedMethod
from core.methods.quantised.rounding_losses import RoundingLosses
from core.methods.terms import Citation
from core.models.shape import ModelShape
from core.specs import TextWindows

SCORING = 20  # operations to round a weight and score the change


class GPTQParameters(GridParameters, WalkerParameters, ShiftedParameters):
    damping: float = Field(
        default=0.01,
        gt=0,
        le=10,
        description="Share of the Hessian's mean diagonal that is added to its diagonal.",
    )
    order: Literal["static", "groups", "none"] = Field(
        default="static",
        description="Order of rounding. static: columns with the largest inputs first, on grids of the original "
        "weights (act-order, static groups). groups: whole groups by their largest input (group-aware). none: "
        "from left to right.",
    )
    statistics: Literal["current", "block"] = Field(
        default="current",
        description="When a group's grid is computed. current: as the sweep reaches the group. block: at the "
        "start of its block of 128 columns, as in the reference code.",
    )


class GPTQ(SymmetricScales, QuantisedMethod):
    name = "gptq"
    label = "GPTQ"
    version = 3
    citation = Citation(
        title="GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
        authors="Frantar et al.",
        year=2022,
        url="https://arxiv.org/abs/2210.17323",
        part="algorithm 1",
    )
    summary = (
        "Rounds column by column and updates the remaining weights with the inverse Hessian of the layer's inputs."
    )
    idea = (
        "Rounding each weight to its nearest value ignores that errors add up in a layer's output. GPTQ rounds "
        "one column after another. It then updates the columns not yet rounded with the inverse Hessian of the "
        "layer's inputs, to restore the output."
    )
    formulas = (
        r"W'_{ij} = s \, \left\lfloor \tfrac{W_{ij}}{s} \right\rceil",
        r"W_{i,\,j:} \leftarrow W_{i,\,j:} - \frac{W_{ij} - W'_{ij}}{U_{jj}}\, U_{j,\,j:}",
        r"X X^\top + \lambda I = H, \qquad H^{-1} = U^\top U",
    )
    symbols = {
        "s": "scale of the group",
        "U": "upper triangular factor of the inverse Hessian",
        "H": "Hessian of the layer's output error, up to a factor",
        r"\lambda I": "damping: a share of the mean diagonal, added to the diagonal",
    }
    data_requirement = "calibration"
    Parameters = GPTQParameters
    input_sums = frozenset({"gram"})
    solves = 1

    @classmethod
    def create(cls, parameters: MethodParameters, seed: int | None, amount: Amount | None = None) -> Method:
        between = isinstance(amount, Bits) and amount.bits not in cls.bit_choices
        return (MixedGPTQ if between else GPTQ)(parameters, seed)

    def find(self, weight: Tensor, bits: int) -> Grid:
        """Return the grid of a weight (out, in) or of some of its columns."""
        from core.methods.find import find_grid

        how, columns = self.parameters, weight.shape[1]
        return find_grid(weight, bits, min(self.group(columns), columns), how.symmetric, how.clip, how.grid)

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        import torch

        from core.methods.numerics.hessian import factorise
        from core.methods.numerics.sweep import DynamicGroups, StaticGroups, sweep
        from core.models.parts.grids import Grid

        how, group, bits = self.parameters, self.group(weight.shape[1]), int(plan or target.bits)

        def find(part: Tensor) -> Grid:
            return self.find(part, bits)

        def factored() -> tuple[Tensor, Factor]:
            order = self._order(statistics.gram.diagonal(), group)
            return order, factorise(statistics.gram[order[:, None], order], how.damping)

        order, factor = statistics.once(f"factor of {group}", factored)
        weight = weight[:, order]
        weight[:, factor.dead] = 0
        zeros = torch.zeros_like(weight, dtype=torch.bool) if target.zeros is None else target.zeros[:, order]
        back = order.argsort()
        if how.order == "static":
            rounding: DynamicGroups | StaticGroups = StaticGroups(find(weight[:, back]), order)
        else:
            rounding = DynamicGroups(find, group, how.statistics == "block")
        swept, _ = sweep(weight, factor.upper, ratio=0.0, mask_block=group, mask=zeros, rounding=rounding)
        grid = rounding.result_grid()
        if how.order == "groups":
            groups = order.view(-1, group)[:, 0].div(group, rounding_mode="floor").argsort()
            zero = None if grid.zero is None else grid.zero[:, groups]
            grid = Grid(grid.bits, grid.group, grid.scale[:, groups], zero)
        return Compressed(swept[:, back], grid=grid, damping=factor.damping, note=factor.note)

    def _order(self, diagonal: Tensor, group: int) -> Tensor:
        """Return the column to round at each step, (in,), from the diagonal of the Hessian."""
        import torch

        if self.parameters.order == "none":
            return torch.arange(len(diagonal), device=diagonal.device)
        if self.parameters.order == "static":
            return diagonal.argsort(descending=True, stable=True)
        inside = diagonal.view(-1, group).sort(dim=1, descending=True, stable=True).indices  # (groups, group)
        whole = inside + group * torch.arange(len(inside), device=diagonal.device)[:, None]
        return whole[diagonal.view(-1, group).amax(1).argsort(descending=True, stable=True)].flatten()


class MixedGPTQ(GPTQ):
    """GPTQ for a requested mean of bits: each linear gets the bits that lower the model's loss most per bit."""

    observes_gradients = True

    @property
    def observations(self) -> tuple[str, ...]:
        how = self.parameters
        signed = ", signed" if how.symmetric and how.grid == "signed" else ""
        return (f"losses of rounding, groups {how.group_size}, symmetric {how.symmetric}, clip {how.clip}{signed}",)

    @property
    def first_progress_step(self) -> str:
        return "gradients"

    def accumulator(self) -> Accumulator:
        return RoundingLosses(self.bit_choices, self.find)

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Return the bits of each linear by name; each step of a block's shift doubles the weight of its losses."""
        from core.methods.quantised.rounding_losses import allocate_bits

        super().plan(linears, target, observed)
        sizes = {linear.name: linear.weight.numel() for linear in linears}
        shifts = self.shifts
        shares = {linear.name: 2.0 ** shifts.get(linear.block, 0) for linear in linears}
        losses = {name: (share * observed[name]).tolist() for name, share in shares.items()}
        return allocate_bits(losses, sizes, self.bit_choices, target.bits)

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        if text is None:
            return super().cost(shape, text)
        rounding = SCORING * len(self.bit_choices) * text.windows * shape.block_weights
        return super().cost(shape, text) + differentiating(shape, text) + rounding

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        walk = super().memory(shape, text, item, streams)
        return walk if text is None else max(walk, gradient_bytes(shape, text, 0, streams))
