"""ASVD: the SVD of each matrix after scaling its inputs by their size.

The paper searches the rank of each matrix by the perplexity of the whole model. Here ranks are uniform, or allocated by
the loss that the singular values imply.
"""

from pydantic import Field

from core.methods.annotations import Tensor
from core.methods.linear import Statistics
from core.methods.lowrank.base import LowRank, LowRankParameters
from core.methods.parameters import WalkerParameters
from core.methods.terms import Citation


class ASVDParameters(WalkerParameters, LowRankParameters):
    alpha: float = Field(
        title="Exponent of the input scale",
        default=0.5,
        ge=0,
        le=2,
        description="Exponent of the inputs' mean absolute values; 0 gives the plain SVD.",
    )


class ASVD(LowRank):
    name = "asvd"
    label = "ASVD"
    citation = Citation(
        title="ASVD: Activation-aware Singular Value Decomposition for Compressing Large Language Models",
        authors="Yuan et al.",
        year=2023,
        url="https://arxiv.org/abs/2312.05821",
        part="section 3.2",
    )
    summary = "Replaces each matrix by two thin ones, most accurate where its inputs are large."
    idea = (
        "Some inputs are much larger than others, so an error in their columns costs more. ASVD scales each "
        "column by a power of its input's mean absolute value before the decomposition. It removes the scale from "
        "the right factor afterwards."
    )
    formulas = (
        r"W' = [\,W D\,]_k\, D^{-1}",
        r"D = \operatorname{diag}\left( \operatorname{mean} |X_j| \right)^{\alpha}",
    )
    symbols = {
        r"[\,\cdot\,]_k": "closest matrix of rank k",
        "D": "scales of the inputs, on a diagonal",
        r"\alpha": "the parameter alpha",
    }
    data_requirement = "calibration"
    Parameters = ASVDParameters
    input_sums = frozenset({"absolute"})

    @property
    def spectra(self) -> str:
        return f"spectra of the weights times mean absolute inputs to the {self.parameters.alpha:g}"

    def scale(self, statistics: Statistics) -> tuple[Tensor | None, str | None]:
        from core.methods.numerics.hessian import nonzero

        return nonzero((statistics.absolute / statistics.tokens) ** self.parameters.alpha), None
