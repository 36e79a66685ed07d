"""SVD-LLM: the SVD of each matrix times a factor of its inputs' Gram matrix, so that the least output is lost."""

from core.methods.annotations import Tensor
from core.methods.linear import Statistics
from core.methods.lowrank.base import LowRank, LowRankParameters
from core.methods.parameters import WalkerParameters
from core.methods.terms import Citation


class SVDLLMParameters(WalkerParameters, LowRankParameters):
    pass


class SVDLLM(LowRank):
    name = "svd-llm"
    label = "SVD-LLM"
    citation = Citation(
        title="SVD-LLM: Truncation-aware Singular Value Decomposition for Large Language Model Compression",
        authors="Wang et al.",
        year=2024,
        url="https://arxiv.org/abs/2403.07378",
        part="section 3.1",
    )
    summary = "Replaces each matrix by the two thin ones that change its outputs least."
    idea = (
        "SVD-LLM multiplies the weights by a Cholesky factor of their inputs' Gram matrix before the "
        "decomposition. Each singular value is then exactly the output error of dropping it. Dropping the "
        "smallest ones changes the layer's outputs on the calibration data as little as any product of that rank "
        "can."
    )
    formulas = (
        r"W' = [\,W L\,]_k\, L^{-1}, \qquad L L^\top = X X^\top",
        r"\lVert (W - W') X \rVert_{\mathrm{F}}^2 = \sum_{n > k} \sigma_n^2",
    )
    symbols = {
        r"[\,\cdot\,]_k": "closest matrix of rank k",
        "L": "Cholesky factor of the inputs' Gram matrix, lower triangular",
        r"\sigma_n": "singular values of W L, largest first",
    }
    data_requirement = "calibration"
    Parameters = SVDLLMParameters
    input_sums = frozenset({"gram"})
    spectra = "spectra of the outputs"

    def scale(self, statistics: Statistics) -> tuple[Tensor | None, str | None]:
        from core.methods.numerics.hessian import lower_factor

        return lower_factor(statistics.gram)
