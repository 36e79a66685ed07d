"""Decomposition of convolutions: their reports, and the models that are rejected."""

import copy

import pytest
import torch

from core.amount import Amount
from core.base.errors import UserError
from core.context import Context, StageInput
from core.engine.stages import apply
from core.request.stages import build_stage
from tests.core.contract.ground import same
from tests.core.encoders import encoder

METHODS = ("conv-lowrank", "depthwise-separable")
CPU = Context(torch.device("cpu"))


def decompose(model, method, ratio, progress=None):
    """Apply a method in place and return its reports."""
    context = CPU if progress is None else Context(CPU.device, progress)
    return apply(model, StageInput(build_stage(method, Amount.from_columns(ratio, None))), context).reports


def test_a_report_describes_each_convolution_and_why_one_is_unchanged():
    reports = {one.name.rpartition("encoder.")[2]: one for one in decompose(encoder("convnext"), METHODS[1], 0.3)}
    assert [one.block for one in reports.values()] == [0, 1, 2, 3]
    stayed = reports["stages.0.layers.0.dwconv"]
    assert stayed.note == "left whole: depthwise, no smaller as two" and (stayed.sparsity, stayed.error) == (0, 0)
    (cut,) = [one for one in reports.values() if one.name.endswith("patch_embeddings")]
    assert cut.note.startswith("multiplier ") and cut.shape == (8, 3 * 16)
    resnet = decompose(encoder(), METHODS[1], 0.3)
    assert "left whole: 1 x 1, no smaller as two" in [one.note for one in resnet]
    notes = {one.note.partition(", ")[2] for one in decompose(encoder("convnext"), METHODS[0], 0.5)}
    assert notes == {"by channels", "axis by axis"}  # a depthwise one has axes only


def test_progress_is_reported_to_its_end():
    updates = []
    decompose(encoder("whisper"), METHODS[0], 0.5, lambda stage, done, total, detail="": updates.append((done, total)))
    assert updates == [(done, 4) for done in range(5)]


def test_half_precision_is_preserved():
    model = encoder("whisper").bfloat16()
    decompose(model, METHODS[0], 0.5)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_a_model_without_shrinkable_convolutions_is_rejected_unchanged():
    model = encoder("vit", patch_size=1, image_size=4)  # 1 x 1
    before = copy.deepcopy(model)
    with pytest.raises(UserError, match="can make none of the 1 convolutions of this model smaller"):
        decompose(model, "depthwise-separable", 0.5)
    assert same(model, before)
