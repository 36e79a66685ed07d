"""SparseGPT: prunes column by column and updates the remaining weights of each row to compensate.

With bits, section 3.5: the same sweep rounds the kept weights as in GPTQ, on the grid of their group as the sweep
reaches it. W is (out, in), H = 2 X X^T + damping, H^-1 = U^T U with U upper triangular: U_jj^2 is the leading entry of
the inverse of H's trailing part, and U[j, j:] / U_jj the update direction of OBS.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from core.base.errors import UserError
from core.methods.annotations import Linear, Tensor
from core.methods.fields import only_with
from core.methods.linear import Compressed, Plan, Statistics, Target
from core.methods.numerics.groups import (
    GROUP_SIZE,
    RULE,
    SHARED,
    SYMMETRIC,
    ScaleParameters,
    ScaleRule,
    SymmetricScales,
    check_groups,
)
from core.methods.parameters import MethodParameters
from core.methods.terms import Citation
from core.methods.unstructured.base import ByHessian, ByHessianParameters


class SparseGPTParameters(ByHessianParameters, ScaleParameters):
    mask_block: int = Field(
        title="Columns masked together",
        default=128,
        ge=1,
        description="Columns whose mask is chosen together (unstructured only); 128 in the paper.",
    )
    block_size: int = Field(
        title="Columns in a lazy batch",
        default=32,
        ge=1,
        description="Columns swept one by one before a lazy batched update; affects floating-point rounding and "
        "speed only.",
    )
    bits: int | None = Field(
        title="Bits of a kept weight",
        default=None,
        ge=2,
        le=8,
        description="Round kept weights to this many bits in the same sweep, which compensates for both errors. "
        "If not given, they are not rounded.",
    )
    group_size: int = Field(default=GROUP_SIZE, ge=0, le=65536, description=SHARED, json_schema_extra=only_with("bits"))
    symmetric: bool = Field(default=True, description=SYMMETRIC, json_schema_extra=only_with("bits"))
    grid: ScaleRule = Field(default="signed", description=RULE, json_schema_extra=only_with("bits"))


class SparseGPT(SymmetricScales, ByHessian):
    name = "sparsegpt"
    label = "SparseGPT"
    citation = Citation(
        title="SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot",
        authors="Frantar & Alistarh",
        year=2023,
        url="https://arxiv.org/abs/2301.00774",
        part="algorithm 1",
    )
    summary = (
        "Prunes column by column and updates the remaining weights with the inverse Hessian of the layer's inputs."
    )
    idea = (
        "SparseGPT prunes the columns of a layer from left to right. In every block of columns it zeroes the "
        "weights that are cheapest to compensate for. It then updates the weights to their right with the inverse "
        "Hessian of the layer's inputs, to restore the output."
    )
    formulas = (
        r"S_{ij} = \frac{W_{ij}^2}{U_{jj}^2}",
        r"W_{i,\,j:} \leftarrow W_{i,\,j:} - \frac{W_{ij}}{U_{jj}}\, U_{j,\,j:}",
        r"X X^\top + \lambda I = H, \qquad H^{-1} = U^\top U",
    )
    symbols = {
        "U": "upper triangular factor of the inverse Hessian",
        "H": "Hessian of the layer's output error, up to a factor",
        r"\lambda I": "damping: a share of the mean diagonal, added to the diagonal",
    }
    Parameters = SparseGPTParameters
    solves = 1

    def __init__(self, parameters: MethodParameters | None = None, seed: int | None = None):
        super().__init__(parameters, seed)
        if self.parameters.bits is not None:
            self.leaves = self.leaves | {"grid"}

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Raise `UserError` if scale groups do not divide the inputs, or overlap columns that are masked together."""
        size = self.parameters.group_size
        if self.parameters.bits and size:
            check_groups(linears, size)
            masked = target.pattern[1] if target.pattern else self.parameters.mask_block
            if size % masked and (target.pattern or masked % size):
                raise UserError(
                    f"Groups of {size} inputs overlap the {masked} columns that are masked together; "
                    f"choose groups of a multiple of {masked}."
                )
        return {}

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        from core.methods.find import find_grid
        from core.methods.numerics.sweep import DynamicGroups, sweep

        how, group = self.parameters, self.parameters.group_size or weight.shape[1]
        rounding: DynamicGroups | None = None
        if how.bits is not None:
            bits = how.bits
            rounding = DynamicGroups(
                lambda part: find_grid(part, bits, min(group, part.shape[1]), how.symmetric, rule=how.grid), group
            )
        factor = self.factor(statistics)
        weight[:, factor.dead] = 0
        swept, pruned = sweep(
            weight,
            factor.upper,
            ratio=target.ratio,
            pattern=target.pattern,
            mask_block=how.mask_block,
            block_size=how.block_size,
            zeros=target.zeros,
            rounding=rounding,
        )
        pruned[:, factor.dead] = True
        grid = rounding.result_grid() if rounding else None
        return Compressed(swept, zeros=pruned, damping=factor.damping, note=factor.note, grid=grid)
