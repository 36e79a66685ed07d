"""GPTQ: rounds column by column and updates the columns that are not rounded yet to compensate.

It is SparseGPT's sweep (`core.methods.numerics.sweep`) with every column rounded. Group-aware order: groups stay whole,
sorted by their largest diagonal entry of the Hessian. Columns inside a group are sorted too.

For a requested mean of bits, each linear gets bits by how much rounding it lowers the model's quality. Rounding a
linear by D adds to the loss L, to second order, half of D' H D. The empirical Fisher matrix, the mean of the gradients'
outer products, estimates the Hessian H (Kim et al., SqueezeLLM, 2023, arXiv:2306.07629, section 4.1). Here it uses
whole rows of the weights: the mean over sequences of sum_i (dL/dW_i . D_i)^2. D is the change by rounding to nearest.
Steps to more bits are taken in the order of the loss that they save per bit of the model, as long as the mean allows:
greedy on the lower convex hull of each linear's losses (Shoham & Gersho, Efficient bit allocation for an arbitrary set
of quantizers, 1988).
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from core.amount import Amount, Bits
from core.methods.annotations import Grid, Linear, ModelShape, Tensor, TextWindows
from core.methods.base import Method
from core.methods.cost import differentiating, gradient_bytes
from core.methods.linear import Accumulator, Compressed, Factor, Plan, Statistics, Target
from core.methods.numerics.groups import SymmetricScales
from core.methods.parameters import MethodParameters, ShiftedParameters, WalkerParameters
from core.methods.quantised.base import GridParameters, QuantisedMethod
from core.methods.terms import Citation


class RoundingLosses:
    """The rise in loss from rounding a weight (out, in) at each of `widths`, up to a common factor."""

    def __init__(self, widths: Sequence[int], find: Callable[[Tensor, int], Grid]):
        self.widths, self.find = widths, find
        self.grids: list[Grid] = []
        self.losses = [0.0] * len(widths)

    def add(self, weight: Tensor, gradient: Tensor) -> None:
        if not self.grids:
            self.grids = [self.find(weight, bits) for bits in self.widths]
        for place, grid in enumerate(self.grids):
            along = ((grid.nearest(weight) - weight) * gradient).sum(1)  # (out,)
            self.losses[place] += float(along.double().square().sum())

    def tensors(self) -> dict[str, Tensor]:
        import torch

        return {"losses": torch.tensor(self.losses, dtype=torch.float64)}

    def state(self) -> dict[str, Tensor]:
        return self.tensors() if self.grids else {}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.losses = state["losses"].tolist()


def allocate_bits(
    losses: Mapping[str, Sequence[float]], sizes: Mapping[str, int], widths: Sequence[int], mean: float
) -> dict[str, int]:
    """Return the bits of each linear; the mean over weights is at most `mean`, and as near as whole linears allow.

    `losses` are those of a linear at each of `widths`, which ascend from less than the mean; `sizes` are their weights.
    """
    left = (mean - widths[0]) * sum(sizes.values())  # bits of the model still to assign
    bits = dict.fromkeys(losses, widths[0])

    def best_step(name: str) -> tuple[float, str, int] | None:
        """Return a linear's best affordable step: its change in loss per bit, the name and the new width."""
        known = dict(zip(widths, losses[name], strict=True))
        now = bits[name]
        steps = [
            ((known[more] - known[now]) / ((more - now) * sizes[name]), name, more)
            for more in widths
            if more > now and (more - now) * sizes[name] <= left and known[more] < known[now]
        ]
        return min(steps, default=None)

    steps = [step for name in losses if (step := best_step(name))]
    heapq.heapify(steps)
    while steps:
        _, name, more = heapq.heappop(steps)
        cost = (more - bits[name]) * sizes[name]
        if cost <= left:
            left -= cost
            bits[name] = more
        if step := best_step(name):
            heapq.heappush(steps, step)
    return bits


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
