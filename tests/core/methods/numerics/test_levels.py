"""Exact counts of masks and levels, where some parts have lost more before, and group sizes that are refused."""

import random
from types import SimpleNamespace

import pytest
import torch

from core.base.errors import UserError
from core.methods.linear import Statistics, Target
from core.methods.numerics.groups import check_groups
from core.methods.numerics.levels import level_counts
from core.methods.numerics.masks import global_counts, pattern_mask, smallest_mask
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.wanda import Wanda


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


@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_smallest_mask_is_exact_with_ties(count):
    score = torch.randint(3, (6, 20)).float()
    pruned = smallest_mask(score, count)
    assert (pruned.sum(1) == count).all()
    for row, mask in zip(score, pruned, strict=True):
        if 0 < count < 20:
            assert row[mask].max() <= row[~mask].min()


@pytest.mark.parametrize(("kept", "group"), [(2, 4), (4, 8), (1, 5)])
def test_every_group_keeps_exactly_n_weights(kept, group):
    score = torch.rand(9, 40)
    pruned = pattern_mask(score, kept, group).view(9, -1, group)
    assert (pruned.sum(-1) == group - kept).all()
    grouped = score.view(9, -1, group)
    assert (grouped.masked_fill(pruned, 9).amin(-1) >= grouped.masked_fill(~pruned, -1).amax(-1)).all()


def test_magnitude_zeroes_the_smallest_of_the_matrix():
    weight = torch.randn(10, 12)
    result = Magnitude().compress(weight.clone(), Statistics(0, {}), Target(0.3)).weight
    assert (result == 0).sum() == round(0.3 * 120)
    assert weight.abs()[result == 0].max() <= weight.abs()[result != 0].min()


def test_wanda_ranks_weight_times_input_norm_within_each_row():
    weight = torch.tensor([[4.0, 1.0, -2.0, 3.0], [1.0, -1.0, 1.0, -1.0]])
    norms = torch.tensor([1.0, 8.0, 3.0, 1.0])  # scores: 4 8 6 3 and 1 8 3 1
    result = Wanda().compress(weight.clone(), Statistics(10, {"sqnorm": norms.square()}), Target(0.5)).weight
    assert result.tolist() == [[0, 1, -2, 0], [0, -1, 1, 0]]


def test_global_ranking_reaches_the_total_and_respects_the_cap():
    weights = {"small": torch.randn(10, 10) * 0.01, "large": torch.randn(20, 10), "mid": torch.randn(10, 10)}
    sizes = {name: weight.numel() for name, weight in weights.items()}
    counts = global_counts(sizes, lambda name: weights[name].abs(), 0.5, 0.95)
    assert sum(counts.values()) == 200
    assert counts["small"] == 95
    uncapped = global_counts(sizes, lambda name: weights[name].abs(), 0.5, 0.9999)
    together = torch.cat([w.abs().flatten() for w in weights.values()]).sort().values[199]
    assert all(abs(uncapped[n] - int((w.abs() <= together).sum())) <= 1 for n, w in weights.items())


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((128, 1032), "Groups of 64 do not divide the 1032 inputs of down; choose 0, the whole row."),
        ((96, 160), "Groups of 64 do not divide the 96 inputs of down; choose 16, 32 or 0, the whole row."),
    ],
)
def test_valid_group_sizes_are_named(widths, message):
    linears = [SimpleNamespace(name="down", shape=(4, width)) for width in widths]
    with pytest.raises(UserError) as error:
        check_groups(linears, 64)
    assert str(error.value) == message
    check_groups(linears, 0)
