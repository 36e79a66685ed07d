"""Every method and recovery of the registry holds to one contract."""

import copy

import pytest
import torch

from core.amount import Pattern, Ratio
from core.base.errors import UserError
from core.engine.stages import apply
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.sparsegpt import SparseGPT
from core.methods.unstructured.wanda import Wanda
from core.models.parts.blocks import select
from core.models.parts.constraints import constraint_of
from core.registry import METHODS, PREPARATIONS, RECONSTRUCTIONS, RECOVERIES, STAGES, leaves
from core.request.stages import build_stage, default_amount
from core.training.base import TrainPruneMethod
from tests.core.contract import checks
from tests.core.contract.ground import (
    BLOCKS,
    Case,
    cases,
    class_of,
    linears,
    observed_traits,
    one_a_type,
    same,
    type_of,
)

pytestmark = pytest.mark.matrix(case=class_of, reconstruction=class_of, recovery=class_of)

PLAIN = [Case(method) for method in METHODS]
CASES = cases(METHODS)
RECONSTRUCTED = cases(RECONSTRUCTIONS)
RECOVERED = cases(RECOVERIES)
MASKING = [case for case in PLAIN if case.method.ratio_kind == "sparsity" and case.method.takes_amount]
PATTERNED = [case for case in PLAIN if case.method.supports_nm]
MIDDLE = f"1:{BLOCKS - 2}"  # layers
RATIOS = [0.2, 0.5]  # in addition to the ratio of all cases
PATTERNS = ["2:4", "4:8", "1:4"]
BY_TYPE = pytest.mark.matrix(case=type_of)


@pytest.fixture(scope="module")
def made(grounds):
    """Return what a case makes, made once."""
    known = {}

    def make(case, **asked):
        name = str(case), *asked.items()
        if name not in known:
            known[name] = grounds(case).make(case, **asked)
        return known[name]

    return make


@pytest.mark.parametrize("method", STAGES, ids=lambda method: method.name)
def test_declaration_is_complete(method, ground):
    checks.check_declared(method)
    checks.check_key(method, ground)


def test_stage_names_are_unique():
    names = [method.name for method in STAGES]
    assert len(set(names)) == len(names)


@BY_TYPE
@pytest.mark.parametrize("case", [*CASES, *RECONSTRUCTED, *RECOVERED], ids=str)
def test_every_setting_declares_its_method_cost_and_memory(case, grounds):
    checks.check_of(case, grounds(case))


@BY_TYPE
@pytest.mark.parametrize("case", CASES, ids=str)
def test_requested_share_is_removed_and_checkpoints_reload(case, made, tmp_path):
    checks.check_share(made(case))
    checks.check_saved(made(case), tmp_path)


@BY_TYPE
@pytest.mark.parametrize("case", [*CASES, *cases(PREPARATIONS)], ids=str)
def test_a_stage_leaves_the_traits_that_it_declares(case, made):
    assert observed_traits(made(case)) == leaves(made(case).stage)


@pytest.mark.matrix(case=class_of, ratio=None)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_requested_share_is_removed_at_other_ratios(case, ratio, grounds):
    checks.check_share(grounds(case).make(case, ratio=ratio))


@pytest.mark.parametrize("case", [case for case in PLAIN if case.method.selects_layers], ids=str)
def test_unselected_layers_do_not_change(case, ground):
    made = ground.make(case, layers=MIDDLE)
    checks.check_share(made)
    before = ground.dense.state_dict()
    chosen = tuple(linear.name for linear in select(linears(ground.dense), MIDDLE, BLOCKS))
    for name, tensor in made.model.state_dict().items():
        assert name.startswith(chosen) or torch.equal(tensor, before[name]), name


@pytest.mark.matrix(case=class_of, pattern=None)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_patterns_are_exact_or_rejected(case, pattern, made, grounds):
    if case.method.supports_nm:
        checks.check_pattern(made(case, pattern=pattern).model, Pattern.parse(pattern))
        assert observed_traits(made(case, pattern=pattern)) == leaves(made(case, pattern=pattern).stage)
    else:
        checks.check_pattern_refused(grounds(case), case)


ANY_RATIO = [
    case
    for case in CASES
    if not (issubclass(case.method, TrainPruneMethod) or case.method.bit_choices or case.method.factor_choices)
]


@BY_TYPE
@pytest.mark.parametrize("case", ANY_RATIO, ids=str)
def test_a_ratio_of_zero_changes_nothing(case, grounds):
    made = grounds(case).make(case, ratio=0.0)
    assert same(made.model, grounds(case).dense)
    assert all(report.sparsity == 0 for report in made.reports)


@pytest.mark.matrix(case=lambda case: (class_of(case), case.made.draws))
@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_equal_seeds_give_equal_results(case, made, grounds):
    checks.check_seeds(grounds(case), case, made(case))


