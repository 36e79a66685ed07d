"""AdaPrune: re-solves the weights kept by a mask, so that each linear's outputs approach those of its reference.

`core.methods.unstructured.reconstruct` solves the problem of each linear from the Gram matrix of its inputs; the paper
runs Adam on batches of inputs instead.
"""

from pydantic import Field

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.cost import solving
from core.methods.kinds import Reconstruction
from core.methods.linear import Compressed, Statistics, Target
from core.methods.parameters import WalkerParameters
from core.methods.terms import Citation

HELD = 8  # matrices of a linear's size in memory during the solve


class AdaPruneParameters(WalkerParameters):
    iterations: int = Field(
        title="Maximum iterations",
        default=50,
        ge=1,
        le=10_000,
        description="Maximum conjugate-gradient steps per linear. Each step multiplies its weights by the Gram "
        "matrix of its inputs.",
    )
    tolerance: float = Field(
        title="Tolerance of the residual",
        default=0.001,
        ge=0,
        lt=1,
        description="A row of weights is finished when its preconditioned residual falls to this share of its "
        "first value.",
    )


class AdaPrune(Reconstruction):
    name = "adaprune"
    label = "AdaPrune"
    citation = Citation(
        title="Accelerated Sparse Neural Training: A Provable and Efficient Method to Find N:M Transposable Masks",
        authors="Hubara et al.",
        year=2021,
        url="https://arxiv.org/abs/2102.08124",
    )
    summary = "Re-solves the kept weights so that each linear's outputs approach those before pruning."
    idea = (
        "A mask decides which weights are removed, but the kept ones can still change. AdaPrune solves for them "
        "so that each layer's outputs on the calibration data come close to those without the mask. Zeros stay "
        "zero."
    )
    formulas = (
        r"\min_{W'}\, \lVert (W' - W) X \rVert_{\mathrm{F}}^2",
        r"W'_{ij} = 0 \ \text{where}\ M_{ij} = 0",
    )
    symbols = {
        "W": "weights before the mask",
        "M": "mask: 0 for a removed weight",
    }
    data_requirement = "calibration"
    Parameters = AdaPruneParameters
    input_sums = frozenset({"gram"})

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return super().cost(shape, text) + self.parameters.iterations * solving(shape)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        return super().memory(shape, text, item, streams) + 4 * HELD * shape.hidden * shape.ffn

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        from core.methods.numerics.hessian import check_finite
        from core.methods.unstructured.reconstruct import reconstruct

        if target.zeros is None or target.reference is None:
            return Compressed(weight)
        gram, own = statistics.gram, self.parameters
        check_finite(gram)
        solved, used = reconstruct(weight, target.reference, gram, target.zeros, own.iterations, own.tolerance)
        return Compressed(solved, note=f"{used} iterations")
