"""OBS: of all weights of a linear the one that costs least goes, the rest of its row makes up for it, and so on.

References: Hassibi & Stork, Second Order Derivatives for Network Pruning: Optimal Brain Surgeon, 1992; Frantar &
Alistarh, Optimal Brain Compression: A Framework for Accurate Post-Training Quantization and Pruning, 2022
(arXiv:2208.11580), section 4, ExactOBS. `core.methods.unstructured.removals` says what is done otherwise than there. W
is (out, in), H = X X^T + damping as SparseGPT has it, so that both solve the same problem. It is factored in fp64. The
removals are in fp32: in 32 to 64 rows of linears of the default model's first block, at dampings from 1e-8 to 0.01, it
removed the very weights that fp64 did, and what it told of their cost was off by less than 1e-6 of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.errors import UserError
from core.methods.inputs import Compressed, Statistics, Target
from core.methods.terms import Citation
from core.methods.unstructured.by_hessian import ByHessian, ByHessianParameters

if TYPE_CHECKING:
    from torch import Tensor

    from core.methods.hessian import Factor
    from core.models.parts.blocks import Linear
    from core.models.shape import ModelShape
    from core.specs import TextWindows

# What the removal of half the weights takes of each weight, in operations of a processor's matrix product: as fast as
# those are its many small steps not. So much, and so much times the inputs squared; measured at 576 and 1536 inputs.
STEP, PRODUCT = 500_000, 2
WORK_BYTES = 2**24  # in which rows are run together: products are several times as fast in a processor's cache


class OBSParameters(ByHessianParameters):
    damping: float = Field(
        title="Damping of the Hessian",
        default=0.01,
        ge=1e-6,
        le=10,
        description="Share of the mean diagonal of the Hessian that is added to the diagonal.",
    )
    block: int = Field(
        title="Weights removed at once",
        default=1,
        ge=1,
        le=64,
        description="Consecutive inputs of a row that go together, such as 4, so that zeros lie in blocks; not with "
        "N:M.",
    )


class OBS(ByHessian):
    name = "obs"
    label = "OBS"
    citation = Citation(
        title="Optimal Brain Compression: A Framework for Accurate Post-Training Quantization and Pruning",
        authors="Frantar & Alistarh",
        year=2022,
        url="https://arxiv.org/abs/2208.11580",
        part="section 4",
    )
    summary = "Removes one weight after the other, each time the cheapest, and lets the rest of its row make up for it."
    idea = (
        "What a weight costs depends on what has gone before it, since the others of its row can make up for it. So "
        "weights go one at a time, each time the one whose loss changes the layer's outputs least, and after each the "
        "rest of its row is updated as the inverse Hessian tells: exact, and the slowest way to prune."
    )
    formulas = (
        r"S_{ij} = \frac{W_{ij}^2}{[H_i^{-1}]_{jj}}",
        r"W_{i} \leftarrow W_{i} - \frac{W_{ij}}{[H_i^{-1}]_{jj}}\, [H_i^{-1}]_{j}",
        r"H_i^{-1} \leftarrow H_i^{-1} - \frac{[H_i^{-1}]_{j}^\top [H_i^{-1}]_{j}}{[H_i^{-1}]_{jj}}",
        r"H_i = X X^\top + \lambda I \ \text{at first}",
    )
    symbols = {
        "H": "Hessian of the error of one output, without the inputs whose weights have gone",
        r"\lambda I": "damping: a share of the mean diagonal, on the diagonal",
    }
    resumes = True
    colour = 6
    marker = "circle"
    dash = "longdash"
    parameters: OBSParameters
    Parameters = OBSParameters

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Raise `UserError` where blocks do not divide the inputs of a linear, or a pattern is asked for besides."""
        block = self.parameters.block
        if target.pattern and block > 1:
            raise UserError(f"An N:M pattern takes weights one by one; leave block = {block} out, or ask for a ratio.")
        for linear in linears:
            if linear.shape[1] % block:
                raise UserError(
                    f"Blocks of {block} do not divide {linear.name}, of {linear.shape[1]} inputs; choose another size."
                )
        return {}

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Of half the weights; the most is in the matrices with the most inputs."""
        wide = shape.blocks * shape.hidden * shape.ffn
        products = (shape.block_weights - wide) * shape.hidden**2 + wide * shape.ffn**2
        return super().cost(shape, text) + STEP * shape.block_weights + PRODUCT * products

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        """Besides the inverse in fp64, and its factor: what the rows need that are run together."""
        widest = max(shape.hidden, shape.ffn)
        return super().memory(shape, text, item) + 4 * max(WORK_BYTES, 4 * widest**2) + 8 * 4 * widest**2

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: Any = None) -> Compressed:
        import torch

        from core.methods.unstructured.surgeon import prune

        inverse, factor = statistics.once("inverse", lambda: self._inverse(statistics.gram))
        weight[:, factor.dead] = 0
        zeros = torch.zeros_like(weight, dtype=torch.bool) if target.zeros is None else target.zeros
        how = target.ratio, target.pattern, self.parameters.block
        pruned, gone = prune(weight, inverse, zeros, *how, work=WORK_BYTES)
        gone[:, factor.dead] = True
        return Compressed(pruned, zeros=gone, damping=factor.damping, note=factor.note)

    def _inverse(self, gram: Tensor) -> tuple[Tensor, Factor]:
        """Return the inverse of the damped Gram matrix (in, in), fp32, and what it was made of."""
        from core.methods.hessian import factorise

        factor = factorise(gram.double(), self.parameters.damping)
        return (factor.upper.T @ factor.upper).float(), factor