@pytest.mark.matrix(allocation=str)
@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_a_score_with_declared_randomness_passes_the_contract(allocation, ground, monkeypatch):
    """Its seed is in the key, and each linear draws numbers of its own."""
    monkeypatch.setattr(
        Magnitude, "score", lambda self, weight, sums: torch.rand(weight.shape, generator=sums.generator)
    )
    monkeypatch.setattr(Magnitude, "draws", True)
    case = Case(Magnitude, {"allocation": allocation})
    found = ground.make(case)
    checks.check_seeds(ground, case, found)
    checks.check_share(found)
    assert found.stage.seed == 0 and ground.make(case, seed=7).stage.seed == 7
    query, output = (one.weight == 0 for one in linears(found.model) if one.role in ("q", "o") and not one.block)
    assert query.shape == output.shape and not torch.equal(query, output)


@pytest.mark.parametrize("recovery", [Case(recovery) for recovery in RECOVERIES], ids=str)
@pytest.mark.parametrize("case", one_a_type([case for case in CASES if not case.method.bit_choices]), ids=str)
def test_a_recovery_preserves_masks_and_grids(case, recovery, made):
    checks.check_recovered(made(case), recovery)


@pytest.mark.parametrize("recovery", RECOVERED, ids=str)
@pytest.mark.parametrize("case", PATTERNED, ids=str)
def test_every_recovery_preserves_patterns(case, recovery, made):
    checks.check_recovered(made(case, pattern="2:4"), recovery)


@pytest.mark.matrix(case=class_of, reconstruction=class_of, pattern=bool)
@pytest.mark.parametrize("reconstruction", RECONSTRUCTED, ids=str)
@pytest.mark.parametrize(
    ("case", "pattern"),
    [*((case, None) for case in MASKING), *((case, pattern) for case in PATTERNED for pattern in PATTERNS)],
    ids=str,
)
def test_a_reconstruction_moves_closer_to_dense_under_its_mask(case, pattern, reconstruction, made, tmp_path):
    checks.check_reconstructed(made(case, pattern=pattern) if pattern else made(case), reconstruction, tmp_path)


@pytest.mark.parametrize("reconstruction", RECONSTRUCTED, ids=str)
def test_a_reconstruction_uses_its_text_and_layers_and_needs_a_mask(reconstruction, made, ground):
    masked = made(MASKING[0])
    first, again, other = (ground.reconstruct(masked, reconstruction, seed=seed).model for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)
    done, before = ground.reconstruct(masked, reconstruction, layers=MIDDLE), masked.model.state_dict()
    chosen = tuple(linear.name for linear in select(linears(masked.model), MIDDLE, BLOCKS))
    assert sorted(report.name for report in done.reports) == sorted(chosen)
    for name, tensor in done.model.state_dict().items():
        assert torch.equal(tensor, before[name]) is not name.startswith(chosen), name
    with pytest.raises(UserError, match="no weight is pruned"):
        ground.make(reconstruction)
    checks.check_pattern_refused(ground, reconstruction)


# Not those of experts, which the ground lacks; `tests/core/methods/structured/test_expert_removal.py` has their zeros.
AMOUNTS = [case for case in CASES if case.method.takes_amount and case.method.kind != "experts"]
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


@BY_TYPE
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


@BY_TYPE
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


@BY_TYPE
@pytest.mark.parametrize("case", MIXING, ids=str)
def test_a_method_that_refuses_zeros_mixes_zeros_with_other_weights(case, ground, sparse):
    model, _ = followed(ground, sparse, case)
    freed = [linear for linear in linears(model) if linear.role in ("q", "o") and not linear.bound]
    assert freed and all(linear.weight.all() for linear in freed)


# By Gemma 3, whose blocks, heads and embedding are not those of Llama; `docs/architectures.md` has the reasons.
REFUSED = {"slicegpt", "reap", "expert-frequency"}


@pytest.fixture(scope="module")
def pruned(gemma):
    return gemma.make(Case(SparseGPT))


@pytest.mark.parametrize("case", [case for case in CASES if case.method.name not in REFUSED], ids=str)
def test_gemma_loses_the_requested_share_and_reloads(case, gemma, tmp_path):
    made = gemma.make(case)
    checks.check_share(made)
    checks.check_saved(made, tmp_path)


@pytest.mark.parametrize("case", RECONSTRUCTED, ids=str)
def test_a_reconstruction_of_gemma_moves_closer_to_dense(case, pruned, tmp_path):
    checks.check_reconstructed(pruned, case, tmp_path)


@pytest.mark.parametrize("case", RECOVERED, ids=str)
def test_a_recovery_of_gemma_preserves_masks_and_grids(case, pruned):
    checks.check_recovered(pruned, case)
