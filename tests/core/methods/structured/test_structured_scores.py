"""Scores of structured methods against the same sums over stored activations, gradients and real adapters."""

from itertools import pairwise

import pytest
import torch

from core.context import Context
from core.engine.walking.observe import gather_gradients
from core.methods.linear import Statistics
from core.methods.numerics.hessian import nonzero, truncate
from core.methods.structured import lorap
from core.methods.structured.base import StructuredBlockView, keep_heads
from core.methods.structured.correlation import choose_units, contributions, fidelity, regress
from core.methods.structured.flap import FLAP
from core.methods.structured.gradients import Moments, element_scores, total, unit_scores
from core.methods.structured.hywia import HyWIA, HyWIAParameters
from core.methods.structured.lorap import LoRAP, split_ranks
from core.methods.structured.loraprune import DECAY, LoRAPrune
from core.methods.structured.slimllm import SlimLLM, SlimLLMParameters, channel_scores
from core.models.parts.blocks import find_blocks
from core.models.removal.geometry import Geometry
from core.models.removal.units import find_units
from tests.core.tiny import tiny, windows


@pytest.fixture
def layer():
    """Activations (tokens, 24) with means and correlations, a weight (10, 24), and the inputs' covariance."""
    generator = torch.Generator().manual_seed(5)
    mixing = torch.randn(24, 24, generator=generator, dtype=torch.float64)
    inputs = torch.randn(300, 24, generator=generator, dtype=torch.float64) @ mixing + mixing[0]
    weight = torch.randn(10, 24, generator=generator, dtype=torch.float64)
    return inputs, weight, inputs.T.cov(correction=0)


def outputs_of(inputs, weight, kept, units):
    """What the kept units add to the output, (tokens, out)."""
    width = inputs.shape[1] // units
    mask = torch.zeros(units, dtype=torch.float64)
    mask[kept] = 1
    return (inputs * mask.repeat_interleave(width)) @ weight.T


def correlation(inputs, weight, kept, units):
    """Sum of |Pearson correlation| over output channels, from the outputs themselves."""
    part, whole = outputs_of(inputs, weight, kept, units), inputs @ weight.T
    pairs = [torch.corrcoef(torch.stack([part[:, c], whole[:, c]]))[0, 1].abs() for c in range(len(weight))]
    return torch.stack(pairs).sum().item()


@pytest.mark.parametrize("kept", [[0], [1, 3], [0, 1, 2, 3], [0, 1, 2, 4, 5]])
def test_correlation_is_that_of_the_outputs(layer, kept):
    inputs, weight, covariance = layer
    parts = contributions(weight, covariance, 6)
    mask = torch.zeros(6, dtype=torch.bool)
    mask[kept] = True
    assert fidelity(parts, mask) == pytest.approx(correlation(inputs, weight, kept, 6), rel=1e-9)


def brute_force(inputs, weight, units, count, greedy):
    """The heads that the authors' procedure keeps, on stored outputs."""
    everything = list(range(units))

    def score(kept):
        return correlation(inputs, weight, sorted(kept), units)

    order = sorted(everything, key=lambda u: -score([k for k in everything if k != u]))
    removed = order[:count]
    kept = [u for u in everything if u not in removed]
    if greedy:
        best = score(kept)
        for unit in removed:
            swaps = [(score([k for k in kept if k != other] + [unit]), other) for other in kept]
            reached, other = max(swaps)
            if reached > best:
                best = reached
                kept = [k for k in kept if k != other] + [unit]
    return sorted(kept)


@pytest.mark.matrix(seed=None, greedy=bool)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("greedy", [False, True])
def test_kept_heads_match_the_search_on_stored_outputs(layer, seed, greedy):
    inputs, weight, covariance = layer
    weight = weight + torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    parts = contributions(weight, covariance, 6)
    for count in (1, 2, 3, 4):
        kept = choose_units(parts, [list(range(6))], count, greedy)
        assert kept.tolist() == brute_force(inputs, weight, 6, count, greedy)


def test_search_improves_and_swaps_only_within_a_group(layer):
    _, weight, covariance = layer
    gains = 0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        other = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        parts = contributions(other, covariance, 6)
        plain, searched = (choose_units(parts, [[0, 1, 2], [3, 4, 5]], 1, greedy) for greedy in (False, True))
        masks = [torch.zeros(6, dtype=torch.bool).index_fill(0, kept, True) for kept in (plain, searched)]
        assert [int(m[:3].sum()) for m in masks] == [2, 2]
        assert fidelity(parts, masks[1]) >= fidelity(parts, masks[0])
        gains += fidelity(parts, masks[1]) > fidelity(parts, masks[0])
    assert gains


