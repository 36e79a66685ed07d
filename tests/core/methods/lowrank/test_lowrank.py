"""Low rank: the losses that the singular values predict, the ranks that meet the ratio, and factors in a model."""

import copy
import itertools

import pytest
import torch

from core.methods.lowrank.base import global_ranks, uniform_ranks
from core.methods.numerics.hessian import lower_factor, spectrum, truncate
from core.models.modeling_slimscope import Factors
from core.models.parts.blocks import find_blocks
from core.registry import METHODS
from tests.core.engine.applied import block_weights, inputs_of, shrunk
from tests.core.tiny import layout_of, tiny, windows

LOW_RANK = [method for method in METHODS if method.family == "low rank"]


def made(outputs=12, inputs=20, tokens=64, seed=0):
    """Return a weight (out, in) and correlated inputs (tokens, in), fp64."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=draw, dtype=torch.float64)
    rows = torch.randn(tokens, inputs, generator=draw, dtype=torch.float64) @ mixing
    return torch.randn(outputs, inputs, generator=draw, dtype=torch.float64), rows


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (16, 16)])
def test_output_error_is_the_sum_of_discarded_squared_values(shape):
    weight, rows = made(*shape)
    scale, note = lower_factor(rows.T @ rows)
    assert note is None
    values = spectrum(weight, scale)
    for rank in (1, 5, 11):
        left, right = truncate(weight, scale, rank)
        assert (left.shape, right.shape) == ((shape[0], rank), (rank, shape[1]))
        loss = (rows @ (weight - left @ right).T).square().sum()
        torch.testing.assert_close(loss, values[rank:].sum(), rtol=1e-9, atol=0)


def test_dependent_inputs_are_factored_with_a_ridge_and_a_note():
    weight, rows = made(tokens=8)  # fewer tokens than inputs
    rows[:, 3] = 0
    scale, note = lower_factor(rows.T @ rows)
    assert note.startswith("inputs not independent, ridge 1e-")
    left, right = truncate(weight, scale, 8)  # as many as the tokens span
    torch.testing.assert_close(rows @ (left @ right).T, rows @ weight.T, rtol=1e-3, atol=1e-3)


def test_global_ranks_have_the_smallest_possible_error():
    shapes = {"a": (6, 6), "b": (5, 8), "c": (8, 4)}
    spectra = {name: spectrum(made(*shape, seed=seed)[0], None) for seed, (name, shape) in enumerate(shapes.items())}
    spectra["b"] = spectra["b"] * torch.tensor([100.0, 0.01, 0.01, 0.01, 0.01])  # all but of rank 1

    def loss(ranks):
        return sum((spectra[n][r:].sum() / spectra[n].sum()).item() for n, r in ranks.items() if r is not None)

    def size(ranks):
        return sum(m * n if (r := ranks[name]) is None else r * (m + n) for name, (m, n) in shapes.items())

    everything = [
        dict(zip(shapes, ranks, strict=True))
        for ranks in itertools.product((None, 1, 2), (None, 1, 2, 3), (None, 1, 2))
    ]
    for ratio in (0.2, 0.3, 0.5):
        budget = (1 - ratio) * sum(m * n for m, n in shapes.values())
        chosen = global_ranks(shapes, spectra, ratio)
        assert size(chosen) <= budget
        best = min(loss(ranks) for ranks in everything if size(ranks) <= budget)
        # The price finds every optimum on the convex hull; between two of them at most one matrix is a step off.
        assert loss(chosen) <= best + 0.12
        assert loss(chosen) <= loss({n: uniform_ranks(shapes, ratio)[n] for n in shapes}) + 1e-9


@pytest.mark.matrix(name=layout_of, method=lambda method: method.name, ranks=str)
@pytest.mark.parametrize("ranks", ["uniform", "global"])
@pytest.mark.parametrize("name", ["llama-gqa", "opt", "gpt2", "phi3"])
@pytest.mark.parametrize("method", LOW_RANK, ids=lambda method: method.name)
def test_factors_replace_linears_and_meet_the_ratio(method, name, ranks):
    model = tiny(name)
    dense = block_weights(model)
    reports = shrunk(model, method.name, ranks=ranks)
    assert abs(1 - block_weights(model) / dense - 0.4) * dense <= 400  # a rank of the largest matrix
    assert any(isinstance(module, Factors) for module in model.modules())
    ranked = [report for report in reports if report.note]
    assert len(reports) == len(list(find_blocks(tiny(name)).all_linears()))
    assert all(report.note.startswith("rank ") and report.sparsity > 0 for report in ranked)
    assert ranks == "global" or len(ranked) == len(reports)


def test_reported_errors_match_the_singular_values():
    model = tiny()
    dense = copy.deepcopy(model)
    reports = {report.name: report for report in shrunk(model, "svd-llm", true_sequential=False)}
    linear = next(linear for linear in find_blocks(dense).all_linears() if linear.role == "up")
    rows = inputs_of(dense, [linear], windows())[linear.name].double()
    values = spectrum(linear.weight.double(), lower_factor(rows.T @ rows)[0])
    rank = int(reports[linear.name].note.removeprefix("rank "))
    assert reports[linear.name].error == pytest.approx((values[rank:].sum() / values.sum()).item(), rel=1e-4)


def test_asvd_with_power_0_is_the_plain_svd():
    plain, scaled = tiny(), tiny()
    shrunk(plain, "svd")
    shrunk(scaled, "asvd", alpha=0.0)
    torch.testing.assert_close(plain(windows()).logits, scaled(windows()).logits, rtol=1e-3, atol=1e-3)
