"""AutoRound: whether weights are rounded up or down is learnt from what comes out of their block.

References: Cheng et al., Optimize Weight Rounding via Signed Gradient Descent for the Quantization of LLMs, 2023
(arXiv:2309.05516), section 3; the iterations and the rate are those of its repository's light recipe. A block reads
what the rounded blocks before it give, and is compared with the dense model's; an iteration is on one micro-batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.cost import walking
from core.methods.groups import ScaleParameters, SymmetricScales
from core.methods.inputs import Compressed, Target
from core.methods.quantised.base import GroupParameters
from core.methods.quantised.blocks import BlockQuantMethod, BlockView, QuantisedLinear
from core.methods.terms import Citation

if TYPE_CHECKING:
    from core.models.shape import ModelShape
    from core.specs import TextWindows


class AutoRoundParameters(ScaleParameters, GroupParameters):
    iterations: int = Field(default=50, ge=0, le=10_000, description="Steps in each block; 0 rounds to nearest.")
    learning_rate: float = Field(
        default=5e-3,
        gt=0,
        le=1,
        description="How far the first step goes, in steps of the grid; later ones less.",
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
    summary = "Learns by signs of gradients which weights are rounded up or down, and how far their ranges reach."
    idea = (
        "Which of two neighbouring values a weight should be rounded to shows only in what its block gives. Up to half "
        "a step is added to every weight before rounding, ranges may shrink, and both follow the signs of the "
        "gradients of the block's error for a few iterations, of which the best is kept."
    )
    formulas = (
        r"W' = s \, \left\lfloor \tfrac{W}{s} + V \right\rceil, \qquad -\tfrac{1}{2} \le V \le \tfrac{1}{2}",
        r"V \leftarrow V - \eta_n\, \operatorname{sign} \frac{\partial}{\partial V} \lVert f'(X') - f(X) \rVert^2",
    )
    symbols = {
        "s": "scale of the group, of which the range's shrinkage is learnt alike",
        "V": "what is added before rounding",
        r"\eta_n": "length of a step, which falls to 0",
        "f": "the dense block, and f' the rounded one",
        "f'": "the rounded block",
        "X'": "inputs of the block after the rounded blocks before it",
    }
    follows_dense = True
    draws = True
    colour = 5
    dash = "dot"
    parameters: AutoRoundParameters
    Parameters = AutoRoundParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Walks for the dense model, the inputs and the losses at first; and iterations, of three forwards each."""
        one = text and text.model_copy(update={"windows": 1})
        learning = walking(shape, one, 3 * self.parameters.iterations, self.required_statistics)
        return super().cost(shape, text) + walking(shape, text, 3, self.required_statistics) + learning

    def round_block(self, view: BlockView, target: Target) -> dict[str, QuantisedLinear]:
        from core.methods.quantised.inputs import read_inputs
        from core.methods.quantised.signed import LearnedRounding, learn

        how = self.parameters
        inputs = read_inputs(view)
        made = {
            linear.name: LearnedRounding(linear, int(target.bits), self.group(linear.shape[1]), how.symmetric, how.grid)
            for linear in view.linears
        }
        if how.iterations:
            learn(view, made, how.iterations, how.learning_rate, self.generator())
        found = {}
        for linear in view.linears:
            before = linear.weight.float()
            weight, grid = made[linear.name].settled(before)
            found[linear.name] = QuantisedLinear(
                before, Compressed(weight, grid=grid), inputs[linear.name].sample(None)
            )
        return found
