"""Layer sensitivity equals the loss rise of a model with one part compressed."""

import copy
import re

import pytest
import torch

from core.amount import Ratio
from core.base.errors import CancelledError
from core.context import Context, StageInput
from core.engine import scan as scanning
from core.engine.scan import measure_sensitivity, split
from core.engine.stages import apply
from core.evaluation.perplexity import window_losses
from core.methods.linear import Target
from core.models.parts.blocks import find_blocks
from core.registry import build_method
from core.request.stages import build_stage
from core.specs import TextWindows
from tests.core.contract.ground import linears, same
from tests.core.engine.applied import stopping
from tests.core.tiny import layout_of, tiny, windows

READ = TextWindows(corpus="any", windows=6, window=24)
TOKENS = windows(8)


def stage_of(method, layers=None):
    return build_stage(method, Ratio(0.5), calibration=READ, layers=layers)


def scanned(model, method, by="block", before=None, progress=None, tokens=TOKENS):
    stage = stage_of(method)
    context = Context(torch.device("cpu"), *[progress] if progress else [])
    given = StageInput(stage, tokens, before, decoder=find_blocks(model))
    return measure_sensitivity(model, build_method(stage), Target(0.5), list(linears(model)), given, context, by)


@pytest.mark.matrix(name=layout_of, method=str, by=str)
@pytest.mark.parametrize("by", ["block", "linear"])
@pytest.mark.parametrize("name", ["llama-gqa", "opt", "gpt2", "gemma3", "gpt-neo"])
@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
def test_loss_of_a_part_equals_a_model_with_only_that_part_compressed(name, method, by):
    model = tiny(name)
    before = copy.deepcopy(model)
    parts = scanned(model, method, by)
    assert same(model, before)
    read, unread = split(TOKENS)
    whole = window_losses(before, unread)
    blocks = find_blocks(model)
    names = {
        "block": [f"{blocks.name}.{index}" for index in range(len(blocks.holder))],
        "linear": [linear.name for linear in linears(model)],
    }
    assert list(parts) == names[by]
    for part, rises in parts.items():
        alone, only = copy.deepcopy(before), re.escape(part) + {"block": r"\.", "linear": "$"}[by]
        apply(alone, StageInput(stage_of(method, only), read), Context(torch.device("cpu")))
        risen = [one - other for one, other in zip(window_losses(alone, unread), whole, strict=True)]
        assert rises == pytest.approx(risen, abs=5e-5)
        assert by == "linear" or max(map(abs, rises)) > 5e-4


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_a_stopped_scan_resumes(method, monkeypatch):
    whole = scanned(tiny(num_hidden_layers=4), method)
    with pytest.raises(CancelledError):
        scanned(tiny(num_hidden_layers=4), method, before="key", progress=stopping(lambda stage, done, *_: done == 2))
    losses, seen = scanning._Tail.losses, []
    monkeypatch.setattr(scanning._Tail, "losses", lambda self, index: seen.append(index) or losses(self, index))
    assert scanned(tiny(num_hidden_layers=4), method, before="key") == whole
    assert seen == [2, 3]
    assert scanned(tiny(num_hidden_layers=4), method, before="key") == whole
    assert seen == [2, 3]


@pytest.mark.usefixtures("machine")
def test_a_scan_depends_on_text_amount_and_model():
    first = scanned(tiny(), "wanda", before="key")
    assert scanned(tiny(seed=1), "wanda", before="other") != first
    assert scanned(tiny(), "wanda", before="key", tokens=windows(8, seed=5)) != first
