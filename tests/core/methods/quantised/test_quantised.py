"""Rounding to a few bits: grids, GPTQ's sweep and HQQ's solver against what follows from their definitions."""

from itertools import product

import pytest
import torch

from core.amount import Amount, Bits, Ratio
from core.base.errors import UserError
from core.evaluation.footprint import packed_bits
from core.methods.find import CLIP_OF, CLIP_POWER, CLIP_STEPS, find_grid, grid_between
from core.methods.linear import Statistics, Target
from core.methods.numerics.hessian import factorise
from core.methods.quantised.base import BITS
from core.methods.quantised.gptq import GPTQ, MixedGPTQ, allocate_bits
from core.methods.quantised.hqq import GIVEN_BACK, HQQ, fitted
from core.methods.quantised.rtn import RTN
from core.models.facts import load_shape
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import grid_of
from core.models.sources import identify
from core.notation.chain import format_chain, parse
from core.notation.short import series_name
from core.registry import build_method
from core.request.stages import DEFAULT_MODEL, build_stage
from core.specs import TextWindows
from tests.core.engine.applied import compress
from tests.core.methods.linear import GROUP, INPUTS, ROWS, loss
from tests.core.tiny import tiny, windows


def gptq(weight, gram, bits=4, zeros=None, **settings):
    method = GPTQ(GPTQ.parse_parameters({"group_size": GROUP, "order": "none", **settings}))
    return method.compress(weight.clone(), Statistics(600, {"gram": gram}), Target(0.75, bits=bits, zeros=zeros))


def rtn(weight, bits=4, **settings):
    return without_text(RTN, weight, bits, **settings)


def without_text(method, weight, bits, **settings):
    made = method(method.parse_parameters({"group_size": GROUP, **settings}))
    return made.compress(weight.clone(), Statistics(0, {}), Target(0.75, bits=bits))


@pytest.mark.parametrize("bits", RTN.bit_choices)
@pytest.mark.parametrize(("symmetric", "rule"), [(True, "signed"), (True, "range"), (False, "signed")])
def test_a_weight_is_at_most_half_a_step_from_its_grid(weight, bits, symmetric, rule):
    grid = find_grid(weight, bits, GROUP, symmetric, rule=rule)
    codes = grid.codes(weight)
    assert codes.min() >= grid.lowest and codes.max() < grid.lowest + 2**bits
    step = grid.scale.abs().repeat_interleave(GROUP, 1)
    # The end of the rule `range` lies half a step beyond the last code. It is a whole step at the end that a signed
    # scale does not fit, and at the ends that an integer zero point moves. 16 bits round the scale.
    last = grid.lowest + 2**bits - 1
    far = codes == last if symmetric else (codes == last) | (codes == grid.lowest)
    far &= rule == "signed"
    bound = torch.where(far, 1.0, 0.5) * step * (1 + 2**bits * 1e-3)
    assert ((grid.weight(codes) - weight).abs() <= bound).all()
    assert not grid.nearest(torch.zeros_like(weight)).any()  # 0 is a code


def test_scales_are_representable_in_16_bits(weight):
    grid = find_grid(weight, 4, GROUP, symmetric=False)
    assert torch.equal(grid.scale, grid.scale.half().float()) and torch.equal(grid.zero, grid.zero.round())


