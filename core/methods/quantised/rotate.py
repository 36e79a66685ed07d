"""Rotate: hidden states and heads turned so that no entry stands out, before weights are rounded.

References: Ashkboos et al., QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs, 2024 (arXiv:2404.00456), section 4,
stages 1a and 1b without what runs online: R1, of the residual stream, and R2, of each head's values. Gains of norms go
into the matrices that read them first. The model computes the same. As the last norm's gain lies between embedding and
head, a tied embedding stays tied and as it is: one matrix turns what it gives, another turns back what the last norm
reads, and both count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from core.methods.parameters import MethodParameters
from core.methods.preparation import TransformMethod
from core.methods.terms import NEUTRAL, Citation

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.shape import ModelShape
    from core.specs import TextWindows


class RotateParameters(MethodParameters):
    draw: int = Field(default=0, ge=0, le=999_999, description="Which of the random signs the rotations have.")
    heads: bool = Field(default=True, description="Whether each head's values are turned, too.")


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
    summary = "Turns hidden states and heads by random Hadamard matrices, so that rounding meets no outliers."
    idea = (
        "A few entries of hidden states are far larger than the others, and the weights that go with them stretch the "
        "grids of all. A rotation spreads them over every entry, and as norms without gains and the matrices before "
        "and after can take it in, the model computes the same."
    )
    formulas = (
        r"W'_{\mathrm{in}} = W_{\mathrm{in}}\, \mathrm{diag}(g)\, R",
        r"W'_{\mathrm{out}} = R^\top W_{\mathrm{out}}",
        r"R = \tfrac{1}{\sqrt{n}}\, D H_n",
    )
    symbols = {
        r"W_{\mathrm{in}}": "weights of a matrix that reads hidden states; of one that writes them with out",
        "g": "gain of the norm before it",
        "R": "a rotation, of the hidden states or of a head's values",
        "H_n": "a Hadamard matrix of n rows; where none is known, an orthogonal one",
        "D": "random signs",
    }
    family = "quantisation"
    colour = NEUTRAL  # what follows has one
    marker = "diamond-wide"
    parameters: RotateParameters
    Parameters = RotateParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return 2.0 * shape.block_weights * shape.hidden

    def rotation(self, width: int) -> Tensor:
        from core.methods.quantised.hadamard import random_rotation

        return random_rotation(width, self.parameters.draw)

    def heads(self, width: int) -> Tensor | None:
        return self.rotation(width) if self.parameters.heads else None
