"""The training loop: its budget, its best weights, and a cancelled, killed or useless training."""

import math

import pytest
import torch

from core.base.errors import UserError
from core.base.progress import silent
from core.training import loop as training
from core.training.adapters import add_adapters
from core.training.loop import Budget, train
from core.training.losses import next_token, states, targets, through_head
from tests.core.tiny import tiny, windows
from tests.core.training.trained import Killed, examples, save_state, stop_at, trained


def finished(**settings):
    """Return the course of a training and the logits of the model."""
    model = tiny()
    return trained(model, **settings), model(windows()).logits


def adapted():
    """A model with adapters, their parameters, and the loss of a batch."""
    model = tiny()
    parameters = add_adapters(model, 2, 4.0, 0.0, 0)
    return model, parameters, lambda batch: through_head(model, states(model, batch), next_token(targets(batch)))


@pytest.fixture(scope="module")
def whole():
    """Trainings that nothing interrupted, by dropout."""
    return {dropout: finished(dropout=dropout) for dropout in (0.0, 0.1)}


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """The state of a training without dropout that was cancelled halfway."""
    file = tmp_path_factory.mktemp("halfway") / "state"
    trained(tiny(), progress=stop_at(13), checkpoint=file)
    return file


def test_best_weights_are_kept_and_stagnation_ends_the_training(monkeypatch):
    held_out_losses = iter([3.0, 2.0, 5.0, 4.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(training, "held_out_loss", lambda *_: next(held_out_losses))
    seen = []
    monkeypatch.setattr(
        training, "weights_of", lambda parameters: seen.append([p.detach().clone() for p in parameters]) or seen[-1]
    )
    model, parameters, loss = adapted()
    done = train(model, parameters, loss, examples(), Budget(20), 0.01, 3, silent)
    assert (done.ended, done.best_step, done.steps) == ("no improvement", 2, 8)
    assert done.held_out == [[0, 3.0], [2, 2.0], [4, 5.0], [6, 4.0], [8, 6.0]]
    assert len(seen) == 2
    assert all(torch.equal(p, best) for p, best in zip(parameters, seen[1], strict=True))


def test_progress_details_appear_as_soon_as_they_are_known():
    updates = []
    done = trained(tiny(), steps=2, progress=lambda *call: updates.append(call[-1]))
    updates = list(dict.fromkeys(updates))
    assert updates[0] == "step 0"
    assert updates[1] == f"step 0, held-out perplexity {math.exp(done.held_out[0][1]):.4g}"
    assert updates[2].startswith("step 1, loss ")
    assert updates[-1] == f"step 2, held-out perplexity {math.exp(done.held_out[-1][1]):.4g}"


def test_a_cancelled_training_keeps_its_best_weights_and_is_reported(whole):
    done, logits = finished(progress=stop_at(12))
    assert (done.ended, done.steps) == ("cancelled", 12) and done.seconds > 0
    assert done.best_step == min(done.held_out, key=lambda pair: pair[1])[0]
    assert not torch.equal(logits, whole[0.0][1])


def test_a_killed_training_resumes(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    file = tmp_path / "training" / "state"

    with pytest.raises(Killed):
        trained(tiny(), progress=stop_at(13, Killed), checkpoint=file, dropout=0.1)
    assert file.is_file()
    calls = []
    done, logits = finished(progress=lambda *call: calls.append(call), checkpoint=file, dropout=0.1)
    assert calls[0][3].startswith("step 12,")  # its state was written
    assert (calls[0][1], calls[-1][1]) == (0, 1000)  # of the steps of this process
    expected, same = whole[0.1]
    assert (done.steps, done.held_out, done.losses) == (expected.steps, expected.held_out, expected.losses)
    assert torch.equal(logits, same)


@pytest.mark.parametrize(("step", "place"), [(13, "a step"), (14, "a held-out loss"), (20, "a held-out loss")])
def test_a_cancelled_training_resumes(step, place, whole, tmp_path, monkeypatch):
    updates, real = [""], training.held_out_loss

    def interrupted(*arguments):
        if place == "a held-out loss" and updates[-1].startswith(f"step {step},"):
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, "held_out_loss", interrupted)
    stop = stop_at(step if place == "a step" else None, updates=updates)
    assert trained(tiny(), progress=stop, checkpoint=tmp_path / "state", dropout=0.1).ended == "cancelled"
    monkeypatch.undo()
    done, logits = finished(checkpoint=tmp_path / "state", dropout=0.1)
    expected, same = whole[0.1]
    assert (done.ended, done.steps, done.held_out) == ("budget", expected.steps, expected.held_out)
    assert torch.equal(logits, same)


def test_a_step_with_gradients_that_are_not_finite_is_skipped():
    (model, parameters, plain), calls = adapted(), []

    def loss(batch):
        calls.append(1)
        return plain(batch) * (math.nan if len(calls) == 3 or broken else 1)

    broken = False
    done = train(model, parameters, loss, examples(), Budget(10), 0.01, 0, silent)
    assert done.best_step == 10 and all(math.isfinite(value) for _, value in done.held_out + done.losses)
    assert all(parameter.isfinite().all() for parameter in parameters)
    broken = True
    with pytest.raises(UserError, match="The gradients of 10 steps in a row are not numbers; train in float32"):
        train(model, parameters, loss, examples(), Budget(100), 0.01, 0, silent)


def test_a_model_that_predicts_nothing_is_not_trained():
    model = tiny()
    model.get_output_embeddings().weight.data.fill_(math.nan)
    with pytest.raises(UserError, match="train in float32 or bfloat16"):
        trained(model)


STATES = {
    "no state": lambda state: None,
    "a key less": lambda state: {name: value for name, value in state.items() if name != "recent"},
    "another record": lambda state: state | {"training": {"epochs": 3}},
    "fewer weights": lambda state: state | {"weights": state["weights"][1:]},
    "weights of other shapes": lambda state: state | {"weights": [weight[:1] for weight in state["weights"]]},
    "best of other shapes": lambda state: state | {"best": [weight[:1] for weight in state["weights"]]},
    "another optimiser": lambda state: state | {"optimiser": {"state": {}, "param_groups": []}},
}


CONTENTS = {
    "a changed bit": lambda content: content[:999] + bytes([content[999] ^ 0x40]) + content[1000:],
    "no torch file": lambda content: b"no state",
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("kind", [*STATES, *CONTENTS])
def test_a_damaged_checkpoint_restarts_the_training(kind, halfway, whole, tmp_path, caplog):
    caplog.set_level("INFO", training.__name__)
    file = tmp_path / "state"
    if kind in CONTENTS:
        file.write_bytes(CONTENTS[kind](halfway.read_bytes()))
    else:
        save_state(STATES[kind](torch.load(halfway, weights_only=True)), file)
    done = trained(tiny(), progress=stop_at(7), checkpoint=file)
    assert (done.steps, done.held_out) == (7, whole[0.0][0].held_out[:4])
    assert "starts from the beginning" in caplog.text


def test_minutes_end_a_training(monkeypatch):
    clock = iter(range(0, 10_000, 5))  # five seconds between two reads
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    done = train(*adapted(), examples(), Budget(10_000, minutes=5), 0.01, 0, silent)
    assert done.ended == "budget" and 0 < done.steps < 60


def rates(budget, seconds):
    """Return the factors of the learning rate in a training with a given duration per step."""
    found = []
    while (spent := budget.spent(len(found), seconds * len(found))) < 1:
        found.append(training._schedule(spent, budget.spent(len(found) + 1, seconds * len(found)), len(found)))
    return found


def test_learning_rate_rises_and_falls_to_0_for_every_budget():
    for budget, steps in ((Budget(2000), 2000), (Budget(10_000, minutes=5), 300), (Budget(10_000, minutes=0.15), 9)):
        factors = rates(budget, 1.0)
        assert len(factors) == steps
        assert 0.95 < max(factors) <= 1 and factors[-1] < 0.15
        peak = factors.index(max(factors))
        assert peak <= 100 and factors[:peak] == sorted(factors[:peak])
        assert factors[peak:] == sorted(factors[peak:], reverse=True)
