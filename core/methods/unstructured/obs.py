"""OBS: removes the cheapest weight of a linear, updates the rest of its row to compensate, and repeats.

References: Hassibi & Stork, Second Order Derivatives for Network Pruning: Optimal Brain Surgeon, 1992; the citation is
of ExactOBS. `core.methods.unstructured.surgeon` lists the differences.

W is (out, in) and H = X X^T + damping, as in SparseGPT, so that both solve the same problem. H is factored in fp64, and
the removals run in fp32. On 32 to 64 rows of linears of the default model's first block, at dampings from 1e-8 to 0.01,
fp32 removed the same weights as fp64. Its costs were off by a share of less than 1e-6.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from core.base.errors import UserError
from core.methods.annotations import Linear, ModelShape, Tensor, TextWindows
from core.methods.linear import Compressed, Factor, Plan, Statistics, Target
from core.methods.terms import Citation
from core.methods.unstructured.base import ByHessian, ByHessianParameters

# Cost per weight of removing half the weights: STEP + PRODUCT * inputs^2, in operations of a matrix product. The many
# small steps of a removal are slower than such products. Measured at 576 and 1536 inputs.
STEP, PRODUCT = 500_000, 2
WORK_BYTES = 2**24  # for rows that run together; products are several times as fast in a processor's cache


class OBSParameters(ByHessianParameters):
    damping: float = Field(
        title="Damping of the Hessian",
        default=0.01,
        ge=1e-6,
        le=10,
        description="Share of the Hessian's mean diagonal that is added to its diagonal.",
    )
    block: int = Field(
        title="Weights removed at once",
        default=1,
        ge=1,
        le=64,
        description="Consecutive inputs of a row that are removed together, such as 4, so that zeros form blocks. "
        "Not with N:M.",
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
    summary = "Removes one weight at a time, always the cheapest, and updates the rest of its row to compensate."
    idea = (
        "The cost of a weight changes with every removal, since the rest of its row can compensate. OBS removes "
        "one weight at a time: the one whose removal changes the layer's outputs least. The inverse Hessian then "
        "updates the rest of the row, which is exact but makes OBS the slowest pruning method."
    )
    formulas = (
        r"S_{ij} = \frac{W_{ij}^2}{[H_i^{-1}]_{jj}}",
        r"W_{i} \leftarrow W_{i} - \frac{W_{ij}}{[H_i^{-1}]_{jj}}\, [H_i^{-1}]_{j}",
        r"H_i^{-1} \leftarrow H_i^{-1} - \frac{[H_i^{-1}]_{j}^\top [H_i^{-1}]_{j}}{[H_i^{-1}]_{jj}}",
        r"H_i = X X^\top + \lambda I \ \text{at first}",
    )
    symbols = {
        "H": "Hessian of one output's error, without the inputs of removed weights",
        r"\lambda I": "damping: a share of the mean diagonal, added to the diagonal",
    }
    Parameters = OBSParameters

    def plan(self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]) -> Plan:
        """Raise `UserError` if blocks do not divide a linear's inputs or are combined with an N:M pattern."""
        block = self.parameters.block
        if target.pattern and block > 1:
            raise UserError(f"An N:M pattern removes single weights; remove block = {block} or give a ratio.")
        for linear in linears:
            if linear.shape[1] % block:
                raise UserError(
                    f"Blocks of {block} do not divide the {linear.shape[1]} inputs of {linear.name}; choose a divisor."
                )
        return {}

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count the removal of half the weights; most of it is in the matrices with the most inputs."""
        wide = shape.blocks * shape.hidden * shape.ffn
        products = (shape.block_weights - wide) * shape.hidden**2 + wide * shape.ffn**2
        return super().cost(shape, text) + STEP * shape.block_weights + PRODUCT * products

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Add the inverse in fp64, its factor, and the workspace of rows that run together."""
        widest = max(shape.hidden, shape.ffn)
        return super().memory(shape, text, item, streams) + 4 * max(WORK_BYTES, 4 * widest**2) + 8 * 4 * widest**2

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        import torch

        from core.methods.unstructured.surgeon import prune

        inverse, factor = statistics.once("inverse", lambda: self._inverse(statistics.gram))
        weight[:, factor.dead] = 0
        zeros = torch.zeros_like(weight, dtype=torch.bool) if target.zeros is None else target.zeros
        how = target.ratio, target.pattern, self.parameters.block
        pruned, removed = prune(weight, inverse, zeros, *how, work=WORK_BYTES)
        removed[:, factor.dead] = True
        return Compressed(pruned, zeros=removed, damping=factor.damping, note=factor.note)

    def _inverse(self, gram: Tensor) -> tuple[Tensor, Factor]:
        """Return the inverse of the damped Gram matrix (in, in), fp32, and its factor."""
        from core.methods.numerics.hessian import factorise

        factor = factorise(gram.double(), self.parameters.damping)
        return (factor.upper.T @ factor.upper).float(), factor
