"""The question which of two variants is better, and its answer."""

from dataclasses import dataclass

import pandas as pd

from core.findings.finding import Finding
from core.findings.pairs.numbers import winner


@dataclass(frozen=True, repr=False)
class Comparison(Finding):
    """Whether one variant is better than another.

    `rows` are paired differences of the first to the second (`core.findings.numbers.differences`), a row per common
    number.

    Attributes:
        names: Names of both.
    """

    names: tuple[str, str]


def compare(pairs: pd.DataFrame, one: str, other: str) -> Comparison:
    """Name the better of two variants.

    Args:
        pairs: Rows of `core.findings.numbers.differences` of the first variant to the second.
        one: Name of the first variant.
        other: Name of the second variant.
    """
    return Comparison(pairs, winner(pairs, one, other).replace("**", ""), (one, other))
