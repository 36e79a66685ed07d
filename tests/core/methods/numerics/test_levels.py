"""How parts of a whole come to a common level where some have lost more before."""

import random

import pytest

from core.methods.numerics.levels import level_counts


def drawn(seed):
    """Return sizes of parts, zeros in them, and a total that is at least these."""
    draw = random.Random(seed)
    sizes = [draw.choice((1, 7, 64, 1000, draw.randint(1, 5000))) for _ in range(draw.randint(1, 30))]
    zeros = [draw.choice((0, size, draw.randint(0, size), draw.randint(0, size) // 8)) for size in sizes]
    return sizes, zeros, draw.choice((sum(zeros), sum(sizes), draw.randint(sum(zeros), sum(sizes))))


def level(sizes, zeros, total):
    """Return the level by bisection."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if sum(max(middle * n, z) for n, z in zip(sizes, zeros, strict=True)) < total
            else (low, middle)
        )
    return high


@pytest.mark.matrix(seed=None)
@pytest.mark.parametrize("seed", range(300))
def test_total_is_exact_and_parts_reach_the_level_or_their_zeros(seed):
    sizes, zeros, total = drawn(seed)
    counts = level_counts(sizes, zeros, total)
    assert sum(counts) == total
    common = level(sizes, zeros, total)
    for size, before, count in zip(sizes, zeros, counts, strict=True):
        assert before <= count <= size
        assert abs(count - max(common * size, before)) < 1 + 1e-6 * size


@pytest.mark.parametrize(
    ("sizes", "zeros", "total", "counts"),
    [
        ([4, 4, 4], [0, 0, 0], 6, [2, 2, 2]),
        ([4, 4, 4], [4, 0, 0], 6, [4, 1, 1]),
        ([4, 4, 4], [4, 2, 0], 7, [4, 2, 1]),
        ([3, 3, 3, 3], [0, 0, 0, 0], 6, [2, 1, 2, 1]),  # the remainder of rounding is added to the next part
        ([4, 4], [3, 3], 5, [3, 3]),  # more is already removed
        ([4, 4], [4, 4], 8, [4, 4]),
        ([10**10, 10**10], [10**10 - 1, 0], 10**10 + 1, [10**10 - 1, 2]),
    ],
)
def test_level_examples(sizes, zeros, total, counts):
    assert level_counts(sizes, zeros, total) == counts
