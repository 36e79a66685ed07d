"""Every method on a Gemma 3, whose blocks, heads and embedding are not those of Llama: it works or gives the reason."""

import pytest

from core.base.errors import UserError
from core.methods.unstructured.sparsegpt import SparseGPT
from core.registry import METHODS, RECONSTRUCTIONS, RECOVERIES, get_stage
from tests.core.contract.checks import check_reconstructed, check_recovered, check_saved, check_share
from tests.core.contract.ground import Case, cases, class_of

pytestmark = pytest.mark.matrix(case=class_of)

NORMS = "needs blocks with one plain norm before attention and one before the FFN; this model's"
EXPERTS = "this model has none"
CONVOLUTIONS = "compresses convolutions, and a language model has none"
REFUSED = {
    "slicegpt": NORMS,
    "rotate": NORMS,
    "reap": EXPERTS,
    "expert-frequency": EXPERTS,
    "conv-lowrank": CONVOLUTIONS,
    "depthwise-separable": CONVOLUTIONS,
}


@pytest.fixture(scope="module")
def pruned(gemma):
    return gemma.make(Case(SparseGPT))


@pytest.mark.parametrize("case", [case for case in cases(METHODS) if case.method.name not in REFUSED], ids=str)
def test_requested_share_is_removed_and_checkpoints_reload(case, gemma, tmp_path):
    made = gemma.make(case)
    check_share(made)
    check_saved(made, tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_methods_give_the_reason(name, gemma):
    with pytest.raises(UserError, match=REFUSED[name]):
        gemma.make(Case(get_stage(name)))


@pytest.mark.parametrize("case", cases(RECONSTRUCTIONS), ids=str)
def test_a_reconstruction_moves_closer_to_dense(case, pruned, tmp_path):
    check_reconstructed(pruned, case, tmp_path)


@pytest.mark.parametrize("case", cases(RECOVERIES), ids=str)
def test_a_recovery_preserves_masks_and_grids(case, pruned):
    check_recovered(pruned, case)
