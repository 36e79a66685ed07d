"""Each method preserves the earlier zeros and patterns that it accepts."""

import copy

import pytest

from core.amount import Ratio
from core.engine.stages import apply
from core.methods.unstructured.wanda import Wanda
from core.models.parts.constraints import constraint_of
from core.registry import METHODS
from core.request.resolve import on_convolutions
from core.request.stages import build_stage, default_amount
from tests.core.contract.ground import Case, cases, linears, type_of

pytestmark = pytest.mark.matrix(case=type_of)

# Not those of experts, which the ground lacks; `tests/core/methods/structured/test_expert_removal.py` has their zeros.
AMOUNTS = [
    case
    for case in cases(METHODS)
    if case.method.takes_amount and not on_convolutions(case.method) and case.method.kind != "experts"
]
SHARE = 0.7  # of the dense model's weights, removed after the second stage


def followed(ground, first, case):
    """Return the model after `first` and a case, and its zeros before the case by name."""
    model = copy.deepcopy(first.model)
    zeros = {linear.name: linear.zeros for linear in linears(model)}
    default = default_amount(case.method)
    amount = Ratio(SHARE) if isinstance(default, Ratio) else default
    stage = build_stage(case.method.name, amount, settings=case.all_settings, calibration=ground.text)
    apply(model, ground.given(stage), ground.context)
    return model, zeros


@pytest.fixture(scope="module")
def sparse(ground):
    return ground.make(Case(Wanda), ratio=0.3)


@pytest.fixture(scope="module")
def patterned(ground):
    return ground.make(Case(Wanda), pattern="2:4")


@pytest.mark.parametrize("case", [case for case in AMOUNTS if "zeros" in case.made.accepts], ids=str)
@pytest.mark.parametrize("first", ["sparse", "patterned"])
def test_zeros_of_remaining_weights_are_preserved(first, case, ground, request):
    model, before = followed(ground, request.getfixturevalue(first), case)
    for linear in linears(model):
        assert linear.bound, linear.name
        assert not linear.weight[linear.zeros].any()
        if linear.weight.shape == before[linear.name].shape and "pattern" not in case.made.accepts:
            kept = linear.zeros | ~before[linear.name]
            assert kept.all() or case.method.family == "structured", linear.name
    bound, size = sum(one.bound for one in linears(model)), sum(one.weight.numel() for one in linears(model))
    share = SHARE if case.method.ratio_kind == "sparsity" else {"sparse": 0.3, "patterned": 0.5}[first]
    assert bound / size == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("case", [case for case in AMOUNTS if "pattern" in case.made.accepts], ids=str)
def test_a_pattern_is_preserved_exactly(case, ground, patterned):
    model, _ = followed(ground, patterned, case)
    for linear in linears(model):
        assert constraint_of(linear.module).pattern == (2, 4)
        kept = linear.weight.unflatten(1, (-1, 4)).count_nonzero(-1)
        assert (kept <= 2).all() and (
            case.method.bit_choices or (kept == 2).all()
        )  # a small weight may be rounded to 0


MIXING = [case for case in AMOUNTS if "zeros" not in case.made.accepts and not case.method.bit_choices]


@pytest.mark.parametrize("case", MIXING, ids=str)
def test_a_method_that_refuses_zeros_mixes_zeros_with_other_weights(case, ground, sparse):
    model, _ = followed(ground, sparse, case)
    freed = [linear for linear in linears(model) if linear.role in ("q", "o") and not linear.bound]
    assert freed and all(linear.weight.all() for linear in freed)