@pytest.mark.parametrize("bits", RTN.bit_choices)
def test_a_symmetric_range_uses_the_full_code_range(weight, bits):
    """So that as many are rounded away from 0 as towards it, and the weights keep their size on the whole."""
    groups = weight.unflatten(1, (-1, GROUP))
    codes = find_grid(weight, bits, GROUP, rule="range").codes(weight).unflatten(1, (-1, GROUP))
    place = groups.abs().argmax(-1, keepdim=True)
    end = torch.where(groups.gather(-1, place) < 0, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert torch.equal(codes.gather(-1, place).int(), end.int())


@pytest.mark.parametrize("bits", RTN.bit_choices)
def test_a_signed_scale_gives_the_largest_weight_the_lowest_code(weight, bits):
    groups = weight.unflatten(1, (-1, GROUP))
    grid = find_grid(weight, bits, GROUP)
    codes = grid.codes(weight).unflatten(1, (-1, GROUP))
    place = groups.abs().argmax(-1, keepdim=True)
    largest = groups.gather(-1, place)[..., 0]
    assert (codes.gather(-1, place) == grid.lowest).all()
    assert torch.equal(grid.scale, (-largest / 2 ** (bits - 1)).half().float()) and (grid.scale < 0).any()


def test_rows_of_earlier_versions_keep_their_meaning():
    """Versions before signed scales had the rule `range`; asymmetric grids and plain SparseGPT are as they were."""
    text = TextWindows.parse("any:8x24")
    now = {
        "rtn@4bit": build_stage("rtn"),
        "rtn@4bit,symmetric=false": build_stage("rtn", settings={"symmetric": False}),
        "gptq@4bit": build_stage("gptq", calibration=text),
        "awq@4bit": build_stage("awq", calibration=text),
        "autoround@4bit": build_stage("autoround", calibration=text),
        "sparsegpt@0.5": build_stage("sparsegpt", Ratio(0.5), calibration=text),
        "sparsegpt@0.5,bits=4": build_stage("sparsegpt", Ratio(0.5), settings={"bits": 4}, calibration=text),
    }
    assert [stage.version for stage in now.values()] == [3, 2, 4, 2, 2, 1, 2]
    assert [format_chain((stage,)) for stage in now.values()] == list(now)
    before = {name: stage.model_copy(update={"version": stage.version - 1}) for name, stage in now.items()}
    symmetric = {"rtn@4bit", "gptq@4bit", "awq@4bit", "autoround@4bit", "sparsegpt@0.5,bits=4"}
    assert {name for name, stage in before.items() if "grid=range" in format_chain((stage,))} == symmetric
    assert format_chain((before["rtn@4bit"],)) == "rtn@4bit,grid=range"
    assert series_name((before["gptq@4bit"],)) == "GPTQ (grid range)"
    assert build_stage("rtn", settings={"grid": "range"}) == before["rtn@4bit"]
    assert [build_method(made["rtn@4bit"]).parameters.grid for made in (before, now)] == ["range", "signed"]
    asymmetric = now["rtn@4bit,symmetric=false"]
    assert build_stage("rtn", settings={"symmetric": False, "grid": "range"}) == asymmetric


SPREADS = {
    "normal": lambda weight: weight,
    "outliers": lambda weight: weight / torch.rand(ROWS, INPUTS, generator=torch.Generator().manual_seed(0)),
    "positive": torch.abs,
    "constant": lambda weight: torch.full_like(weight, 0.3),
    "with zero rows": lambda weight: weight * (torch.arange(ROWS) % 2)[:, None],
    "tiny": lambda weight: weight * 1e-6,
    "large": lambda weight: weight * 1e3,
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("symmetric", "rule"), [(True, "signed"), (True, "range"), (False, "signed")])
def test_clipping_finds_the_best_of_all_ranges(weight, spread, bits, symmetric, rule):
    spread_out = SPREADS[spread](weight)
    grid = find_grid(spread_out, bits, GROUP, symmetric, clip=True, rule=rule)
    scale, zero = clipped_by_all(spread_out, bits, GROUP, symmetric, rule)
    assert torch.equal(grid.scale, scale)
    assert symmetric or torch.equal(grid.zero, zero)


@pytest.mark.parametrize("symmetric", [True, False])
def test_clipping_finds_the_same_grid_in_parts_of_a_weight(weight, symmetric, monkeypatch):
    whole = find_grid(weight, 3, GROUP, symmetric, clip=True)
    monkeypatch.setattr("core.methods.find.AT_ONCE", 3 * INPUTS)
    parts = find_grid(weight, 3, GROUP, symmetric, clip=True)
    assert torch.equal(parts.scale, whole.scale)
    assert symmetric or torch.equal(parts.zero, whole.zero)


def test_errors_of_the_sweep_add_up_to_the_loss(weight, gram):
    """With H = X X^T + damping: sum of ((w - q) / U_jj)^2 over the sweep is tr((W - Q) H (W - Q)^T)."""
    damped = gram + 0.01 * gram.diagonal().mean() * torch.eye(INPUTS)
    upper = factorise(gram, 0.01).upper
    found = gptq(weight, gram, 4)
    current, total = weight.double().clone(), 0.0
    for j in range(INPUTS):
        error = (current[:, j] - found.weight[:, j].double()) / upper[j, j].double()
        total += float(error.square().sum())
        current[:, j:] -= error[:, None] * upper[j, j:].double()
    assert total == pytest.approx(loss(damped, weight, found.weight), rel=1e-3)


def test_without_correlations_gptq_is_rounding_to_nearest(weight):
    torch.testing.assert_close(gptq(weight, torch.eye(INPUTS)).weight, rtn(weight).weight)


@pytest.mark.parametrize("bits", [3, 4])
def test_hqq_returns_weights_on_a_grid_with_a_float_minimum(bits):
    draw = torch.Generator().manual_seed(3)
    codes = torch.randint(0, 2**bits, (ROWS, INPUTS), generator=draw).float().unflatten(1, (-1, GROUP))
    codes[..., 0], codes[..., 1] = 0, 2**bits - 1  # the whole range is used
    scale = torch.rand(ROWS, INPUTS // GROUP, 1, generator=draw).half().float() + 0.5
    weight = ((codes - 1.37) * scale).flatten(1)  # 1.37 is no whole number
    rounded = without_text(HQQ, weight, bits)
    torch.testing.assert_close(rounded.weight, weight, atol=1e-2, rtol=0)  # 16 bits round scale and zero
    assert rounded.note == GIVEN_BACK
    assert without_text(HQQ, weight, bits, group_size=INPUTS).note is None


def test_hqq_never_increases_the_weight_error(weight):
    start, end = (fitted(weight, 3, GROUP, 0.7, iterations) for iterations in (0, 20))
    assert (end.nearest(weight) - weight).abs().mean() < (start.nearest(weight) - weight).abs().mean()


def test_packed_bits_count_codes_scales_and_zeros(weight):
    groups = ROWS * INPUTS // GROUP
    symmetric, other = (find_grid(weight, 4, GROUP, symmetric=one) for one in (True, False))
    dense = torch.ones_like(weight)
    assert packed_bits(dense, grid=symmetric) == 4 * dense.numel() + 16 * groups
    assert packed_bits(dense, grid=other) == 4 * dense.numel() + (16 + 4) * groups
    assert packed_bits(dense, grid=fitted(weight, 4, GROUP, 0.7, 1)) == 4 * dense.numel() + 32 * groups
    sparse = dense.clone()
    sparse[:, ::2] = 0  # 1 bit a weight and 4 a kept one
    assert packed_bits(sparse, grid=symmetric) == 3 * dense.numel() + 16 * groups


def test_amounts_of_rtn_are_bits():
    assert (build_stage("rtn").amount, build_stage("rtn").ratio) == (Bits(4), 0.75)
    with pytest.raises(UserError, match="RTN takes no ratio; give bits per weight, such as rtn@4bit"):
        build_stage("rtn", Ratio(0.5))
    with pytest.raises(UserError, match="'5bit' is not an amount of rtn; give 2bit, 3bit, 4bit, 6bit or 8bit"):
        build_stage("rtn", Amount.parse("5bit"))


LOSSES = {"a": [0.4, 0.1, 0.03, 0.001], "b": [0.5, 0.12, 0.03, 0.001], "c": [0.02, 0.01, 0.009, 0.001]}
SIZES = {"a": 100, "b": 100, "c": 300}


@pytest.mark.parametrize("mean", [2.3, 3.0, 3.5, 5.0, 7.9])
def test_mean_bits_are_met_with_nearly_the_smallest_error(mean):
    total = sum(SIZES.values())

    def bits(choice):
        return sum(SIZES[name] * width for name, width in choice.items()) / total

    def lost(choice):
        return sum(LOSSES[name][BITS.index(width)] for name, width in choice.items())

    found = allocate_bits(LOSSES, SIZES, BITS, mean)
    every = [dict(zip(LOSSES, widths, strict=True)) for widths in product(BITS, repeat=3)]
    best = min(lost(choice) for choice in every if bits(choice) <= mean)
    assert bits(found) <= mean and lost(found) <= best + 0.02 * sum(losses[0] for losses in LOSSES.values())


def test_bits_are_chosen_by_the_empirical_fisher_error(weight):
    draw = torch.Generator().manual_seed(5)
    gradients = torch.randn(3, *weight.shape, generator=draw)
    losses = MixedGPTQ(GPTQ.parse_parameters({"group_size": GROUP})).accumulator()
    for gradient in gradients:
        losses.add(weight, gradient)
    for bits, found in zip(BITS, losses.tensors()["losses"].tolist(), strict=True):
        changed = (find_grid(weight, bits, GROUP).nearest(weight) - weight).double()
        fisher = torch.einsum("sij,sik->ijk", gradients.double(), gradients.double())  # (out, in, in): a row's own
        assert found == pytest.approx(torch.einsum("ij,ijk,ik->", changed, fisher, changed).item(), rel=1e-5)


def test_mean_bits_add_the_cost_of_gradients():
    shape, text = load_shape(identify(DEFAULT_MODEL)), TextWindows.parse("c4-sample:16x2048")
    plain, mixed = (
        build_method(build_stage("gptq", Amount.from_columns(None, bits), calibration=text))
        for bits in ("3bit", "3.5bit")
    )
    assert type(plain) is GPTQ and type(mixed) is MixedGPTQ
    assert mixed.cost(shape, text) > plain.cost(shape, text) + 2 * shape.forward(16 * 2048, 2048)
    assert mixed.memory(shape, text, 4) > 4 * shape.block_weights


@pytest.mark.matrix(mean=None)
@pytest.mark.parametrize("mean", ["3.5bit", "2.25bit", "6bit"])
def test_gptq_chooses_and_reports_bits_per_linear(mean):
    model = tiny()
    stage = build_stage("gptq", Amount.from_columns(None, mean), {"group_size": 16}, TextWindows.parse("any:4x24"))
    reports = compress(model, stage, windows())
    grids = {linear.name: grid_of(linear.module).bits for linear in find_blocks(model).all_linears()}
    assert {report.name: report.bits for report in reports} == grids and len(set(grids.values())) > 1
    weights = [linear.weight.numel() for linear in find_blocks(model).all_linears()]
    reached = sum(bits * size for bits, size in zip(grids.values(), weights, strict=True)) / sum(weights)
    asked = float(mean.removesuffix("bit"))
    assert asked - 0.5 <= reached <= asked  # the largest linear is an eighth of the weights


def test_mean_bits_have_one_spelling_and_valid_bounds():
    for text in ("3.50bit", "1.5bit", "8.5bit", "3.bit", "2.0bit"):
        with pytest.raises(UserError, match=r"is not an amount of gptq; give .*mean between them, such as 3.5bit"):
            parse(f"gptq@{text}")
    with pytest.raises(UserError, match=r"'3.5bit' is not an amount of hqq"):
        build_stage("hqq", Amount.parse("3.5bit"))


def clipped_by_all(weight, bits, group, symmetric, rule="signed"):
    """Return scales and zero points, (out, groups), of the ranges of a weight (out, in) with the least error."""
    groups = weight.unflatten(1, (-1, group))  # (out, groups, group)
    low, high = groups.amin(-1).clamp_max(0), groups.amax(-1).clamp_min(0)  # (out, groups)
    least = torch.full_like(low, float("inf"))
    scale, zero = torch.empty_like(low), torch.empty_like(low)
    for step in range(CLIP_STEPS):
        share = 1 - step / CLIP_OF
        grid = grid_between(share * low, share * high, bits, group, symmetric, rule)
        error = (grid.nearest(weight) - weight).abs().pow(CLIP_POWER)  # (out, in)
        error = error.unflatten(1, (-1, group)).sum(-1)  # (out, groups)
        better = error < least
        least, scale = torch.where(better, error, least), torch.where(better, grid.scale, scale)
        zero = zero if grid.zero is None else torch.where(better, grid.zero, zero)
    return scale, None if symmetric else zero
