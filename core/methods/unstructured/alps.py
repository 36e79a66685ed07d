"""ALPS: finds the mask of a linear by ADMM, and re-solves the kept weights by conjugate gradients.

H is damped and scaled to ones on its diagonal. The weights are scaled inversely, so that the outputs stay the same. The
mask keeps the largest weights of the last iteration. They are re-solved by `core.methods.unstructured.reconstruct`,
whose preconditioner is the identity in this scale.
"""

from pydantic import Field

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.cost import solving
from core.methods.linear import Compressed, Statistics, Target
from core.methods.terms import Citation
from core.methods.unstructured.base import ByHessian, ByHessianParameters

TOLERANCE = 1e-4  # of the conjugate gradients' residual, as in the paper
USUAL = 40  # iterations until masks settle: 30 to 36 on the default model
EIGEN = 30  # operations of fp64 eigenvectors per cubed input, at the speed of matrix products
CHOICE = 2000  # the same of an iteration per weight, besides its products
HELD = 8  # matrices of a linear's size in memory during the mask search


class ALPSParameters(ByHessianParameters):
    rho: float = Field(
        title="Initial penalty",
        default=0.1,
        gt=0,
        le=1000,
        description="First penalty on the distance to the pruned weights (rho). It grows while the mask changes.",
    )
    iterations: int = Field(
        title="Maximum iterations",
        default=300,
        ge=1,
        le=10_000,
        description="Maximum iterations of the mask search. It ends sooner if the mask no longer changes.",
    )
    refinements: int = Field(
        title="Conjugate-gradient steps",
        default=10,
        ge=0,
        le=10_000,
        description="Maximum steps that re-solve the kept weights.",
    )


class ALPS(ByHessian):
    name = "alps"
    label = "ALPS"
    citation = Citation(
        title="ALPS: Improved Optimization for Highly Sparse One-Shot Pruning for Large Language Models",
        authors="Meng et al.",
        year=2024,
        url="https://arxiv.org/abs/2406.07831",
        part="algorithms 1 and 2",
    )
    summary = "Searches mask and weights together by ADMM, then re-solves the kept weights."
    idea = (
        "The best weights to remove depend on the values of the others, so ALPS searches mask and weights "
        "together. It pulls weights that fit the layer's outputs and weights with enough zeros towards each "
        "other, ever more strongly, until the zeros settle. Then it re-solves the kept weights to bring the "
        "outputs close to the dense ones."
    )
    formulas = (
        r"B \leftarrow (W H - V + \rho Z)\, (H + \rho I)^{-1}",
        r"Z \leftarrow \operatorname{largest}_k \left( B + \frac{V}{\rho} \right)",
        r"V \leftarrow V + \rho\, (B - Z)",
        r"\min_{W'}\, \lVert (W' - W) X \rVert_{\mathrm{F}}^2",
        r"W'_{ij} = 0 \ \text{where}\ B_{ij} \notin \operatorname{largest}_k (B)",
    )
    symbols = {
        "B": "weights that fit the outputs",
        "Z": "sparse weights: all but the k largest are zero",
        "V": "dual variable, which pulls B and Z together",
        "k": "number of kept weights",
        "H": "X times its transpose, damped and scaled to ones on its diagonal",
        r"\rho": "strength of the pull (penalty)",
        "I": "identity matrix",
    }
    Parameters = ALPSParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count two products per iteration, one per gradient step, and eigenvectors of a block's four inputs."""
        steps = min(self.parameters.iterations, USUAL)
        products = (2 * steps + self.parameters.refinements) * solving(shape)
        eigen = EIGEN * shape.blocks * (3 * shape.hidden**3 + shape.ffn**3)
        return super().cost(shape, text) + products + steps * CHOICE * shape.block_weights + eigen

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        widest = max(shape.hidden, shape.ffn)
        return super().memory(shape, text, item, streams) + 4 * HELD * shape.hidden * shape.ffn + 8 * 4 * widest**2

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        from core.methods.numerics.masks import pattern_mask, smallest_mask, zeros_lowest
        from core.methods.unstructured.reconstruct import alternate, reconstruct

        own, zeros, count = self.parameters, target.zeros, round(target.ratio * weight.numel())
        if not target.pattern and count == (0 if zeros is None else int(zeros.sum())):
            return Compressed(weight, zeros=zeros)  # nothing more to remove

        def choose(scaled: Tensor) -> Tensor:
            """Return the mask (out, in) of the entries that become zero."""
            score = zeros_lowest(scaled.abs(), zeros)
            if not target.pattern:
                return smallest_mask(score.flatten(), count).view_as(score)
            pruned = pattern_mask(score, *target.pattern)
            return pruned if zeros is None else pruned | zeros

        gram, scale, spectrum = statistics.once("spectrum", lambda: self._spectrum(statistics.gram))
        wanted = weight * scale
        found, pruned, used = alternate(wanted, gram, spectrum, choose, own.rho, own.iterations)
        solved, _ = reconstruct(found.masked_fill(pruned, 0), wanted, gram, pruned, own.refinements, TOLERANCE)
        return Compressed(solved / scale, zeros=pruned, damping=own.damping, note=f"{used} iterations")

    def _spectrum(self, gram: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Return the damped Gram matrix with ones on its diagonal, the scale of the weights, and an eigendecomposition.

        The matrix is (in, in), the scale (in,), the eigenvalues (in,) and the eigenvectors (in, in), all fp32.
        """
        import torch

        from core.methods.numerics.hessian import check_finite

        check_finite(gram)
        hessian = gram.double()
        hessian.diagonal().add_(self.parameters.damping * hessian.diagonal().mean().clamp_min(1e-30))
        scale = hessian.diagonal().sqrt()  # (in,)
        hessian = hessian / scale / scale[:, None]
        values, vectors = torch.linalg.eigh(hessian)
        return hessian.float(), scale.float(), (values.float(), vectors.float())