@pytest.mark.parametrize("scaled", [True, False])
def test_regression_is_least_squares_on_the_outputs(layer, scaled):
    inputs, weight, covariance = layer
    kept = torch.tensor([0, 1, 2, 3, 8, 9, 20])
    scale, bias = regress(weight, covariance, inputs.mean(0), kept, scaled)
    part, whole = inputs[:, kept] @ weight[:, kept].T, inputs @ weight.T
    for c in range(len(weight)):
        if scaled:
            design = torch.stack([part[:, c], torch.ones(len(inputs), dtype=torch.float64)], dim=1)
            a, b = torch.linalg.lstsq(design, whole[:, c]).solution
        else:
            a, b = torch.tensor(1.0, dtype=torch.float64), (whole[:, c] - part[:, c]).mean()
        torch.testing.assert_close(scale[c], a, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(bias[c], b, rtol=1e-8, atol=1e-8)


def test_constant_outputs_do_not_count():
    parts = contributions(torch.zeros(3, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64), 2)
    assert fidelity(parts, torch.tensor([True, False])) == 0
    scale, bias = regress(
        torch.zeros(3, 4).double(), torch.eye(4).double(), torch.ones(4).double(), torch.tensor([0]), True
    )
    assert scale.tolist() == [1, 1, 1]
    assert bias.tolist() == [0, 0, 0]


def observed_view(inputs_by_role):
    view = StructuredBlockView(find_units(find_blocks(tiny()), 0))
    for role, inputs in inputs_by_role.items():
        gram = inputs.T @ inputs
        view.inputs[role] = Statistics(len(inputs), {"sqnorm": gram.diagonal(), "gram": gram, "mean": inputs.mean(0)})
    return view


def test_channel_scores_match_stored_activations():
    generator = torch.Generator().manual_seed(2)
    normed, hidden = torch.randn(200, 32, generator=generator), torch.randn(200, 48, generator=generator) + 0.3
    view = observed_view({"up": normed, "down": hidden})
    down = view.weight("down").double()
    outputs = hidden.double() @ down.T
    centred = outputs - outputs.mean(0)
    variances, directions = torch.linalg.eigh(centred.T @ centred)
    importance = torch.sigmoid(variances / variances.mean())
    for channel in range(48):
        expected = hidden[:, channel].double().norm() * (importance * (directions.T @ down[:, channel])).norm()
        for role in ("gate", "up"):
            expected += (view.weight(role)[channel].double() * normed.double().norm(dim=0)).norm()
        torch.testing.assert_close(channel_scores(view)[channel], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("ratio", "pruned"), [(0.2, 26), (0.5, 30)])
def test_least_changing_blocks_are_pruned_most(ratio, pruned):
    cosines = [0.5 + index / 100 for index in range(32)]
    shares = SlimLLM()._shares(cosines, ratio)
    assert sum(shares) / 32 == pytest.approx(ratio)
    assert sum(share > 0 for share in shares) == pruned
    assert all(low <= high for low, high in pairwise(shares))
    uniform = SlimLLM(SlimLLMParameters(layer_ratio="uniform"))._shares(cosines, ratio)
    assert uniform == [ratio] * 32


def test_lorap_splits_ranks_like_its_published_code():
    sizes = dict.fromkeys("qkvo", (4096, 4096))
    assert split_ranks(sizes, 0.8, 0.75) == {"q": 1228, "k": 1228}
    assert split_ranks(sizes, 0.7, 0.75) == {"q": 819, "k": 819}
    assert split_ranks(sizes, 0.5, 0.75) == {"q": 512, "k": 512, "v": 1536, "o": 1536}


def test_a_weighted_decomposition_is_optimal_for_its_rank():
    generator = torch.Generator().manual_seed(3)
    weight, sqnorm = torch.randn(12, 20, generator=generator), torch.rand(20, generator=generator) * 9
    sqnorm[4] = 0
    left, right = truncate(weight, nonzero(sqnorm.sqrt()), 5)
    assert (left.shape, right.shape) == ((12, 5), (5, 20))
    loss = ((weight - left @ right) * sqnorm.sqrt()).square().sum()
    discarded = torch.linalg.svdvals(weight * sqnorm.sqrt())[5:].square().sum()
    torch.testing.assert_close(loss, discarded, rtol=1e-3, atol=1e-3)


def gather(model, views, tokens):
    """Fill the views with first and second moments of the gradients."""
    accumulators = {linear: Moments(squares=True) for view in views for linear in view.units.linears.values()}
    gather_gradients(model, accumulators, tokens, Context(torch.device("cpu")))
    for view in views:
        view.gradients = {role: accumulators[linear].tensors() for role, linear in view.units.linears.items()}


def test_taylor_scores_use_the_gradient_of_each_window():
    model, tokens = tiny(), windows(3)
    view = StructuredBlockView(find_units(find_blocks(model), 1))
    gather(model, [view], tokens)
    weight = view.units.linears["down"].module.weight
    own = [
        torch.autograd.grad(model(input_ids=w[None], labels=w[None]).loss, weight)[0] for w in tokens
    ]  # each (out, in)
    slope, fisher = torch.stack(own).mean(0), torch.stack(own).square().mean(0)
    moments = view.gradients["down"]
    torch.testing.assert_close(moments["first"], slope)
    torch.testing.assert_close(moments["second"], fisher)
    expected = (weight * slope - weight.square() * fisher / 2).abs().sum(0).detach()
    scores = unit_scores(view, lambda w, m: element_scores(w, m, "mix"))[1]
    torch.testing.assert_close(scores["down"], expected)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_query_heads_are_folded_into_their_key_head():
    model = tiny()
    view = StructuredBlockView(find_units(find_blocks(model), 0, "groups"))
    view.gradients = {role: {"first": torch.ones_like(linear.weight)} for role, linear in view.units.linears.items()}
    plain, strided = (
        unit_scores(view, lambda w, m: element_scores(w, m, "first"), fold=fold)[0]["q"]
        for fold in ("contiguous", "llmpruner")
    )
    rows = view.weight("q").abs().sum(1).view(4, 8).sum(1)  # of each of 4 query heads
    torch.testing.assert_close(plain, rows)
    # Two key heads, two query heads each: the authors' code gives key head 0 the query heads 0 and 2.
    torch.testing.assert_close(strided.view(2, 2).sum(1), torch.stack([rows[0] + rows[2], rows[1] + rows[3]]))


def test_heads_are_removed_by_group_or_evenly():
    queries, keys = torch.tensor([5.0, 1, 2, 2, 0, 9]), torch.tensor([0.0, 0, 0])
    shape = {"hidden": 12, "query_heads": 6, "kv_heads": 3, "head_dim": 2, "channels": 16, "ffn_matrices": 3}
    groups = keep_heads(queries, keys, 1, Geometry(**shape, mode="groups"))
    assert (groups.query_heads.tolist(), groups.kv_heads.tolist()) == ([0, 1, 4, 5], [0, 2])
    even = keep_heads(queries, keys, 1, Geometry(**shape, mode="even"))
    assert (even.query_heads.tolist(), even.kv_heads.tolist()) == ([0, 3, 5], [0, 1, 2])


def hywia_views(count=4):
    model, tokens = tiny(num_hidden_layers=count), windows(3)
    views = [StructuredBlockView(find_units(find_blocks(model), index)) for index in range(count)]
    gather(model, views, tokens)
    return views


def channel_total(view, taylor):
    return total(unit_scores(view, lambda w, m: element_scores(w, m, taylor))[1], ("gate", "up", "down"))


def test_fixed_mixing_interpolates_weight_and_unit_scores():
    views = hywia_views()
    fine = channel_total(views[1], "mix")
    coarse = channel_total(views[1], "vector").abs() + channel_total(views[1], "second") / 2
    for share, raw in ((1.0, fine), (0.0, coarse)):
        method = HyWIA(HyWIAParameters(mixing="fixed", fine_share=share))
        method.allocate(views, 0.2)
        expected = (raw - raw.mean()) / raw.std(correction=0)
        torch.testing.assert_close(views[1].scores["channels"], expected, rtol=1e-4, atol=1e-4)


def test_global_ranking_meets_the_ratio_and_keeps_outer_blocks():
    views = hywia_views(8)
    removals = HyWIA(HyWIAParameters(ranking="global")).allocate(views, 0.3)
    shapes = [view.shape for view in views]
    removed = sum(
        r.steps * s.step_weights + r.channels * s.channel_weights for r, s in zip(removals, shapes, strict=True)
    )
    assert abs(removed - 0.3 * sum(s.weights for s in shapes)) <= shapes[0].step_weights / 2
    assert removals[0].channels == 0 and len({r.channels for r in removals[1:-1]}) > 1


@pytest.fixture
def inputs():
    """What went into each kind of linear, by role, (tokens, in), with means and scales of their own."""
    generator = torch.Generator().manual_seed(7)
    widths = {"up": 32, "o": 32, "down": 48}
    return {
        role: torch.randn(200, width, generator=generator) * torch.rand(width, generator=generator)
        + torch.randn(width, generator=generator)
        for role, width in widths.items()
    }


def view_of(inputs, **config):
    view = StructuredBlockView(find_units(find_blocks(tiny(**config)), 0))
    for role, tokens in inputs.items():
        view.inputs[role] = Statistics(len(tokens), {"sqnorm": tokens.square().sum(0), "mean": tokens.mean(0)})
    return view


def fluctuation(view, inputs, role, column):
    return inputs[role][:, column].var(correction=0) * view.weight(role)[:, column].square().sum()


def test_flap_keeps_fluctuating_channels_and_adds_the_mean_of_others(inputs):
    view = view_of(inputs)
    score = torch.stack([fluctuation(view, inputs, "down", column) for column in range(48)])
    choice = FLAP().channels(view, 20)
    assert choice.channels.tolist() == sorted(score.argsort()[20:].tolist())
    weight = view.weight("down")
    kept = inputs["down"][:, choice.channels] @ weight[:, choice.channels].T
    torch.testing.assert_close(choice.bias, (inputs["down"] @ weight.T - kept).mean(0), rtol=1e-4, atol=1e-5)


def test_flap_keeps_the_heads_with_the_largest_standardised_columns(inputs):
    view = view_of(inputs)  # 4 query heads in 2 groups
    score = torch.stack([fluctuation(view, inputs, "o", column) for column in range(32)]) ** 2
    score = (score - score.mean()) / score.std()
    heads = [score[8 * head : 8 * head + 8].mean().item() for head in range(4)]
    choice = FLAP().heads(view, 1)
    assert choice.query_heads.tolist() == [max((0, 1), key=heads.__getitem__), max((2, 3), key=heads.__getitem__)]
    weight = view.weight("o")
    columns = [8 * head + i for head in choice.query_heads.tolist() for i in range(8)]
    lost = inputs["o"] @ weight.T - inputs["o"][:, columns] @ weight[:, columns].T
    torch.testing.assert_close(choice.bias, lost.mean(0), rtol=1e-4, atol=1e-5)


def test_flap_removes_the_lowest_standardised_scores_of_all_blocks(inputs):
    quiet = {role: tokens * (0.1 if role == "down" else 1.0) for role, tokens in inputs.items()}
    views = [view_of(inputs, seed=1), view_of(quiet, seed=2)]
    for removed in FLAP().allocate(views, 0.3):
        assert removed.channels  # a block whose activations are ten times smaller loses no more for that
    scores = [
        torch.stack([fluctuation(view, own, "down", column) for column in range(48)])
        for view, own in zip(views, (inputs, quiet), strict=True)
    ]
    z = [(score - score.mean()) / score.std() for score in scores]
    counts = [removal.channels for removal in FLAP().allocate(views, 0.3)]
    lowest = [own.sort().values[:count] for own, count in zip(z, counts, strict=True)]
    stay = [own.sort().values[count:] for own, count in zip(z, counts, strict=True)]
    assert torch.cat(lowest).max() <= torch.cat(stay).min()


def test_lorap_scores_channels_by_weighted_row_and_column_norms(inputs):
    view = view_of(inputs)
    before, after = inputs["up"].norm(dim=0), inputs["down"].norm(dim=0)
    for channel, score in enumerate(lorap.channel_scores(view)):
        rows = sum((view.weight(role)[channel] * before).norm() for role in ("gate", "up"))
        torch.testing.assert_close(score, rows + (view.weight("down")[:, channel] * after[channel]).norm())


def test_lorap_always_keeps_1_percent_of_the_channels(inputs):
    generator = torch.Generator().manual_seed(1)
    wide = inputs | {"down": torch.randn(200, 300, generator=generator)}
    view = view_of(wide, intermediate_size=300)
    order = lorap.channel_scores(view).argsort().tolist()
    assert LoRAP().channels(view, 100).channels.tolist() == sorted(order[:3] + order[103:])


def test_loraprune_scores_match_the_gradients_of_an_adapter():
    model, tokens = tiny(), windows(3)
    view, method = StructuredBlockView(find_units(find_blocks(model), 1)), LoRAPrune(seed=4)
    watched = {linear: method.accumulator(view, role) for role, linear in view.units.linears.items()}
    gather_gradients(model, watched, tokens, Context(torch.device("cpu")))
    for linear, accumulator in watched.items():
        down = accumulator.down  # A (8, in), as drawn
        assert down.shape == (8, linear.weight.shape[1]) and down.abs().max() <= linear.weight.shape[1] ** -0.5
        up = torch.zeros(linear.weight.shape[0], 8, requires_grad=True)  # B (out, 8)
        hook = linear.module.register_forward_hook(
            lambda _, args, output, down=down, up=up: output + args[0] @ down.T @ up.T
        )
        average = 0
        for window in tokens:
            loss = model(input_ids=window[None], labels=window[None]).loss
            estimate = torch.autograd.grad(loss, up)[0] @ down  # (out, in)
            score = (estimate * linear.weight).abs().sum(0 if linear.role in ("o", "down") else 1)
            if linear.role in ("q", "k", "v", "o"):
                score = torch.stack([head.sum() for head in score.split(8)])
            average = DECAY * average + (1 - DECAY) * score / score.norm()
        hook.remove()
        torch.testing.assert_close(accumulator.tensors()["score"], average.detach(), rtol=1e-4, atol=1e-6)
