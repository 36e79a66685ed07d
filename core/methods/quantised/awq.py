"""AWQ: inputs that are large keep more of their weights' digits, by scales that the model's other weights undo.

References: Lin et al., AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration, 2023
(arXiv:2306.00978), section 3.2, and the search for clipped ranges of its repository. Scales are found on the output of
the rounded blocks before, on some windows; a scale that would change what the block computes is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.cost import walking
from core.methods.groups import SymmetricScales
from core.methods.inputs import Compressed, Target
from core.methods.quantised.base import GridParameters
from core.methods.quantised.blocks import BlockQuantMethod, BlockView, QuantisedLinear
from core.methods.terms import Citation

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.shape import ModelShape
    from core.specs import TextWindows

UNCLIPPED = ("q", "k", "qkv")  # roles: their products are scores, where few weights matter most


class AWQParameters(GridParameters):
    clip: bool = Field(
        default=True,
        description="Whether each group's largest weights are cut to where its output changes least, down to a half "
        "in 10 steps; queries and keys stay.",
    )
    steps: int = Field(
        default=20,
        ge=1,
        le=100,
        description="How many powers of the inputs' size are compared, from 0 on, which is rounding to nearest.",
    )
    inspected: int = Field(
        default=2,
        ge=1,
        description="Batches of calibration windows on which they are compared; the inputs' size is that of all.",
    )


class AWQ(SymmetricScales, BlockQuantMethod):
    name = "awq"
    label = "AWQ"
    citation = Citation(
        title="AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration",
        authors="Lin et al.",
        year=2023,
        url="https://arxiv.org/abs/2306.00978",
        part="section 3.2",
    )
    summary = "Scales up the weights of large inputs before rounding, by what their module's output says."
    idea = (
        "A few weights matter most, those whose inputs are large, and rounding hurts a weight less that is scaled up "
        "while the scale of its group stays. The columns of large inputs are multiplied by a power of their size, "
        "which the norm or the layer before undoes, and the power is the one that the module's output changes least by."
    )
    formulas = (
        r"W' = \mathcal{Q}(W\,\mathrm{diag}(s))",
        r"X' = \mathrm{diag}(s)^{-1} X",
        r"s = a^{\alpha}, \qquad a_j = \operatorname{mean} |X_j|",
        r"\alpha = \arg\min_{\alpha} \lVert f(X') - f(X) \rVert^2",
    )
    symbols = {
        r"\mathcal{Q}": "rounding to the grid",
        "s": "scales of the inputs",
        "a": "mean size of the inputs",
        r"\alpha": "a power between 0 and 1",
        "X'": "the inputs once what makes them is divided by the scales",
        "f": "the module that reads them, attention or FFN",
    }
    colour = 1
    dash = "longdash"
    parameters: AWQParameters
    Parameters = AWQParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Two walks, of which the second gives the next block's inputs, and the search."""
        looked = text and text.model_copy(update={"windows": min(text.windows, self.parameters.inspected)})
        return (
            super().cost(shape, text)
            + walking(shape, text, 1, self.required_statistics)
            + walking(shape, looked, self.parameters.steps, self.required_statistics)
        )

    def round_block(self, view: BlockView, target: Target) -> dict[str, QuantisedLinear]:
        from core.methods.find import find_grid
        from core.methods.quantised.inputs import read_inputs
        from core.methods.quantised.scaling import best_scales, clipped, inspect, judges
        from core.models.parts.folds import find_folds
        from core.models.parts.grids import Grid

        how = self.parameters

        def grid_of(weight: Tensor) -> Grid:
            return find_grid(weight, int(target.bits), self.group(weight.shape[1]), how.symmetric, rule=how.grid)

        def nearest(weight: Tensor) -> Tensor:
            return grid_of(weight).nearest(weight)

        inputs = read_inputs(view)
        scales: dict[str, Tensor] = {}
        for fold in find_folds(view.module, view.linears, lambda: view.run(0)):
            view.alive()
            size = inputs[fold.readers[0].name].size
            judged = inspect(view, judges(view, fold), how.inspected)
            best = best_scales(fold, size, judged, nearest, how.steps)
            scales |= {reader.name: best for reader in fold.readers}
            fold.scale(best)
        found = {}
        for linear in view.linears:
            view.alive()
            sample = inputs[linear.name].sample(scales.get(linear.name))
            before = linear.weight.float()
            weight = before
            if how.clip and linear.role not in UNCLIPPED:
                weight = clipped(before, sample, self.group(before.shape[1]), nearest)
            grid = grid_of(weight)
            note = None if linear.name in scales else "not scaled"
            found[linear.name] = QuantisedLinear(before, Compressed(grid.nearest(weight), grid=grid, note=note), sample)
        return found
