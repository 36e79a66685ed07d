"""The published forms of a compression law. In logarithms each is a linear model of its unknown exponents.

Of a compressed model L is the cross-entropy (the logarithm of perplexity, nats a token) or the accuracy, and L0 that of
its dense model; r is the share of the block weights that is gone, N0 the dense model's parameters in millions and D the
millions of tokens of the training afterwards. The papers take accuracies as they are, chance included, and so do these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pandas as pd


class Form(ABC):
    """One form: a logarithm of the quality is the sum of exponents times logarithms of what is known.

    `rows` are those of `core.analysis.laws.groups.Group`, and `loss` says whether L is a cross-entropy.
    """

    name: ClassVar[str]
    law: ClassVar[str]  # as people write it
    paper: ClassVar[str]
    link: ClassVar[str]
    paper_finding: ClassVar[str]  # what the paper says, with its protocol
    exponent: ClassVar[str]  # the unknown that belongs to r
    factors: ClassVar[tuple[str, ...]] = ()  # unknowns that are told as they are, and fitted as logarithms
    of_losses: ClassVar[bool] = False  # whether it has nothing to say of accuracies
    trained: ClassVar[bool] = False  # whether it tells apart what was trained on more and on less
    with_dense: ClassVar[bool] = False  # whether the dense models' own points are fitted, too

    @abstractmethod
    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        """Return the names of what the rows can tell."""

    @abstractmethod
    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        """Return what each unknown is multiplied by (rows, unknowns); not finite where a row has no place."""

    @abstractmethod
    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        """Return of each L in `values` (..., rows) the sum that it is; not finite where a row has no place."""

    @abstractmethod
    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        """Return L of each sum (..., rows): the inverse of `logarithm`."""

    @abstractmethod
    def share(self, column: np.ndarray) -> np.ndarray:
        """Return the r at which the column of `exponent` has these values."""


class First(Form):
    """L = L0^a (1 + r)^b (1 + 1 / (D + 1))^c (arXiv:2504.04342v1).

    Within one model L0 is one number and a cannot be told from the data: it is 1. Where no row, or every compressed
    one alike, was trained, the factor of D is absent. At r = 0 the form gives L0 only where a is 1 and that factor is
    absent, so that it is fitted to compressed models alone, as in the paper.
    """

    name, exponent, trained = "1 + r", "b", True
    law = "L = L0^a (1 + r)^b (1 + 1/(D + 1))^c"
    paper, link = "Compression Laws for Large Language Models, first version", "https://arxiv.org/abs/2504.04342v1"
    paper_finding = (
        "Over 1000 experiments on eight models of 0.5 to 14 billion parameters, structured compression only: "
        "cross-entropy rises quadratically and the accuracy of downstream tasks falls linearly; a training afterwards "
        "improves the loss by up to 55 %. As summarised: b is near 2 and near -1; SliceGPT and PruneNet at 10 to 90 %, "
        "Qwen-2.5 and LLaMA-3, trained on 1 to 25 million tokens; cross-entropy on WikiText-2, PTB and Alpaca, "
        "accuracy the mean of six tasks."
    )

    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        compressed = rows.loc[rows["ratio"] > 0, "tokens"]
        return (*("a",) * (rows["model"].nunique() > 1), "b", *("c",) * (compressed.nunique() > 1))

    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        known = {
            "a": np.log(rows["dense"]),
            "b": np.log1p(rows["ratio"]),
            "c": np.log1p(1 / (rows["tokens"] + 1)),
        }
        return np.column_stack([known[name] for name in unknowns])

    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return _log(values) - _given(rows, unknowns)

    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return np.exp(sums + _given(rows, unknowns))

    def share(self, column: np.ndarray) -> np.ndarray:
        return np.expm1(column)


class Second(Form):
    """Q = Q0 P0 (1 - r)^a of an accuracy, or of 1 / L of a cross-entropy (arXiv:2504.04342, a later version)."""

    name, exponent, factors, with_dense = "1 - r", "a", ("P0",), True
    law = "Q = Q0 P0 (1 - r)^a"
    paper, link = "The same, a later version on pruning laws", "https://arxiv.org/abs/2504.04342"
    paper_finding = (
        "Of an accuracy, or of 1 / ln(perplexity). By its abstract: five models of 2.7 to 13 billion parameters, "
        "unstructured, width and depth pruning, eight tasks, and an error of extrapolation below 7 %. It has no term "
        "for training."
    )

    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        return "P0", "a"

    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        return np.column_stack([np.ones(len(rows)), np.log1p(-rows["ratio"])])

    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        kept = _log(values) - np.log(rows["dense"].to_numpy())
        return -kept if loss else kept

    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return rows["dense"].to_numpy() * np.exp(-sums if loss else sums)

    def share(self, column: np.ndarray) -> np.ndarray:
        return -np.expm1(column)


class Third(Form):
    """L = L0 + r^-g N0^-d C of a cross-entropy: the P2 law (arXiv:2411.10272), whose pruning rate rho is taken as r.

    The paper's C is N_C / N0^alpha + D_C / D^beta + E. Without training, or with the same everywhere, D's part is one
    number, and what its alpha says beside d cannot be told from few sizes: C is a constant. g has whatever sign
    the rows say, d is there where the rows have several models, and g where they have several ratios.
    """

    name, exponent, factors, of_losses = "P2", "g", ("C",), True
    law = "L = L0 + C r^-g N0^-d"
    paper, link = "P2 Law: Scaling Law for Post-Training After Model Pruning", "https://arxiv.org/abs/2411.10272"
    paper_finding = (
        "Of the loss after a training, on Llama-3 and Qwen-2.5 models that were pruned by common methods; the law is "
        "said to carry over to more tokens, larger models and higher rates. As summarised: pruned in depth, in width "
        "and 2:4. Here it is fitted to models that were not trained afterwards, too, of which the paper does not speak."
    )

    def unknowns(self, rows: pd.DataFrame) -> tuple[str, ...]:
        told = rows[(rows["ratio"] > 0) & (rows["value"] > rows["dense"])]
        sizes = told["parameters"].notna().all() and told["parameters"].nunique() > 1
        return ("C", *("g",) * (told["ratio"].nunique() > 1), *("d",) * bool(sizes))

    def columns(self, rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray:
        known = {"C": np.zeros(len(rows)) + 1, "g": -_log(rows["ratio"]), "d": -_log(rows["parameters"])}
        return np.column_stack([known[name] for name in unknowns])

    def logarithm(self, rows: pd.DataFrame, values: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return _log(values - rows["dense"].to_numpy())

    def value(self, rows: pd.DataFrame, sums: np.ndarray, loss: bool, unknowns: tuple[str, ...]) -> np.ndarray:
        return rows["dense"].to_numpy() + np.exp(sums)

    def share(self, column: np.ndarray) -> np.ndarray:
        return np.exp(-column)


FORMS: tuple[Form, ...] = (First(), Second(), Third())


def _given(rows: pd.DataFrame, unknowns: tuple[str, ...]) -> np.ndarray | float:
    """Return what a fixed exponent of L0, 1, adds."""
    return 0.0 if "a" in unknowns else np.log(rows["dense"].to_numpy())


def _log(values) -> np.ndarray:
    """Return logarithms; NaN of what is not above zero."""
    values = np.asarray(values, float)
    return np.log(np.where(values > 0, values, np.nan))
