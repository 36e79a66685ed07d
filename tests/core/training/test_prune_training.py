"""Pruning during training: the schedule, permanent removal, and the resulting model."""

from types import SimpleNamespace

import pytest
import torch

from core.amount import Amount
from core.base.errors import CancelledError, UserError
from core.base.progress import silent
from core.context import Context, StageInput
from core.engine.stages import apply
from core.methods.structured.base import StructuredBlockView
from core.methods.structured.budget import Removal
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import constraint_of
from core.models.removal.units import find_units
from core.request.stages import build_stage
from core.specs import TextWindows
from core.training import apply as engine
from core.training import loop as training
from core.training.adapters import adapters_of, add_adapters
from core.training.examples import Example
from core.training.methods.unit_masks import UnitMasks
from tests.core.engine.applied import block_weights
from tests.core.tiny import tiny
from tests.core.training.trained import Killed, data_of, patterned, save_state, stop_at

CALIBRATION = TextWindows(corpus="any", windows=24, window=24)
SETTINGS = {"rank": 4, "batch": 4, "learning_rate": 0.01, "dropout": 0.0, "epochs": 6, "patience": 0, "held_out": 4}
METHODS = {"loraprune-trained": {"every": 1, "whole_first": 0.0, "whole_last": 0.0}, "magnitude-trained": {}}


@pytest.fixture(scope="module", autouse=True)
def text():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "read_examples", lambda *_: [Example(row) for row in patterned()])
        yield


def pruned(model, name, ratio=0.4, progress=silent, checkpoint=None, **settings):
    stage = build_stage(name, Amount.from_columns(ratio, None), SETTINGS | METHODS[name] | settings, CALIBRATION)
    given = StageInput(stage, checkpoint=checkpoint, training_data=data_of(CALIBRATION))
    done = apply(model, given, Context(torch.device("cpu"), progress))
    return done.reports, done.training


@pytest.fixture(scope="module", params=METHODS)
def whole(request):
    """A short training of each method that nothing interrupted: its model, its course, its details, and a way to it."""

    def again(model=None, **more):
        return pruned(model or tiny(num_hidden_layers=4), request.param, epochs=3, **more)[1]

    model, updates = tiny(num_hidden_layers=4), []
    done = again(model, progress=stop_at(None, updates=updates))
    return SimpleNamespace(again=again, state=model.state_dict(), done=done, updates=updates)


@pytest.mark.matrix(name=None)
@pytest.mark.parametrize("name", ["opt", "llama-gqa", "llama-mha"])
def test_units_are_removed_during_training_and_the_model_ends_smaller(name):
    model = tiny(name, num_hidden_layers=4)
    dense = block_weights(model)
    reports, done = pruned(model, "loraprune-trained", epochs=4)
    assert abs(1 - block_weights(model) / dense - 0.4) < 0.03
    assert len(reports) == len(list(find_blocks(model).all_linears())) and {r.sparsity for r in reports} != {0.0}
    # No weights before the end of the schedule can be the best, although fewer were removed then.
    assert done.best_step >= 0.9 * done.steps
    assert not any(p.requires_grad for p in model.parameters())
    assert torch.isfinite(model(patterned()).logits).all()


def test_every_linear_ends_at_the_ratio_after_its_rounds():
    model = tiny()
    shares = []

    def watch(stage, done, total, detail=""):
        weights = [adapter.get_base_layer().weight for adapter in adapters_of(model).values()]
        shares.append(sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights))

    reports, done = pruned(model, "magnitude-trained", 0.5, watch, rounds=4)
    for linear in find_blocks(model).all_linears():
        assert int((linear.weight == 0).sum()) == round(0.5 * linear.weight.numel())
        assert torch.equal(constraint_of(linear.module).zeros(torch.device("cpu")), linear.weight == 0)
    assert all(report.sparsity == pytest.approx(0.5, abs=0.01) for report in reports)
    assert shares == sorted(shares)
    rounds = sorted({round(share, 2) for share in shares})
    assert rounds == pytest.approx([0, 0.125, 0.25, 0.375, 0.5], abs=0.01)
    assert done.best_step >= 0.8 * done.steps


