"""Recovery on the command line, end to end on a tiny random model and a text file."""

import json

import pytest

from core.cli.app import main
from core.cli.printing.tables import summary
from core.models.names import display_names
from core.paths import cache_dir
from core.results import Result
from core.store.store import Store
from tests.core.commands import RUN, SWEEP, and_then

pytestmark = pytest.mark.usefixtures("machine")


def test_a_recovery_starts_from_the_cached_variant(capsys, tmp_path, monkeypatch):
    assert main([*RUN, "--json"]) == 0
    untuned = json.loads(capsys.readouterr().out)

    from core.engine import variants

    apply = variants.apply

    def train_only(model, given, context):
        assert given.stage.method == "lora", "compressed again"
        return apply(model, given, context)

    monkeypatch.setattr(variants, "apply", train_only)
    chain = and_then("lora,learning_rate=0.01,batch=4,rank=2")
    assert main([*chain, "--train", "text.txt:24x32", "--json"]) == 0
    tuned = json.loads(capsys.readouterr().out)
    variant = tuned["variant"]
    assert (variant["method"], variant["recovery"], variant["ratio"]) == ("sparsegpt", "lora", 0.5)
    assert [stage["name"] for stage in variant["stages"]] == ["sparsegpt", "lora"]
    assert variant["stages"][1]["text"].startswith("text.txt@")
    assert variant["stages"][1]["parameters"]["rank"] == 2
    assert tuned["footprint"]["block_zeros"] == untuned["footprint"]["block_zeros"]
    assert tuned["layers"] == untuned["layers"]
    curve = variant["details"]["training"]
    assert (curve["steps"], curve["ended"]) == (8, "budget")
    assert curve["held_out"][0][0] == 0 and len(curve["held_out"]) == 9
    assert len({tuned["variant"]["key"], untuned["variant"]["key"]}) == 2

    assert main(["export", variant["key"], str(tmp_path / "out")]) == 0
    assert "2. LoRA: fine-tuned, on `text.txt@" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("teacher", [None, "./tiny"])
@pytest.mark.parametrize("recovery", ["distill-white", "distill-black"])
def test_a_distillation_uses_the_dense_model_or_another_teacher(recovery, teacher, capsys):
    settings = [recovery, "batch=8", "epochs=1", *([f"teacher={teacher}"] if teacher else [])]
    settings += ["answer_tokens=6"] if recovery == "distill-black" else ["teacher_share=1"]
    assert main([*and_then(",".join(settings)), "--train", "text.txt:16x24", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["variant"]["recovery"] == recovery
    named = result["variant"]["stages"][1]["parameters"].get("teacher")
    assert named is None if teacher is None else named.startswith("tiny@sha256:")
    assert result["variant"]["details"]["training"]["steps"] == 1


def test_an_interrupted_recovery_keeps_its_best_weights_and_resumes(capsys, monkeypatch):
    from core.training import loop as training

    real, calls = training.held_out_loss, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, "held_out_loss", interrupted)
    command = [*and_then("lora,batch=4"), "--train", "text.txt:24x32"]
    assert main(command) == 130
    assert "Stopped" in capsys.readouterr().err
    (kept,) = (result for result in Store().results() if result.variant.cut_short)
    assert kept.variant.details["training"]["ended"] == "cancelled"
    assert kept.measurements == ()
    assert "(cancelled)" in summary([kept], Store().samples, display_names([kept.variant.model_id]))[0]["chain"]
    assert main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    before, after = kept.variant.details["training"], again["variant"]["details"]["training"]
    assert after["ended"] == "budget" and after["steps"] > before["steps"]
    assert after["held_out"][: len(before["held_out"])] == before["held_out"]
    assert len(again["measurements"]) == 1
    assert not list((cache_dir() / "training").iterdir())


def test_later_stages_need_a_complete_training(monkeypatch):
    from core.training import loop as training

    real = training.held_out_loss
    chain, read = "magnitude-trained@0.3,batch=4,rounds=1", ["--perplexity", "text.txt@32:4"]
    read += ["--train", "text.txt:24x32"]

    def interrupted(*arguments):
        if arguments[2].__self__.training.steps > 6:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, "held_out_loss", interrupted)
    assert main(["run", "./tiny", chain, *read]) == 130
    (kept,) = Store().results()
    assert kept.variant.cut_short
    monkeypatch.setattr(training, "held_out_loss", real)
    assert main(["run", "./tiny", f"{chain}+lora,batch=8", *read]) == 0
    reports = (cache_dir() / "variants").glob("*/result.json")
    made = [Result.model_validate_json(report.read_text()).variant for report in reports]
    assert len(made) == 2 and not any(variant.cut_short for variant in made)


def test_a_sweep_computes_each_point_of_several_chains(capsys):
    grid = ["--methods", "magnitude", "--ratios", "0.5", "--chain", "magnitude@+lora,batch=8"]
    assert main([*SWEEP, *grid, "--train", "text.txt:16x32"]) == 0
    assert [(r.variant.method, r.variant.recovery) for r in Store().results()] == [
        ("dense", None),
        ("magnitude", None),
        ("magnitude", "lora"),
    ]


@pytest.mark.parametrize("method", ["loraprune-trained", "magnitude-trained"])
def test_pruning_during_training_is_run_like_other_methods(method, capsys):
    train = ["--train", "text.txt:24x32", "--set", "batch=4", "--set", "rank=2", "--set", "epochs=4"]
    assert main(["run", "./tiny", method, "--ratio", "0.3", *train, "--perplexity", "text.txt@32:4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["variant"]["method"] == method and result["variant"]["recovery"] is None
    assert result["variant"]["details"]["training"]["ended"] in ("budget", "no improvement")
    footprint = result["footprint"]
    removed = 1 - (footprint["block_weights"] - footprint["block_zeros"]) / footprint["dense_block_weights"]
    assert removed == pytest.approx(0.3, abs=0.05)
