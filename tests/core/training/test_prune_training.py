"""Pruning during training: the schedule, permanent removal, and the resulting model."""

import pytest
import torch

from core.amount import Amount
from core.context import Context, StageInput
from core.engine.stages import apply
from core.errors import CancelledError, UserError
from core.models.parts.blocks import find_blocks
from core.models.parts.constraints import constraint_of, set_constraint
from core.progress import silent
from core.request.stages import build_stage
from core.specs import TextWindows
from core.training import apply as engine
from core.training import loop as training
from core.training.adapters import adapters_of, add_adapters
from core.training.examples import Example
from core.training.methods.unit_masks import UnitMasks
from core.training.methods.weight_masks import WeightMasks
from tests.core.tiny import tiny
from tests.core.training.test_recovery import patterned
from tests.core.training.trained import data_of

CALIBRATION = TextWindows(corpus="any", windows=24, window=24)
SETTINGS = {"rank": 4, "batch": 4, "learning_rate": 0.01, "dropout": 0.0, "epochs": 6, "patience": 0, "held_out": 4}


@pytest.fixture
def text(monkeypatch):
    monkeypatch.setattr(engine, "read_examples", lambda *_: [Example(row) for row in patterned()])


def pruned(model, name, ratio=0.4, progress=silent, checkpoint=None, **settings):
    stage = build_stage(name, Amount.from_columns(ratio, None), SETTINGS | settings, CALIBRATION)
    given = StageInput(stage, checkpoint=checkpoint, training_data=data_of(CALIBRATION))
    done = apply(model, given, Context(torch.device("cpu"), progress))
    return done.reports, done.training


def block_weights(model):
    return sum(linear.weight.numel() for linear in find_blocks(model).all_linears())


@pytest.mark.parametrize("name", ["llama-gqa", "llama-mha", "opt"])
def test_units_are_removed_during_training_and_the_model_ends_smaller(name, text):
    model = tiny(name, num_hidden_layers=4)
    dense = block_weights(model)
    reports, done = pruned(model, "loraprune-trained", every=1, whole_first=0.0, whole_last=0.0)
    assert abs(1 - block_weights(model) / dense - 0.4) < 0.03
    assert len(reports) == len(list(find_blocks(model).all_linears())) and {r.sparsity for r in reports} != {0.0}
    # No weights before the end of the schedule can be the best, although fewer were removed then.
    assert done.best_step >= 0.9 * done.steps
    assert not any(p.requires_grad for p in model.parameters())
    assert torch.isfinite(model(patterned()).logits).all()


def test_every_linear_ends_at_the_ratio_after_its_rounds(text):
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


@pytest.mark.parametrize("ratio", [0.5, 0.613])
def test_earlier_zeros_are_preserved_and_count_during_training(text, ratio):
    model = tiny("gpt2")
    earlier = {}
    for linear in find_blocks(model).all_linears():
        earlier[linear.name] = torch.zeros_like(linear.weight, dtype=torch.bool)
        earlier[linear.name][:, ::2] = True
        linear.set_weight(linear.weight.masked_fill(earlier[linear.name], 0))
        set_constraint(linear.module, earlier[linear.name], (2, 4))
    pruned(model, "magnitude-trained", ratio, rounds=2, epochs=2)
    removed = sum(int((linear.weight == 0).sum()) for linear in find_blocks(model).all_linears())
    assert removed == round(ratio * block_weights(model))
    for linear in find_blocks(model).all_linears():
        assert not linear.weight[earlier[linear.name]].any()


def test_a_ratio_below_the_removed_share_is_rejected_before_training(text):
    model = tiny()
    pruned(model, "magnitude-trained", 0.5, rounds=1, epochs=1)
    with pytest.raises(UserError, match=r"targets 30\.0 %, but 50\.0 % of the weights are already removed"):
        pruned(model, "magnitude-trained", 0.3)


