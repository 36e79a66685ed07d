"""The amount of a stage, a value with four cases: a ratio, N:M, bits per weight or a factor."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache, total_ordering

from core.base.errors import UserError, echo

WHOLE = "([0-9]{1,9})"  # a whole number in a notation; Python rejects thousands of digits
WHOLE_BITS = 16  # per unquantised weight
RATIO_PLACES = 6  # as many as `:g` shows, so that different ratios look different


def least_bits(
    weights: float, nonzero: float, each: float = WHOLE_BITS, pattern: tuple[int, int] | None = None
) -> float:
    """Return the bits of a matrix in its smallest lossless layout, without scales and zero points.

    The layouts are dense (all weights), bitmask (1 bit per weight and the non-zero weights) and, for 2:4 sparsity, 2 of
    4 weights with a 2-bit index each. A stored weight takes `each` bits.
    """
    layouts = [each * weights, weights + each * nonzero]
    if pattern == (2, 4):
        layouts.append(weights * (2 * each + 2 * 2) / 4)
    return min(layouts)


@total_ordering
@dataclass(frozen=True)
class Amount(ABC):
    """An amount. `str` is its notation, which `parse` reads. In order, ratios ascend, and other amounts descend."""

    # The notation if it has leading zeros, as in `02:4`: stored keys contain it.
    written: str = field(default="", kw_only=True, repr=False)

    @staticmethod
    def parse(text: str) -> Amount:
        """Parse `0.5`, `2:4`, `4bit` or `2x`; a `UserError` for another notation."""
        if exact := bits_or_factor(text):
            return exact
        if ":" in text:
            return Pattern.parse(text)
        try:
            return Ratio(float(text))
        except ValueError:
            raise UserError(
                f"{echo(text)} is not an amount; give a ratio (0.5), N:M (2:4), bits (4bit) or a factor (2x)."
            ) from None

    @staticmethod
    @lru_cache(maxsize=1024)  # every row of every variant needs it
    def parse_exact(text: str) -> Amount:
        """Parse N:M, bits or a factor, which determine the ratio; a `UserError` for another notation."""
        return bits_or_factor(text) or Pattern.parse(text)

    @staticmethod
    def from_columns(ratio: float | None, pattern: str | float | None) -> Amount | None:
        """Return the amount of two columns, or fields in JSON; None or NaN marks an empty one.

        N:M, bits and factors are in `pattern`, beside the ratio that follows from them. Raises `UserError` for another
        notation.
        """
        if isinstance(pattern, str):
            return Amount.parse_exact(pattern)
        return None if ratio is None or math.isnan(ratio) else Ratio(float(ratio))

    @property
    def pattern(self) -> str | None:
        """The text in the column `pattern`; None for a ratio."""
        return str(self)

    @property
    @abstractmethod
    def fraction(self) -> float:
        """The share that it removes of the weights, bits or embedding, without earlier stages."""

    @property
    def label(self) -> str:
        """The text in tables, menus and charts."""
        return str(self)

    @property
    @abstractmethod
    def _place(self) -> tuple[float, ...]:
        """The numbers that determine the order."""

    def __lt__(self, other: Amount) -> bool:
        return (self._place, str(self)) < (other._place, str(other))


@dataclass(frozen=True)
class Ratio(Amount):
    """A share of weights to remove, such as `0.5`."""

    value: float

    @property
    def pattern(self) -> None:
        return None

    @property
    def fraction(self) -> float:
        return self.value

    @property
    def label(self) -> str:
        return f"{100 * self.value:g} %"

    @property
    def _place(self) -> tuple[float, ...]:
        return -math.inf, self.value

    def __str__(self) -> str:
        return shortest(self.value)


@dataclass(frozen=True)
class Pattern(Amount):
    """An N:M pattern, such as `2:4`: N weights that stay of every M consecutive ones."""

    kept: int
    group: int

    @staticmethod
    def parse(text: str) -> Pattern:
        """Parse `N:M`; a `UserError` for another notation."""
        match = re.fullmatch(f"{WHOLE}:{WHOLE}", text)
        if not (match and 0 < int(match[1]) < int(match[2])):
            raise no_pattern(text)
        return Pattern(int(match[1]), int(match[2]), written=_padded(text))

    @property
    def pair(self) -> tuple[int, int]:
        """N and M."""
        return self.kept, self.group

    @property
    def fraction(self) -> float:
        return 1 - self.kept / self.group

    @property
    def _place(self) -> tuple[float, ...]:
        return -self.kept, -self.group

    def __str__(self) -> str:
        return self.written or f"{self.kept}:{self.group}"


@dataclass(frozen=True)
class Bits(Amount):
    """Bits per weight, such as `4bit`, or a mean such as `3.5bit`; a whole number is an `int`."""

    bits: float

    @property
    def fraction(self) -> float:
        return 1 - self.bits / WHOLE_BITS

    @property
    def label(self) -> str:
        return f"{self.bits} bit"

    @property
    def _place(self) -> tuple[float, ...]:
        return -self.bits, 0

    def __str__(self) -> str:
        return self.written or f"{self.bits}bit"


@dataclass(frozen=True)
class Factor(Amount):
    """A factor by which an embedding shrinks, such as `2x` or `1.5x`."""

    factor: float

    @property
    def fraction(self) -> float:
        return round(1 - 1 / self.factor, RATIO_PLACES)

    @property
    def _place(self) -> tuple[float, ...]:
        return -self.factor, 0

    def __str__(self) -> str:
        return f"{shortest(self.factor)}x"


def no_pattern(text: str) -> UserError:
    """Return the error for a text or an amount that is not N:M."""
    return UserError(f"{echo(text)} is not N:M with 0 < N < M (N kept of M), such as 2:4 or 4:8.")


def shortest(number: float) -> str:
    """Format a number with the fewest digits that restore it."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def bits_or_factor(text: str) -> Bits | Factor | None:
    """Parse bits or a factor; None for another notation."""
    if match := re.fullmatch(rf"{WHOLE}(\.[0-9]{{0,2}}[1-9])?bit", text):
        bits = float(match[1] + match[2]) if match[2] else int(match[1])
        return Bits(bits, written=_padded(text))
    match = re.fullmatch(r"([1-9][0-9]{0,5}(\.[0-9]{0,2}[1-9])?)x", text)
    return Factor(float(match[1])) if match else None


def _padded(text: str) -> str:
    """Return a notation with leading zeros; empty without them."""
    return text if re.search(r"(?<![0-9.])0[0-9]", text) else ""