def test_a_ratio_below_the_removed_share_is_rejected_before_training():
    model = tiny()
    pruned(model, "magnitude-trained", 0.5, rounds=1, epochs=1)
    with pytest.raises(UserError, match=r"targets 30\.0 %, but 50\.0 % of the weights are already removed"):
        pruned(model, "magnitude-trained", 0.3)


def test_the_schedule_is_cubic_between_warm_up_and_cool_down():
    masks = UnitMasks([], [], 10, 0.1, 0.1)
    assert [masks.share(spent) for spent in (0, 0.1, 0.9, 1.0)] == [0, 0, 1, 1]
    assert masks.share(0.5) == pytest.approx(1 - 0.5**3)


def test_scores_are_the_estimate_from_the_adapters_gradients():
    model = tiny("llama-mha")
    view = StructuredBlockView(find_units(find_blocks(model), 0))
    add_adapters(model, 4, 8.0, 0.0, 0)
    adapters = adapters_of(model)
    for adapter in adapters.values():
        torch.nn.init.normal_(adapter.lora_B["default"].weight, std=0.1)
    model(input_ids=patterned(4), labels=patterned(4)).loss.backward()
    masks = UnitMasks([view], [Removal()], 10, 0.1, 0.1)
    masks.begin(adapters)
    masks.after_gradients(0.0)
    linear = view.units.linears["up"]
    adapter = adapters[linear.name]
    a, b = adapter.lora_A["default"].weight, adapter.lora_B["default"].weight
    estimate = b.grad @ a + b @ a.grad - b.grad @ a.grad
    rows = (estimate * (linear.weight + 2.0 * b @ a)).abs().sum(1)  # alpha / rank = 2
    torch.testing.assert_close(masks.scores[linear.name], (0.1 * rows / rows.norm()).detach())


def test_a_killed_pruning_resumes(whole, tmp_path, monkeypatch):
    def kill(stage, done, total, detail=""):
        if detail.startswith("step 9,"):
            monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
        if detail.startswith("step 10,"):
            raise Killed

    file, resumed = tmp_path / "training" / "state", tiny(num_hidden_layers=4)
    with pytest.raises(Killed):
        whole.again(progress=kill, checkpoint=file)
    done = whole.again(resumed, checkpoint=file)
    assert (done.steps, done.held_out) == (whole.done.steps, whole.done.held_out)
    assert all(torch.equal(ours, whole.state[name]) for name, ours in resumed.state_dict().items())


def test_masks_of_another_form_restart_the_training(whole, tmp_path):
    file, updates = tmp_path / "state", []
    with pytest.raises(CancelledError):
        whole.again(progress=stop_at(7), checkpoint=file)
    state = torch.load(file, weights_only=True)
    masks = {name: mask for name, mask in state["during"].items() if name not in ("round", "channels 2")}
    assert len(masks) == len(state["during"]) - 1
    save_state(state | {"during": masks}, file)
    with pytest.raises(CancelledError):
        whole.again(progress=stop_at(9, updates=updates), checkpoint=file)
    assert updates[0] == "step 0" and updates == whole.updates[: len(updates)]


@pytest.mark.matrix(method=str, seconds=None)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seconds", [60, 4])
def test_minutes_end_a_pruning_at_its_ratio(method, seconds, monkeypatch):
    clock = iter(range(0, 100_000, seconds))  # between two reads
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    model = tiny(num_hidden_layers=4)
    dense = block_weights(model)
    _, done = pruned(model, method, minutes=5)
    zeros = sum(int((linear.weight == 0).sum()) for linear in find_blocks(model).all_linears())
    assert abs(1 - (block_weights(model) - zeros) / dense - 0.4) < 0.03
    assert done.ended == "budget" and done.best_step > 0
