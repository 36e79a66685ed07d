"""Chains of several stages, trainings among them, end to end on a tiny random model and a text file."""

import json

import pytest
import torch

from core.base.paths import cache_dir, cached_variant
from core.cli.app import main
from core.cli.printing.tables import summary
from core.engine import variants
from core.models.manifest import load_model_folder
from core.models.names import display_names
from core.models.parts.blocks import find_blocks
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from core.training import loop
from tests.core.commands import and_then, copy_machine, finish

pytestmark = pytest.mark.usefixtures("machine")

FIRST, LORA = "wanda@0.3+adaprune", "lora,batch=8,epochs=60,learning_rate=0.01,rank=2,steps="
CHAIN = f"{FIRST}+{LORA}10+wanda@0.5"
TEXTS = ["--calibration", "text.txt:4x32", "--train", "text.txt:24x32", "--perplexity", "text.txt@32:4"]
RUN = ["run", "./tiny", CHAIN, *TEXTS]


@pytest.fixture
def spec(machine):
    text, train = map(TextWindows.parse, ("text.txt:4x32", "text.txt:24x32"))
    return complete(
        "./tiny", CHAIN, RunSettings(calibration=text, train=train, perplexity=[Perplexity.parse("text.txt@32:4")])
    )


@pytest.fixture(scope="module")
def finished_chain(folder, tmp_path_factory):
    return finish(tmp_path_factory.mktemp("chain"), folder, RUN)


@pytest.fixture
def chain_ran(finished_chain, machine, tmp_path):
    """`machine` after the run of the chain."""
    copy_machine(finished_chain, tmp_path)


@pytest.fixture
def made(monkeypatch):
    """The methods of the stages that are computed from now on."""
    apply, methods = variants.apply, []
    monkeypatch.setattr(
        variants, "apply", lambda model, given, more: methods.append(given.stage.method) or apply(model, given, more)
    )
    return methods


@pytest.fixture
def interrupt(monkeypatch):
    """A function that interrupts the next training at one of its held-out losses, by their number."""
    real = loop.held_out_loss

    def at(number):
        losses = []

        def interrupted(*arguments):
            losses.append(arguments)
            if len(losses) == number:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(loop, "held_out_loss", interrupted)

    return at


def zeros(key):
    model = load_model_folder(cached_variant(key), torch.float32)
    return {linear.name: linear.weight == 0 for linear in find_blocks(model).all_linears()}


def test_every_stage_preserves_earlier_zeros(chain_ran, spec):
    _, pruned, rebuilt, trained, whole = (prefix.key for prefix in spec.variant.prefixes)
    first, last = zeros(pruned), zeros(whole)
    for name, bound in first.items():
        assert (bound.sum(1) == round(0.3 * bound.shape[1])).all()
        assert torch.equal(zeros(rebuilt)[name], bound) and torch.equal(zeros(trained)[name], bound)
        assert (last[name] | ~bound).all() and (last[name].sum(1) == round(0.5 * bound.shape[1])).all()
    stored = {result.variant.key: result for result in Store().results()}
    assert [len(stored[key].variant.stage_runs) for key in (pruned, rebuilt, trained, whole)] == [1, 2, 3, 4]
    assert {layer.stage for layer in stored[whole].layers} == {0, 1, 3}


def test_a_factored_embedding_is_cached_and_its_removed_share_printed(made, capsys):
    command = ["run", "./tiny", "wanda@0.3+tensor-train@2x", *TEXTS[:2], "--perplexity"]
    assert main([*command, "text.txt@32:4"]) == 0
    assert "Removed 62.5 % of the embedding (4x8" in capsys.readouterr().out
    made.clear()
    assert main([*command, "text.txt@16:4", "--json"]) == 0
    assert made == ["dense"]
    printed = json.loads(capsys.readouterr().out)
    assert [stage["pattern"] for stage in printed["variant"]["stages"]] == [None, "2x"]
    assert [row["metric"] for row in printed["measurements"]] == ["perplexity"] * 2


def test_a_chain_that_is_cancelled_in_its_training_resumes_it(spec, interrupt, made):
    interrupt(4)
    assert main(RUN) == 130
    store, trained = Store(), spec.variant.prefixes[3]
    cut = store.get(trained.key)
    assert cut.variant.cut_short and store.get(spec.variant.key) is None
    assert cut.variant.details["training"]["ended"] == "cancelled" and cut.measurements == ()
    assert "(cancelled)" in summary([cut], store, display_names([cut.variant.model_id]))[0]["chain"]
    made.clear()
    assert main(RUN) == 0
    assert made == ["lora", "wanda", "dense"]
    whole, again = store.get(spec.variant.key), store.get(trained.key)
    assert not whole.variant.cut_short and not again.variant.cut_short
    assert len(whole.measurements) == 1 and not list((cache_dir() / "training").iterdir())
    before, after = (found.variant.stage_runs[2]["training"] for found in (cut, whole))
    assert after["steps"] == 10 > before["steps"]
    assert after["held_out"][: len(before["held_out"])] == before["held_out"]


@pytest.mark.parametrize("teacher", [None, "./tiny"])
@pytest.mark.parametrize("recovery", ["distill-white", "distill-black"])
def test_a_distillation_uses_the_dense_model_or_another_teacher(recovery, teacher, ran, capsys):
    settings = [recovery, "batch=8", "epochs=1", *([f"teacher={teacher}"] if teacher else [])]
    settings += ["answer_tokens=6"] if recovery == "distill-black" else ["teacher_share=1"]
    assert main([*and_then(",".join(settings)), "--train", "text.txt:16x24", "--json"]) == 0
    variant = json.loads(capsys.readouterr().out)["variant"]
    named = variant["stages"][1]["parameters"].get("teacher")
    assert named is None if teacher is None else named.startswith("tiny@sha256:")
    assert variant["recovery"] == recovery and variant["details"]["training"]["steps"] == 1
