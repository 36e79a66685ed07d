"""Every method and recovery of the registry holds to one contract."""

import pytest
import torch

from core.amount import Pattern
from core.methods.unstructured.magnitude import Magnitude
from core.registry import METHODS, PREPARATIONS, RECONSTRUCTIONS, RECOVERIES, STAGES, leaves
from core.request.resolve import on_convolutions
from core.training.base import TrainPruneMethod
from tests.core.contract import checks
from tests.core.contract.declared import check_declared, check_key, check_of
from tests.core.contract.ground import Case, cases, class_of, linears, observed_traits, one_a_type, type_of

pytestmark = pytest.mark.matrix(case=class_of, reconstruction=class_of, recovery=class_of)

PLAIN = [Case(method) for method in METHODS]
CASES = cases(METHODS)
LANGUAGE = [case for case in CASES if not on_convolutions(case.method)]  # whose models can be trained
RECONSTRUCTED = cases(RECONSTRUCTIONS)
RECOVERED = cases(RECOVERIES)
MASKING = [case for case in PLAIN if case.method.ratio_kind == "sparsity" and case.method.takes_amount]
PATTERNED = [case for case in PLAIN if case.method.supports_nm]
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
    check_declared(method)
    check_key(method, ground)


def test_stage_names_are_unique():
    names = [method.name for method in STAGES]
    assert len(set(names)) == len(names)


@BY_TYPE
@pytest.mark.parametrize("case", [*CASES, *RECONSTRUCTED, *RECOVERED], ids=str)
def test_every_setting_declares_its_method_cost_and_memory(case, grounds):
    check_of(case, grounds(case))


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
    checks.check_layers(ground, case)


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
    checks.check_nothing(grounds(case), case)


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
@pytest.mark.parametrize("case", one_a_type([case for case in LANGUAGE if not case.method.bit_choices]), ids=str)
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
    first = made(MASKING[0])
    checks.check_reconstruction_seeds(first, reconstruction)
    checks.check_reconstruction_layers(first, reconstruction)
    checks.check_unmasked_refused(ground, reconstruction)
    checks.check_pattern_refused(ground, reconstruction)