def test_the_schedule_is_cubic_between_warm_up_and_cool_down():
    masks = UnitMasks([], [], 10, 0.1, 0.1)
    assert [masks.share(spent) for spent in (0, 0.1, 0.9, 1.0)] == [0, 0, 1, 1]
    assert masks.share(0.5) == pytest.approx(1 - 0.5**3)


def test_scores_are_the_estimate_from_the_adapters_gradients(text):
    from core.methods.structured.base import StructuredBlockView
    from core.methods.structured.budget import Removal
    from core.models.removal.units import find_units

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


@pytest.mark.parametrize("method", ["loraprune-trained", "magnitude-trained"])
def test_a_killed_pruning_resumes(method, text, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)

    class Killed(BaseException):
        pass

    def kill(stage, done, total, detail=""):
        if "step 20," in detail:
            raise Killed

    settings = {"every": 1, "whole_first": 0.0, "whole_last": 0.0} if "lora" in method else {}
    file = tmp_path / "training" / "state"
    with pytest.raises(Killed):
        pruned(tiny(num_hidden_layers=4), method, progress=kill, checkpoint=file, **settings)
    resumed, whole = tiny(num_hidden_layers=4), tiny(num_hidden_layers=4)
    _, done = pruned(resumed, method, checkpoint=file, **settings)
    _, expected = pruned(whole, method, **settings)
    assert (done.steps, done.held_out) == (expected.steps, expected.held_out)
    for ours, theirs in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("method", ["loraprune-trained", "magnitude-trained"])
def test_masks_of_another_form_restart_the_training(method, text, tmp_path):
    def stop(stage, done, total, detail=""):
        if "step 20," in detail:
            raise CancelledError

    settings = {"every": 1, "whole_first": 0.0, "whole_last": 0.0} if "lora" in method else {}
    file = tmp_path / "state"
    with pytest.raises(CancelledError):
        pruned(tiny(num_hidden_layers=4), method, progress=stop, checkpoint=file, **settings)
    state = torch.load(file, weights_only=True)
    masks = {name: mask for name, mask in state["during"].items() if name not in ("round", "channels 2")}
    assert len(masks) == len(state["during"]) - 1
    torch.save(state | {"during": masks}, file)
    ours, fresh = tiny(num_hidden_layers=4), tiny(num_hidden_layers=4)
    _, done = pruned(ours, method, checkpoint=file, **settings)
    _, expected = pruned(fresh, method, **settings)
    assert (done.steps, done.held_out) == (expected.steps, expected.held_out)
    for here, there in zip(ours.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(here, there)


@pytest.mark.parametrize("method", ["loraprune-trained", "magnitude-trained"])
@pytest.mark.parametrize("seconds", [4, 60])
def test_minutes_end_a_pruning_at_its_ratio(method, seconds, text, monkeypatch):
    clock = iter(range(0, 100_000, seconds))  # between two reads
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    model = tiny(num_hidden_layers=4)
    dense = block_weights(model)
    settings = {"every": 1, "whole_first": 0.0, "whole_last": 0.0} if "lora" in method else {}
    _, done = pruned(model, method, minutes=5, **settings)
    zeros = sum(int((linear.weight == 0).sum()) for linear in find_blocks(model).all_linears())
    assert abs(1 - (block_weights(model) - zeros) / dense - 0.4) < 0.03
    assert done.ended == "budget" and done.best_step > 0


def test_a_cancelled_incomplete_pruning_stores_nothing(text):
    def stop(stage, done, total, detail=""):
        if "step 12," in detail:
            raise CancelledError

    with pytest.raises(CancelledError):
        pruned(tiny(), "magnitude-trained", progress=stop)


def test_finished_rounds_are_restored():
    blocks = find_blocks(tiny())
    masks = WeightMasks(blocks, 0.5, 4)
    masks.after_gradients(0.5)
    other = WeightMasks(blocks, 0.5, 4)
    other.restore(masks.tensors())
    assert (masks.round, other.round) == (2, 2)
