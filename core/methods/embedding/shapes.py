"""Shapes of folded rows, rank caps, and the number of values in a tensor train."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from pydantic_core import PydanticCustomError

Shape = tuple[int, ...]


def parse_shape(text: str) -> Shape:
    """Return (8, 8, 9) for `8x8x9`; raise `PydanticCustomError` unless it has at least two sizes above 1."""
    known = re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5})+", text)
    sizes = tuple(map(int, text.split("x"))) if known else ()
    if not known or min(sizes) < 2:
        raise PydanticCustomError("shape", "give at least two sizes above 1, such as 8x8x9")
    return sizes


def ranks(shape: Shape, cap: int) -> Shape:
    """Return r_0 ... r_N: each as high as the sizes on its left and right allow, and at most the cap."""
    inner = (min(math.prod(shape[:place]), math.prod(shape[place:]), cap) for place in range(1, len(shape)))
    return (1, *inner, 1)


def numbers(shape: Shape, cap: int) -> int:
    """Return P, the number of values in a train: the sum of r_(k-1) I_k r_k."""
    own = ranks(shape, cap)
    return sum(before * size * after for before, size, after in zip(own, shape, own[1:], strict=False))


def highest_cap(shape: Shape, most: float) -> int | None:
    """Return the highest cap with at most `most` values, which has the smallest error; None if there is none."""
    caps = range(1, max(ranks(shape, math.prod(shape))) + 1)
    return max((cap for cap in caps if numbers(shape, cap) <= most), default=None)


def candidates(width: int) -> Iterator[Shape]:
    """Yield the shapes of a row: all factorisations of its width and of its padded widths.

    Padded widths are the next multiples of each power of 2, up to the first power that holds the row, because widths
    may have few factors after slicing. The sizes of a shape ascend: large ones are cheapest at an end, where one rank
    is 1.
    """
    for whole in dict.fromkeys(width + -width % 2**power for power in range((width - 1).bit_length() + 1)):
        yield from (shape for shape in _factorisations(whole) if len(shape) > 1)


def _factorisations(number: int, least: int = 2) -> Iterator[Shape]:
    """Yield the ways to write a number as a product of ascending factors."""
    yield (number,)
    for first in range(least, math.isqrt(number) + 1):
        if number % first == 0:
            yield from ((first, *rest) for rest in _factorisations(number // first, first))


def written(shape: Sequence[int]) -> str:
    """Return `8x8x9` for (8, 8, 9)."""
    return "x".join(map(str, shape))
