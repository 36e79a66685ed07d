"""The published forms of a compression law. In logarithms each is a linear model of its unknown exponents.

L is the cross-entropy (the logarithm of perplexity, in nats per token) or the accuracy of a compressed model, and L0
that of its dense model. r is the pruning ratio of block weights, N0 the dense model's parameters in millions, and D
the tokens of the training afterwards in millions. Accuracies are above
chance, unlike those of the papers.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pandas as pd


class Form(ABC):
    """A form: the logarithm of the quality is a sum of unknown exponents times logarithms of known values.

    `rows` are those of `core.findings.laws.groups.Group`. `loss` is whether L is a cross-entropy.
    """

    name: ClassVar[str]
    law: ClassVar[str]  # the equation
    paper: ClassVar[str]
    link: ClassVar[str]
    paper_finding: ClassVar[str]  # the paper's result and protocol
    exponent: ClassVar[str]  # the unknown of r
    factors: ClassVar[tuple[str, ...]] = ()  # unknowns that are fitted as logarithms
    of_losses: ClassVar[bool] = False  # whether it does not apply to accuracies
    trained: ClassVar[bool] = False  # whether it has a term for the number of training tokens
    with_dense: ClassVar[bool] = False  # whether the dense models' own points are also fitted

    @abstractmethod
    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """Return the names of the unknowns that the rows can determine."""

    @abstractmethod
    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        """Return the factor of each unknown (rows, unknowns); not finite where the form is not defined."""

    @abstractmethod
    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        """Return the sum for each L in `values` (..., rows); not finite where the form is not defined."""

    @abstractmethod
    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        """Return L for each sum (..., rows), the inverse of `logarithm`."""

    @abstractmethod
    def share(self, column: np.ndarray) -> np.ndarray:
        """Return the r at which the column of `exponent` has these values."""


class First(Form):
    """L = L0^a (1 + r)^b (1 + 1 / (D + 1))^c (arXiv:2504.04342v1).

    Within one model L0 is constant, so the data do not determine a, which is fixed at 1. The factor of D is absent if
    all compressed rows have the same D. At r = 0 the form gives L0 only if a is 1 and this factor is absent. It is
    therefore fitted to compressed models only, as in the paper.
    """

    name, exponent, trained = "1 + r", "b", True
    law = "L = L0^a (1 + r)^b (1 + 1/(D + 1))^c"
    paper, link = "Compression Laws for Large Language Models, first version", "https://arxiv.org/abs/2504.04342v1"
    paper_finding = (
        "Over 1000 experiments on eight models of 0.5 to 14 billion parameters, with structured compression only. "
        "Cross-entropy rises quadratically and downstream accuracy falls linearly; fine-tuning afterwards improves the "
        "loss by up to 55 %. According to a summary, b is near 2 for cross-entropy and near -1 for accuracy. It lists "
        "SliceGPT and PruneNet at 10 to 90 % on Qwen-2.5 and LLaMA-3, with 1 to 25 million training tokens. "
        "Cross-entropy is that of WikiText-2, PTB and Alpaca; accuracy is the mean of six tasks."
    )

    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        compressed = rows.loc[rows["ratio"] > 0, "tokens"]
        return (*("a",) * (rows["model"].nunique() > 1), "b", *("c",) * (compressed.nunique() > 1))

    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        known = {"a": np.log(rows["dense"]), "b": np.log1p(rows["ratio"]), "c": np.log1p(1 / (rows["tokens"] + 1))}
        return np.column_stack([known[name] for name in unknowns])

    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return _log(values) - _given(rows, unknowns)

    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return np.asarray(np.exp(sums + _given(rows, unknowns)))

    def share(self, column: np.ndarray) -> np.ndarray:
        return np.asarray(np.expm1(column))


class Second(Form):
    """Q = Q0 P0 (1 - r)^a; Q is an accuracy, or 1 / L for a cross-entropy (arXiv:2504.04342, a later version)."""

    name, exponent, factors, with_dense = "1 - r", "a", ("P0",), True
    law = "Q = Q0 P0 (1 - r)^a"
    paper, link = "The same, a later version on pruning laws", "https://arxiv.org/abs/2504.04342"
    paper_finding = (
        "Q is an accuracy or 1 / ln(perplexity). According to the abstract: five models of 2.7 to 13 billion "
        "parameters; unstructured, width and depth pruning; eight tasks; extrapolation error below 7 %. It has no term "
        "for training."
    )

    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        return "P0", "a"

    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        return np.column_stack([np.ones(len(rows)), np.log1p(-rows["ratio"])])

    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        kept: np.ndarray = _log(values) - np.log(rows["dense"].to_numpy())
        return -kept if loss else kept

    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return np.asarray(rows["dense"].to_numpy() * np.exp(-sums if loss else sums))

    def share(self, column: np.ndarray) -> np.ndarray:
        return np.asarray(-np.expm1(column))


class Third(Form):
    """L = L0 + r^-g N0^-d C for a cross-entropy: the P2 law (arXiv:2411.10272), with r for its pruning rate rho.

    The paper's C is N_C / N0^alpha + D_C / D^beta + E. Here C is a constant: the term of D is constant for equal
    training, and few model sizes do not determine alpha besides d. g may have either sign. It needs several ratios,
    and d needs several models.
    """

    name, exponent, factors, of_losses = "P2", "g", ("C",), True
    law = "L = L0 + C r^-g N0^-d"
    paper, link = "P2 Law: Scaling Law for Post-Training After Model Pruning", "https://arxiv.org/abs/2411.10272"
    paper_finding = (
        "For the loss after fine-tuning Llama-3 and Qwen-2.5 models that were pruned with common methods. According to "
        "the paper, the law extends to more tokens, larger models and higher rates. According to a summary, pruning "
        "was in depth, in width and 2:4. Here the law is also fitted without fine-tuning, which the paper does not "
        "cover."
    )

    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        worse = rows[(rows["ratio"] > 0) & (rows["value"] > rows["dense"])]
        sizes = worse["parameters"].notna().all() and worse["parameters"].nunique() > 1
        return ("C", *("g",) * (worse["ratio"].nunique() > 1), *("d",) * bool(sizes))

    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        known = {"C": np.zeros(len(rows)) + 1, "g": -_log(rows["ratio"]), "d": -_log(rows["parameters"])}
        return np.column_stack([known[name] for name in unknowns])

    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return _log(values - rows["dense"].to_numpy())

    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return np.asarray(rows["dense"].to_numpy() + np.exp(sums))

    def share(self, column: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-column))


FORMS: tuple[Form, ...] = (First(), Second(), Third())


def _given(rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray | float:
    """Return the term of L0 with the fixed exponent 1; 0 if the exponent is unknown."""
    return 0.0 if "a" in unknowns else np.log(rows["dense"].to_numpy())


def _log(values: np.ndarray | pd.Series) -> np.ndarray:
    """Return logarithms; NaN for values that are not above zero."""
    values = np.asarray(values, float)
    return np.asarray(np.log(np.where(values > 0, values, np.nan)))
