"""Comparison of the answers of two models to the same prompt, token by token."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple


class Agreement(NamedTuple):
    """The tokens at the start of an answer that equal those of the dense model's answer."""

    equal: int  # before the first difference
    dense: int  # tokens of the dense model's answer
    differs: bool  # whether a token differs; False if both are equal as far as both go

    @property
    def share(self) -> float:
        """The equal tokens as a share of the dense model's answer; 1 for an empty answer."""
        return self.equal / self.dense if self.dense else 1.0

    @property
    def place(self) -> int | None:
        """The index of the first token that differs."""
        return self.equal if self.differs else None


def agreement(dense: Sequence[int], other: Sequence[int]) -> Agreement:
    """Compare the tokens of an answer with those of the dense model's answer, up to the first difference."""
    equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(dense, other, strict=False)))
    return Agreement(equal, len(dense), equal < min(len(dense), len(other)))
