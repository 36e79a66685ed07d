"""Rotate: rotates hidden states and heads so that weights have no outliers when they are rounded.

QuaRot's R1, of the residual stream, and R2, of each head's values. First the gains of norms are folded into the
matrices that read them. The model's outputs stay the same. A tied embedding stays tied and unchanged, because the last
norm's gain is between embedding and head. One matrix rotates the embedding's output, and another rotates the last
norm's input back. Both matrices count.
"""

from pydantic import Field

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.kinds import TransformMethod
from core.methods.parameters import MethodParameters
from core.methods.terms import Citation


class RotateParameters(MethodParameters):
    draw: int = Field(default=0, ge=0, le=999_999, description="Seed of the rotations' random signs.")
    heads: bool = Field(default=True, description="Rotate each head's values, too.")


class Rotate(TransformMethod):
    name = "rotate"
    label = "Rotate"
    citation = Citation(
        title="QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs",
        authors="Ashkboos et al.",
        year=2024,
        url="https://arxiv.org/abs/2404.00456",
        part="section 4, stages 1a and 1b, offline",
    )
    summary = "Rotates hidden states and heads by random Hadamard matrices, to remove outliers before quantisation."
    idea = (
        "A few entries of hidden states are far larger than the others, and their weights stretch the grids of "
        "all. A rotation spreads these outliers over every entry. The matrices before and after it absorb it, so "
        "the outputs of the model stay the same."
    )
    formulas = (
        r"W'_{\mathrm{in}} = W_{\mathrm{in}}\, \mathrm{diag}(g)\, R",
        r"W'_{\mathrm{out}} = R^\top W_{\mathrm{out}}",
        r"R = \tfrac{1}{\sqrt{n}}\, D H_n",
    )
    symbols = {
        r"W_{\mathrm{in}}": "weights of a matrix that reads hidden states; with out, of one that writes them",
        "g": "gain of the norm before it",
        "R": "rotation of the hidden states or of a head's values",
        "H_n": "Hadamard matrix of n rows, or a random orthogonal matrix where none is known",
        "D": "random signs, on a diagonal",
    }
    family = "quantisation"
    Parameters = RotateParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return 2.0 * shape.block_weights * shape.hidden

    def rotation(self, width: int) -> Tensor:
        from core.methods.quantised.hadamard import random_rotation

        return random_rotation(width, self.parameters.draw)

    def heads(self, width: int) -> Tensor | None:
        return self.rotation(width) if self.parameters.heads else None
