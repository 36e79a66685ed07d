"""The pruning ratio of each linear if only the total ratio is requested."""

import random

import pytest
import torch

from core.amount import Amount, Ratio
from core.base.errors import UserError
from core.methods.numerics.levels import moved_counts
from core.methods.unstructured.allocation import OUTLIER, spread_shares
from core.models.parts.blocks import find_blocks
from core.request.stages import build_stage
from tests.core.contract.ground import linears
from tests.core.engine.applied import CALIBRATION, inputs_of, shrunk
from tests.core.tiny import tiny, windows


def pruned(method, model=None, ratio=0.6, **settings):
    """Return a pruned model of four blocks, and by name the share of zeros in each of its linears."""
    model = model or tiny(num_hidden_layers=4)
    shrunk(model, method, ratio, **settings)
    return model, {linear.name: (linear.weight == 0).double().mean().item() for linear in linears(model)}


def of_blocks(model):
    return [
        sum(int((linear.weight == 0).sum()) for linear in members) / sum(linear.weight.numel() for linear in members)
        for members in (find_blocks(model).linears(index) for index in range(4))
    ]


@pytest.mark.parametrize("allocation", ["owl", "sensitivity"])
def test_linears_share_the_ratio_of_their_block_within_the_spread(allocation):
    model, shares = pruned("wanda", allocation=allocation, spread=0.05)
    for index, share in enumerate(of_blocks(model)):
        for linear in find_blocks(model).linears(index):
            assert shares[linear.name] == pytest.approx(share, abs=0.01)
    assert max(of_blocks(model)) - min(of_blocks(model)) == pytest.approx(0.1, abs=0.01)


def test_owl_counts_scores_above_a_multiple_of_the_block_mean():
    model = tiny(num_hidden_layers=4)
    inputs = inputs_of(model, linears(model), windows())
    found = {}
    for index in range(4):
        score = torch.cat(
            [
                (linear.weight.abs() * inputs[linear.name].norm(dim=0)).flatten()
                for linear in find_blocks(model).linears(index)
            ]
        )
        found[index] = (score > OUTLIER * score.mean()).double().mean().item()
    by_hand = spread_shares(found, 0.6, 0.08)
    off = 0.6 - sum(by_hand.values()) / 4  # all blocks are of one size
    got = of_blocks(pruned("wanda", allocation="owl")[0])
    assert got == pytest.approx([share + off for share in by_hand.values()], abs=1e-3)


def test_global_sparsegpt_ranks_the_error_of_each_single_weight():
    """w^2 / (H^-1)_jj is the rise of the error if a weight is removed and the others of its row compensate."""
    model = tiny(num_hidden_layers=4)
    inputs = inputs_of(model, linears(model), windows())
    scores = {}
    for linear in linears(model):
        rows = inputs[linear.name].double()
        hessian = rows.T @ rows
        hessian += 0.01 * hessian.diagonal().mean() * torch.eye(len(hessian))
        scores[linear.name] = linear.weight.double() ** 2 / torch.linalg.inv(hessian).diagonal()
    joint = torch.cat([score.flatten() for score in scores.values()])
    threshold = joint.kthvalue(round(0.5 * len(joint))).values
    _, shares = pruned("sparsegpt", ratio=0.5, allocation="global", cap=0.99)
    for name, score in scores.items():
        expected = min((score <= threshold).double().mean().item(), 0.99)
        assert shares[name] == pytest.approx(expected, abs=0.01), name


def test_sensitivity_prunes_the_most_sensitive_block_least():
    model = tiny(num_hidden_layers=4)
    with torch.no_grad():
        for linear in find_blocks(model).linears(1):
            if linear.role in ("o", "down"):
                linear.weight.mul_(8)  # what this block adds weighs more than all others
    blocks = of_blocks(pruned("magnitude", model, allocation="sensitivity")[0])
    assert min(blocks) == blocks[1]


@pytest.mark.parametrize("allocation", ["global", "owl", "sensitivity"])
def test_a_pattern_rejects_allocations(allocation):
    with pytest.raises(UserError, match="nothing to allocate"):
        build_stage("wanda", Amount.parse("2:4"), settings={"allocation": allocation}, calibration=CALIBRATION)


def test_a_scan_needs_a_calibration_window():
    with pytest.raises(UserError, match="at least 2"):
        one = CALIBRATION.model_copy(update={"windows": 1})
        build_stage("wanda", Ratio(0.5), settings={"allocation": "sensitivity"}, calibration=one)


@pytest.mark.parametrize(("allocation", "needed"), [("global", None), ("owl", CALIBRATION)])
def test_only_some_allocations_need_calibration_data(allocation, needed):
    assert build_stage("magnitude", Ratio(0.5), {"allocation": allocation}, CALIBRATION).calibration == needed


def test_shares_are_centred_on_the_ratio():
    assert spread_shares({0: 1.0, 1: 3.0, 2: 2.0}, 0.5, 0.1) == pytest.approx({0: 0.6, 1: 0.4, 2: 0.5})
    assert spread_shares({0: 1.0, 1: 1.0}, 0.5, 0.1) == {0: 0.5, 1: 0.5}


@pytest.mark.matrix(seed=None)
@pytest.mark.parametrize("seed", range(200))
def test_moved_counts_are_exact_and_move_equally(seed):
    draw = random.Random(seed)
    count = draw.randint(1, 20)
    sizes = [draw.randint(1, 4000) for _ in range(count)]
    shares = [draw.random() for _ in range(count)]
    zeros = [draw.choice((0, 0, draw.randint(0, size))) for size in sizes]
    cap = draw.uniform(0.5, 1)
    most = [max(-int(-cap * size // 1), before) for size, before in zip(sizes, zeros, strict=True)]
    total = draw.randint(sum(zeros), max(sum(zeros), sum(int(cap * size) for size in sizes)))
    counts = moved_counts(shares, sizes, zeros, total, cap)
    assert sum(counts) == total
    for size, before, found, limit in zip(sizes, zeros, counts, most, strict=True):
        assert before <= found <= limit + 1 and found <= size
    moves = [
        found / size - share
        for share, size, before, found in zip(shares, sizes, zeros, counts, strict=True)
        if before < found < int(cap * size) and size > 500
    ]
    assert not moves or max(moves) - min(moves) < 2 / 500
