"""AWQ: scales up the weights of large inputs before rounding; other weights of the model undo the scales.

The search for clipped ranges is that of the authors' repository. Scales are searched on some sequences, with the
outputs of the rounded blocks before. A scale that would change the block's outputs is omitted.
"""

from pydantic import Field

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.cost import walking
from core.methods.linear import Compressed, Target
from core.methods.numerics.groups import SymmetricScales
from core.methods.quantised.base import BlockQuantMethod, BlockView, GridParameters, QuantisedLinear
from core.methods.terms import Citation

UNCLIPPED = ("q", "k", "qkv")  # roles whose products are attention scores, where few weights matter most


class AWQParameters(GridParameters):
    clip: bool = Field(
        default=True,
        description="Clip each group's largest weights to where its output changes least, down to a half in 10 "
        "steps. Queries and keys are not clipped.",
    )
    steps: int = Field(
        default=20,
        ge=1,
        le=100,
        description="Number of exponents of the inputs' size to compare, evenly spaced from 0 (round to nearest) "
        "to below 1.",
    )
    inspected: int = Field(
        default=2,
        ge=1,
        description="Batches of calibration sequences on which the exponents are compared. The inputs' size is "
        "measured on all.",
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
    summary = "Scales up the weights of large inputs before rounding, to change the module's output least."
    idea = (
        "Weights with large inputs matter most, and a weight that is scaled up within its group loses less by "
        "rounding. AWQ multiplies the columns of large inputs by a power of the inputs' size, which the preceding "
        "norm or layer undoes. It chooses the power that changes the module's output least."
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
        "a": "mean absolute values of the inputs",
        r"\alpha": "exponent between 0 and 1",
        "X'": "inputs divided by the scales, through the preceding norm or layer",
        "f": "the module that reads them, such as attention or the FFN",
    }
    Parameters = AWQParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Add two passes, the second for the next block's inputs, and the search."""
        looked = text and text.model_copy(update={"windows": min(text.windows, self.parameters.inspected)})
        return (
            super().cost(shape, text)
            + walking(shape, text, 1, self.required_statistics)
            + walking(shape, looked, self.parameters.steps, self.required_statistics)
        )

    def round_block(self, view: BlockView, target: Target) -> dict[str, QuantisedLinear]:
        from core.methods.find import find_grid
        from core.methods.quantised.scaling import best_scales, clipped, inspect, judges, read_inputs
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
        rounded = {}
        for linear in view.linears:
            view.alive()
            sample = inputs[linear.name].sample(scales.get(linear.name))
            before = linear.weight.float()
            weight = before
            if how.clip and linear.role not in UNCLIPPED:
                weight = clipped(before, sample, self.group(before.shape[1]), nearest)
            grid = grid_of(weight)
            note = None if linear.name in scales else "not scaled"
            rounded[linear.name] = QuantisedLinear(
                before, Compressed(grid.nearest(weight), grid=grid, note=note), sample
            )
        return rounded
