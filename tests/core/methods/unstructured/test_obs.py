"""OBS against brute force, and what makes it fast against what that must not change."""

import itertools
from functools import partial

import pytest
import torch

from core.base.errors import UserError
from core.methods.linear import Statistics, Target
from core.methods.unstructured.obs import OBS, WORK_BYTES, OBSParameters
from core.methods.unstructured.sparsegpt import SparseGPT
from core.methods.unstructured.surgeon import prune, remove, settle
from core.models.shape import shape_from_config
from core.specs import TextWindows
from tests.core.methods import linear
from tests.core.methods.linear import masked_solution, row_losses

ROWS, COLUMNS = 12, 24


drawn = partial(linear.drawn, dtype=torch.float64)


def hessian_of(columns=COLUMNS):
    """H (in, in) of inputs that hang together and differ in size."""
    inputs = drawn(400, columns) @ drawn(columns, columns, seed=1) * torch.linspace(0.2, 3, columns)
    return inputs.T @ inputs


@pytest.fixture
def hessian():
    return hessian_of()


@pytest.fixture
def weight():
    # Rows of different sizes, so that they lose very different shares.
    return drawn(ROWS, COLUMNS, seed=2) * torch.linspace(0.3, 3, ROWS)[:, None]


def pruned(weight, hessian, ratio=0.5, zeros=None, pattern=None, block=1, **how):
    zeros = torch.zeros_like(weight, dtype=torch.bool) if zeros is None else zeros
    how = {"work": WORK_BYTES} | how
    return prune(weight, torch.linalg.inv(hessian), zeros, ratio, pattern, block, **how)


@pytest.mark.parametrize("block", [1, 2])
def test_every_removal_is_the_best_one_by_brute_force(block):
    hessian, dense = hessian_of(8), drawn(3, 8, seed=3)
    places = [range(start, start + block) for start in range(0, 8, block)]
    order, rises = remove(dense, torch.linalg.inv(hessian), torch.zeros(3, 8, dtype=torch.bool), len(places), block)
    for row in range(3):
        bare, known = torch.zeros(8, dtype=torch.bool), 0.0
        for place, rise in zip(order[row].tolist(), rises[row].tolist(), strict=True):
            after = {}
            for other, span in enumerate(places):
                tried = bare.clone()
                tried[list(span)] = True
                if not bare[list(span)].any():
                    gap = masked_solution(dense[row][None], hessian, tried[None])[0] - dense[row]
                    after[other] = float(gap @ hessian @ gap)
            assert place == min(after, key=after.__getitem__)
            assert rise == pytest.approx(after[place] - known, rel=1e-8)
            known = after[place]
            bare[list(places[place])] = True


def test_rows_equal_the_exact_masked_solutions(weight, hessian):
    bare = torch.rand(ROWS, COLUMNS, generator=torch.Generator().manual_seed(5)) < torch.linspace(0, 1, ROWS)[:, None]
    bare[0], bare[-1] = False, True
    settled = settle(weight, torch.linalg.inv(hessian), bare)
    torch.testing.assert_close(settled, masked_solution(weight, hessian, bare))
    assert torch.equal(settled[0], weight[0]) and not settled[bare].any()


def all_rows_to_the_end(weight, hessian, wanted):
    """The rule of the paper on whole traces: of all rows the cheapest removals, each row's in order."""
    inverse, counts = torch.linalg.inv(hessian), [0] * len(weight)
    order, rises = remove(weight, inverse, torch.zeros_like(weight, dtype=torch.bool), weight.shape[1])
    dear = rises.cummax(1).values
    for _ in range(wanted):
        open_rows = [row for row in range(len(weight)) if counts[row] < weight.shape[1]]
        counts[min(open_rows, key=lambda row: dear[row, counts[row]])] += 1
    bare = torch.zeros_like(weight, dtype=torch.bool)
    for row, count in enumerate(counts):
        bare[row, order[row, :count]] = True
    return bare


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.7, 0.95])
def test_bounds_and_batches_do_not_change_the_result(weight, hessian, ratio):
    expected = all_rows_to_the_end(weight, hessian, round(ratio * weight.numel()))
    assert expected.sum(1).max() > 1.2 * expected.sum(1).min()
    for first, work in itertools.product((0.3, 1.0, 1.25, 100.0), (1, 20_000, WORK_BYTES)):
        made, bare = pruned(weight, hessian, ratio, first=first, work=work)
        assert torch.equal(bare, expected), (first, work)
        torch.testing.assert_close(made, settle(weight, torch.linalg.inv(hessian), expected))


