"""SparseGPT: prune column by column and let the remaining weights of each row make up for it.

References: Frantar & Alistarh, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot, 2023
(arXiv:2301.00774), algorithm 1. W is (out, in), H = 2 X X^T + damping, H^-1 = U^T U with U upper triangular:
U_jj^2 is the leading entry of the inverse of H's trailing part, and U[j, j:] / U_jj the update direction of OBS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.methods.base import Citation, Compressed, LinearMethod, Statistics, Sum, Target, WalkerParameters
from core.methods.cost import solving

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.shape import ModelFacts
    from core.specs import Calibration


class SparseGPTParameters(WalkerParameters):
    damping: float = Field(
        title="Damping of the Hessian",
        default=0.01,
        gt=0,
        le=10,
        description="Share of the mean diagonal of the Hessian that is added to the diagonal.",
    )
    mask_block: int = Field(
        title="Columns masked together",
        default=128,
        ge=1,
        description="Columns whose mask is chosen together (unstructured only); the paper's is 128.",
    )
    block_size: int = Field(
        title="Columns in a lazy batch",
        default=32,
        ge=1,
        description="Columns swept one by one before a lazy batched update; changes rounding and speed only.",
    )


class SparseGPT(LinearMethod):
    name = "sparsegpt"
    label = "SparseGPT"
    family = "unstructured"
    citation = Citation(
        title="SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot",
        authors="Frantar & Alistarh",
        year=2023,
        url="https://arxiv.org/abs/2301.00774",
        part="algorithm 1",
    )
    summary = "Prunes column by column and updates the remaining weights with the inverse Hessian of the layer's input."
    idea = (
        "The columns of a layer are pruned from left to right, and the weights to the right of a removed one make up "
        "for what it took from the output, as the inverse Hessian of the layer's inputs tells. In every block of "
        "columns the weights that are cheapest to make up for become zero."
    )
    formulas = (
        r"S_{ij} = \frac{W_{ij}^2}{U_{jj}^2}",
        r"W_{i,\,j:} \leftarrow W_{i,\,j:} - \frac{W_{ij}}{U_{jj}}\, U_{j,\,j:}",
        r"X X^\top + \lambda I = H, \qquad H^{-1} = U^\top U",
    )
    symbols = {
        "U": "upper triangular factor of the inverse Hessian",
        "H": "Hessian of the layer's output error, up to a factor",
        r"\lambda I": "damping: a share of the mean diagonal, on the diagonal",
    }
    reads = "calibration"
    patterns = True
    colour = 2
    mark = "circle"
    dash = "dashdot"
    parameters: SparseGPTParameters
    Parameters = SparseGPTParameters

    def sums(self, role: str) -> frozenset[Sum]:
        return frozenset({"gram"})

    def cost(self, shape: ModelFacts, text: Calibration | None) -> float:
        return super().cost(shape, text) + solving(shape)

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: Any = None) -> Compressed:
        from core.methods.hessian import factorise
        from core.methods.sweep import sweep

        factor = statistics.once("factor", lambda: factorise(statistics.gram, self.parameters.damping))
        weight[:, factor.dead] = 0
        swept, pruned = sweep(
            weight,
            factor.upper,
            ratio=target.ratio,
            pattern=target.pattern,
            mask_block=self.parameters.mask_block,
            block_size=self.parameters.block_size,
            zeros=target.zeros,
        )
        pruned[:, factor.dead] = True
        return Compressed(swept, zeros=pruned, damping=factor.damping, note=factor.note)
