"""ALPS: the mask of a linear is found by alternating directions, and what it keeps by conjugate gradients.

References: Meng et al., ALPS: Improved Optimization for Highly Sparse One-Shot Pruning for Large Language Models, 2024
(arXiv:2406.07831), sections 3.2 and 3.3. H is damped, then scaled to ones on its diagonal, and the weights inversely,
so that the outputs stay. The mask keeps the largest weights of the last iteration. Those are solved for as
`core.methods.unstructured.reconstruct` says, which in this scale has nothing to precondition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.methods.cost import solving
from core.methods.inputs import Compressed, Statistics, Target
from core.methods.terms import Citation
from core.methods.unstructured.by_hessian import ByHessian, ByHessianParameters

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.shape import ModelShape
    from core.specs import TextWindows

TOLERANCE = 1e-4  # of the residual of the conjugate gradients, as the paper's
USUAL = 40  # iterations after which masks are settled: 30 to 36 on the default model
EIGEN = 30  # operations of a processor's matrix product that eigenvectors in fp64 take, times the inputs cubed
CHOICE = 2000  # and that an iteration takes of each weight besides its products
HELD = 8  # matrices of a linear's size while its mask is searched


class ALPSParameters(ByHessianParameters):
    rho: float = Field(
        title="Penalty at first",
        default=0.1,
        gt=0,
        le=1000,
        description="How strongly the weights are first drawn to those with zeros (rho); it grows while the mask "
        "changes.",
    )
    iterations: int = Field(
        title="Most iterations",
        default=300,
        ge=1,
        le=10_000,
        description="Most iterations of the search for the mask; it ends sooner where that no longer changes.",
    )
    refinements: int = Field(
        title="Steps of conjugate gradients",
        default=10,
        ge=0,
        le=10_000,
        description="Most steps in which the weights that the mask keeps are solved for.",
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
    summary = "Searches mask and weights together by ADMM, then solves for the weights that stay."
    idea = (
        "Which weights a layer can do without depends on what the others become, so both are searched at once: weights "
        "that fit the layer's outputs and weights with enough zeros are drawn towards each other, ever more strongly "
        "until the zeros stay where they are. What is kept is then solved for, so that the outputs come close to the "
        "dense ones."
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
        "Z": "the same with all but the k largest set to zero",
        "V": "what draws the two together",
        "k": "how many weights stay",
        "H": "X times its transpose, damped, with ones on its diagonal",
        r"\rho": "how strongly",
        "I": "the identity",
    }
    colour = 8
    marker = "circle"
    parameters: ALPSParameters
    Parameters = ALPSParameters

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Two products an iteration, one a step of the conjugate gradients, and eigenvectors of four inputs a block."""
        steps = min(self.parameters.iterations, USUAL)
        products = (2 * steps + self.parameters.refinements) * solving(shape)
        eigen = EIGEN * shape.blocks * (3 * shape.hidden**3 + shape.ffn**3)
        return super().cost(shape, text) + products + steps * CHOICE * shape.block_weights + eigen

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        widest = max(shape.hidden, shape.ffn)
        return super().memory(shape, text, item) + 4 * HELD * shape.hidden * shape.ffn + 8 * 4 * widest**2

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: Any = None) -> Compressed:
        from core.methods.masks import pattern_mask, smallest_mask, zeros_lowest
        from core.methods.unstructured.admm import alternate
        from core.methods.unstructured.reconstruct import reconstruct

        own, zeros, count = self.parameters, target.zeros, round(target.ratio * weight.numel())
        if not target.pattern and count == (0 if zeros is None else int(zeros.sum())):
            return Compressed(weight, zeros=zeros)  # nothing more goes

        def choose(scaled: Tensor) -> Tensor:
            """Return which entries (out, in) become zero."""
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
        """Return the damped Gram matrix (in, in) with ones on its diagonal, what the weights are scaled by for that
        (in,), and its eigenvalues (in,) and eigenvectors (in, in), all fp32.
        """
        import torch

        from core.methods.hessian import check_finite

        check_finite(gram)
        hessian = gram.double()
        hessian.diagonal().add_(self.parameters.damping * hessian.diagonal().mean().clamp_min(1e-30))
        scale = hessian.diagonal().sqrt()  # (in,)
        hessian = hessian / scale / scale[:, None]
        values, vectors = torch.linalg.eigh(hessian)
        return hessian.float(), scale.float(), (values.float(), vectors.float())
