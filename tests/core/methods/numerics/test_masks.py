"""Exact counts of magnitude and Wanda, patterns, global ranking."""

import pytest
import torch

from core.methods.linear import Statistics, Target
from core.methods.numerics.masks import global_counts, pattern_mask, smallest_mask
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.wanda import Wanda


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