def test_a_pattern_removes_the_cheapest_weight_of_open_groups(hessian, weight):
    inverse, none = torch.linalg.inv(hessian), torch.zeros_like(weight, dtype=torch.bool)
    order, rises = remove(weight, inverse, none, COLUMNS // 2 + 1, pattern=(2, 4))
    assert (order[:, -1] == COLUMNS).all() and rises[:, -1].isinf().all()  # every group is full by then
    for row in range(ROWS):
        bare, known = none[row].clone(), 0.0
        for place in order[row, :-1].tolist():
            after = {}
            for other in range(COLUMNS):
                if not bare[other] and bare[other // 4 * 4 :][:4].sum() < 2:
                    tried = bare.clone()
                    tried[other] = True
                    after[other] = float(
                        row_losses(masked_solution(weight[row][None], hessian, tried[None]), weight[row], hessian)
                    )
            assert place == min(after, key=after.__getitem__)
            bare[place], known = True, after[place]
        assert float(rises[row, :-1].sum()) == pytest.approx(known)


def test_as_many_whole_blocks_as_fit_are_removed(weight, hessian):
    _, bare = pruned(weight, hessian, 0.51, block=4)
    whole = bare.unflatten(1, (-1, 4)).sum(2)
    assert set(whole.unique().tolist()) == {0, 4}
    assert bare.sum() == round(0.51 * weight.numel()) // 4 * 4


@pytest.mark.parametrize("block", [1, 4])
def test_removal_continues_from_earlier_zeros(weight, hessian, block):
    """Zeros in very different numbers a row, two rows full of them; blocks may be begun."""
    zeros = torch.rand(ROWS, COLUMNS, generator=torch.Generator().manual_seed(6)) < 0.4
    zeros[0], zeros[1] = True, False
    masked = weight.masked_fill(zeros, 0)
    total = round(0.7 * weight.numel())
    made, bare = pruned(masked, hessian, 0.7, zeros=zeros, block=block)
    assert bare[zeros].all() and not made[bare].any()
    assert total - block < bare.sum() <= total
    kept = ~zeros
    for row in range(1, ROWS):  # as if the inputs of the removed weights had never existed
        best = torch.zeros_like(masked[row])
        free, still = kept[row], bare[row][kept[row]]
        inner = hessian[free][:, free]
        best[free] = masked_solution(masked[row][free][None], inner, still[None])[0]
        torch.testing.assert_close(made[row], best)
    same, stay = pruned(masked, hessian, 0.2, zeros=zeros)
    assert torch.equal(same, masked) and torch.equal(stay, zeros)


def test_patterns_preserve_and_count_earlier_zeros(weight, hessian):
    zeros = torch.rand(ROWS, COLUMNS, generator=torch.Generator().manual_seed(7)) < 0.4
    made, bare = pruned(weight.masked_fill(zeros, 0), hessian, 0.5, zeros=zeros, pattern=(2, 4))
    assert bare[zeros].all() and not made[bare].any()
    assert torch.equal(bare.unflatten(1, (-1, 4)).sum(2), zeros.unflatten(1, (-1, 4)).sum(2).clamp_min(2))


@pytest.mark.parametrize("tokens", [4, 20, 400])
@pytest.mark.parametrize("damping", [1e-6, 0.01])
def test_single_and_double_precision_choose_the_same_weights(tokens, damping):
    """Inputs that do not suffice and a column a thousand times as large: the loss of what is chosen is the same."""
    inputs = drawn(tokens, 48) @ drawn(48, 48, seed=1)
    inputs[:, 7] *= 1000
    gram, dense = inputs.T @ inputs, drawn(16, 48, seed=2)
    hessian = gram + damping * gram.diagonal().mean() * torch.eye(48)
    method = OBS(OBSParameters(damping=damping))
    found = method.compress(dense.float(), Statistics(tokens, {"gram": gram.float()}), Target(0.5))
    made, _ = pruned(dense, hessian)
    assert found.weight.isfinite().all() and found.zeros.sum() == 0.5 * dense.numel()
    ours, best = (row_losses(one.double(), dense, hessian).sum() for one in (found.weight, made))
    assert ours == pytest.approx(float(best), rel=1e-3)


def test_cost_matches_the_measured_hour_and_is_quadratic_in_inputs():
    """116 s a block of 576 and 1536 inputs, on two cores of 30e9 operations per second."""
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
    config = {"model_type": "llama", "vocab_size": 49152, "num_key_value_heads": 3} | sizes
    text = TextWindows(corpus="any", windows=4, window=2048)

    def seconds(config):
        facts = shape_from_config(config)
        assert OBS().memory(facts, text, 4) > SparseGPT().memory(facts, text, 4)
        return (OBS().cost(facts, text) - SparseGPT().cost(facts, text)) / 60e9

    assert seconds(config) == pytest.approx(30 * 116, rel=0.25)
    wide = {name: 8 * size if name in ("hidden_size", "intermediate_size") else size for name, size in config.items()}
    assert 8**3.5 < seconds(wide) / seconds(config) < 8**4


def test_invalid_blocks_are_rejected():
    class Linear:
        name, shape = "model.layers.0.q_proj", (4, 24)

    with pytest.raises(UserError, match=r"Blocks of 5 do not divide the 24 inputs of model\.layers\.0\.q_proj"):
        OBS(OBSParameters(block=5)).plan([Linear], Target(0.5), {})
    with pytest.raises(UserError, match="remove block = 4"):
        OBS(OBSParameters(block=4)).plan([Linear], Target(0.5, (2, 4)), {})
