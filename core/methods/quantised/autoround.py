"""AutoRound: learns from the outputs of a block whether to round each weight up or down.

The iterations and the learning rate are those of the light recipe in the authors' repository. A block reads the outputs
of the rounded blocks before it and is compared with the dense model's block. Each iteration uses one micro-batch.
"""

from pydantic import Field

from core.methods.annotations import ModelShape, TextWindows
from core.methods.cost import walking
from core.methods.linear import Compressed, Target
from core.methods.numerics.groups import ScaleParameters, SymmetricScales
from core.methods.quantised.base import BlockQuantMethod, BlockView, GroupParameters, QuantisedLinear
from core.methods.terms import Citation


class AutoRoundParameters(ScaleParameters, GroupParameters):
    iterations: int = Field(default=50, ge=0, le=10_000, description="Steps per block; 0 rounds to nearest.")
    learning_rate: float = Field(
        default=5e-3,
        gt=0,
        le=1,
        description="Size of the first step, in steps of the grid; later steps shrink to 0.",
    )


class AutoRound(SymmetricScales, BlockQuantMethod):
    name = "autoround"
    label = "AutoRound"
    citation = Citation(
        title="Optimize Weight Rounding via Signed Gradient Descent for the Quantization of LLMs",
        authors="Cheng et al.",
        year=2023,
        url="https://arxiv.org/abs/2309.05516",
        part="section 3",
    )
    summary = "Learns by signed gradient descent whether to round each weight up or down, and how wide its range is."
    idea = (
        "Which of two neighbouring values suits a weight shows only in the output of its block. AutoRound learns "
        "an offset of up to half a step for each weight, and a narrower range for each group. Both follow the "
        "signs of the gradients of the block's error; the best iteration is kept."
    )
    formulas = (
        r"W' = s \, \left\lfloor \tfrac{W}{s} + V \right\rceil, \qquad -\tfrac{1}{2} \le V \le \tfrac{1}{2}",
        r"V \leftarrow V - \eta_n\, \operatorname{sign} \frac{\partial}{\partial V} \lVert f'(X') - f(X) \rVert^2",
    )
    symbols = {
        "s": "scale of the group; its range is learnt in the same way as V",
        "V": "learnt offset before rounding",
        r"\eta_n": "step size, which falls to 0",
        "f": "the dense block",
        "f'": "the rounded block",
        "X'": "inputs of the block after the rounded blocks before it",
    }
    follows_dense = True
    draws = True
    Parameters = AutoRoundParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Add passes for the dense outputs, the inputs and the first losses, and three forward passes per iteration."""
        one = text and text.model_copy(update={"windows": 1})
        learning = walking(shape, one, 3 * self.parameters.iterations, self.required_statistics)
        return super().cost(shape, text) + walking(shape, text, 3, self.required_statistics) + learning

    def round_block(self, view: BlockView, target: Target) -> dict[str, QuantisedLinear]:
        from core.methods.quantised.scaling import read_inputs
        from core.methods.quantised.signed import LearnedRounding, learn

        how = self.parameters
        inputs = read_inputs(view)
        rounders = {
            linear.name: LearnedRounding(linear, int(target.bits), self.group(linear.shape[1]), how.symmetric, how.grid)
            for linear in view.linears
        }
        if how.iterations:
            learn(view, rounders, how.iterations, how.learning_rate, self.generator())
        rounded = {}
        for linear in view.linears:
            before = linear.weight.float()
            weight, grid = rounders[linear.name].settled(before)
            rounded[linear.name] = QuantisedLinear(
                before, Compressed(weight, grid=grid), inputs[linear.name].sample(None)
            )
        return rounded
