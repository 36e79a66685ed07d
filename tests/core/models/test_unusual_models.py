"""Architectures with parts that others lack: each is compressed, or refused with the true reason."""

import pytest

from core.base.errors import UserError
from tools.architectures.models import tiny_model
from tools.architectures.trial import check_saved, compress


@pytest.mark.parametrize(
    ("architecture", "chain"),
    [
        ("xglm", "slimllm@0.25"),  # reshapes attention's output to a width of its own
        ("falcon_h1", "svd-llm@0.5"),  # sets factors of its mixers, in no weight, as it is built
    ],
)
def test_a_smaller_model_computes_the_same_once_loaded(architecture, chain):
    model, before = tiny_model(architecture), tiny_model(architecture).num_parameters()
    compress(model, chain)
    assert model.num_parameters() < before
    check_saved(model, architecture)


@pytest.mark.parametrize(
    ("architecture", "chain", "reason"),
    [
        ("xglm", "llm-pruner@0.25,granularity=channel", "A fixed table is added to the hidden states"),
        ("bitnet", "lorap@0.25", "norm over all channels"),
        ("zamba2", "wanda@0.5", r"adapter_list\.1\.0\. Several layers share this block"),
        ("zamba2", "embedding-lowrank@2x", "layers of this model share blocks"),
    ],
)
def test_the_true_reason_of_a_refusal_is_named(architecture, chain, reason):
    with pytest.raises(UserError, match=reason):
        compress(tiny_model(architecture), chain)
