"""Chains of several stages and sweeps on the command line, with failures, on a tiny random model and a text file."""

import json
import shutil

import pytest
import torch

from core.amount import Pattern
from core.base.paths import cache_dir, cached_variant
from core.cli import compute
from core.cli.app import main
from core.cli.printing.tables import summary
from core.models.manifest import load_model_folder
from core.models.names import display_names
from core.models.parts.blocks import find_blocks
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from core.training import loop
from tests.core.commands import RUN, SWEEP, and_then

pytestmark = pytest.mark.usefixtures("machine")

FIRST, LORA = "wanda@0.3+adaprune", "lora,batch=8,epochs=60,learning_rate=0.01,rank=2,steps="
CHAIN = f"{FIRST}+{LORA}10+wanda@0.5"
TEXTS = ["--calibration", "text.txt:4x32", "--train", "text.txt:24x32", "--perplexity", "text.txt@32:4"]
CHAINED = ["run", "./tiny", CHAIN, *TEXTS]


@pytest.fixture
def spec(machine):
    text, train = map(TextWindows.parse, ("text.txt:4x32", "text.txt:24x32"))
    return complete(
        "./tiny", CHAIN, RunSettings(calibration=text, train=train, perplexity=[Perplexity.parse("text.txt@32:4")])
    )


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


def test_every_stage_preserves_earlier_zeros(after, spec):
    after(CHAINED)
    _, pruned, rebuilt, trained, whole = (prefix.key for prefix in spec.variant.prefixes)
    first, last = zeros(pruned), zeros(whole)
    for name, bound in first.items():
        assert (bound.sum(1) == round(0.3 * bound.shape[1])).all()
        assert torch.equal(zeros(rebuilt)[name], bound) and torch.equal(zeros(trained)[name], bound)
        assert (last[name] | ~bound).all() and (last[name].sum(1) == round(0.5 * bound.shape[1])).all()
    stored = {result.variant.key: result for result in Store().results()}
    assert [len(stored[key].variant.stage_runs) for key in (pruned, rebuilt, trained, whole)] == [1, 2, 3, 4]
    assert {layer.stage for layer in stored[whole].layers} == {0, 1, 3}


def test_a_factored_embedding_is_cached_and_its_removed_share_printed(applied, output_of, capsys):
    command = ["run", "./tiny", "wanda@0.3+tensor-train@2x", *TEXTS[:2], "--perplexity"]
    assert "Removed 62.5 % of the embedding (4x8" in output_of(*command, "text.txt@32:4")
    applied.clear()
    assert main([*command, "text.txt@16:4", "--json"]) == 0
    assert applied == ["dense"]
    printed = json.loads(capsys.readouterr().out)
    assert [stage["pattern"] for stage in printed["variant"]["stages"]] == [None, "2x"]
    assert [row["metric"] for row in printed["measurements"]] == ["perplexity"] * 2


def test_a_chain_that_is_cancelled_in_its_training_resumes_it(spec, interrupt, applied):
    interrupt(4)
    assert main(CHAINED) == 130
    store, trained = Store(), spec.variant.prefixes[3]
    cut = store.get(trained.key)
    assert cut.variant.cut_short and store.get(spec.variant.key) is None
    assert cut.variant.details["training"]["ended"] == "cancelled" and cut.measurements == ()
    assert "(cancelled)" in summary([cut], store, display_names([cut.variant.model_id]))[0]["chain"]
    applied.clear()
    assert main(CHAINED) == 0
    assert applied == ["lora", "wanda", "dense"]
    whole, again = store.get(spec.variant.key), store.get(trained.key)
    assert not whole.variant.cut_short and not again.variant.cut_short
    assert len(whole.measurements) == 1 and not list((cache_dir() / "training").iterdir())
    before, after = (found.variant.stage_runs[2]["training"] for found in (cut, whole))
    assert after["steps"] == 10 > before["steps"]
    assert after["held_out"][: len(before["held_out"])] == before["held_out"]


@pytest.mark.parametrize("teacher", [None, "./tiny"])
@pytest.mark.parametrize("recovery", ["distill-white", "distill-black"])
def test_a_distillation_uses_the_dense_model_or_another_teacher(recovery, teacher, ran, output_of):
    settings = [recovery, "batch=8", "epochs=1", *([f"teacher={teacher}"] if teacher else [])]
    settings += ["answer_tokens=6"] if recovery == "distill-black" else ["teacher_share=1"]
    variant = output_of(*and_then(",".join(settings)), "--train", "text.txt:16x24", "--json")["variant"]
    named = variant["stages"][1]["parameters"].get("teacher")
    assert named is None if teacher is None else named.startswith("tiny@sha256:")
    assert variant["recovery"] == recovery and variant["details"]["training"]["steps"] == 1


def test_a_sweep_runs_each_variant_once_and_continues_after_failures(tmp_path, capsys, monkeypatch):
    out = tmp_path / "out.jsonl"
    grid = ["--methods", "magnitude,wanda", "--ratios", "0.2", "--patterns", "2:4", "--seeds", "0,1"]
    real, asked = compute.run_alone, []

    def failing_on_patterns(spec, *rest):
        asked.append(spec)
        if isinstance(spec.variant.stages[0].amount, Pattern):
            raise RuntimeError("odd")
        return real(spec, *rest)

    monkeypatch.setattr(compute, "run_alone", failing_on_patterns)
    assert main([*SWEEP, *grid, "--out", str(out)]) == 1
    stages = [spec.variant.stages[0] for spec in asked]
    # Dense once; magnitude draws nothing, so 2 points; wanda 2 points with 2 seeds each.
    assert [stage.method for stage in stages] == ["dense"] + ["magnitude"] * 2 + ["wanda"] * 4
    assert [stage.ratio for stage in stages[1:3]] == [0.2, 0.5]
    captured = capsys.readouterr()
    assert "3 of 7 points failed" in captured.err
    assert "3/7 Magnitude 2:4, tiny: Unexpected error (RuntimeError: odd)" in captured.err
    assert len(out.read_text().splitlines()) == 4

    monkeypatch.setattr(compute, "run_alone", real)
    assert main([*SWEEP, *grid, "--out", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({line["variant"]["key"] for line in lines}) == len(lines) == 7
    assert len(Store().results()) == 7


ODD = {"config.json": "null", "model.safetensors": "", "model.safetensors.index.json": "{}", "tokenizer.json": "[]"}


@pytest.mark.matrix(file=lambda file: file == "config.json")  # which is read before the sweep
@pytest.mark.parametrize("file", ODD)
def test_a_sweep_continues_after_an_unreadable_model(file, capsys, tmp_path, folder):
    odd = shutil.copytree(folder / "tiny", tmp_path / "odd")
    (odd / file).write_text(ODD[file])
    grid = ["--methods", "magnitude", "--ratios", "0.5", "--perplexity", "text.txt@32:2"]
    assert main(["sweep", "--models", f"{odd},./tiny", *grid]) == 1
    captured = capsys.readouterr()
    assert "Magnitude 50 %, tiny: done." in captured.err and "Traceback" not in captured.err
    last = captured.err.strip().splitlines()[-1]
    assert ("1 of 2 models skipped" in last and str(odd) in last) or "2 of 4 points failed" in last
    assert len(Store().results()) == 2

    assert main(["sweep", "--models", str(odd), *grid]) == (2 if "skipped" in last else 1)
    assert "odd" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_runs_nothing(ran, capsys):
    chains = ["--chain", "sparsegpt@0.5+adaprune", "--chain", "sparsegpt@0.5"]
    assert main(["sweep", "--models", "./tiny", *chains, *RUN[3:], "--dry-run"]) == 0
    captured = capsys.readouterr()
    lines = [line for line in captured.out.splitlines() if "tiny" in line]
    names = ["Dense,", "SparseGPT 50 % #3794,", "SparseGPT 50 %+AdaPrune#f19d,"]
    assert [line.split(" tiny")[0] for line in lines] == names
    assert "about" in lines[2] and "GB" in lines[2] and all(line.rstrip().endswith(" MB") for line in lines)
    assert all("fp32 " in line for line in lines)  # the size as a file
    assert captured.out.count("stored") == 2
    assert captured.err.startswith("All: about ") and len(Store().results()) == 2


def test_a_sweep_stops_where_the_results_folder_cannot_be_written(error_of, results_dir):
    (results_dir / "compute.lock").mkdir(parents=True)  # as of a folder that is read-only, also for root
    error = error_of(*SWEEP, "--methods", "magnitude,wanda", "--ratios", "0.3,0.5")
    assert "The sweep stopped at 1/5 Dense, tiny" in error and "The lock in" in error and "points failed" not in error


def test_a_sweep_stops_at_a_result_that_cannot_be_stored_and_resumes_with_its_variant(error_of, applied):
    store, grid = Store(), [*SWEEP, "--methods", "wanda", "--ratios", "0.3,0.5"]
    when, full = "BEFORE INSERT ON variants WHEN NEW.method = 'wanda'", "RAISE(ABORT, 'database or disk is full')"
    with store.begin() as connection:
        connection.exec_driver_sql(f"CREATE TRIGGER refuse {when} BEGIN SELECT {full}; END")
    *_, last = error_of(*grid).strip().splitlines()
    assert "at 2/3 Wanda 30 % #9754, tiny; the same command resumes there: The disk is full" in last
    assert "points failed" not in last
    assert [result.variant.method for result in store.results()] == ["dense"]
    with store.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")

    applied.clear()
    assert main(grid) == 0
    assert applied == ["wanda"]  # 0.3 lay in the cache
    assert len(store.results()) == 3
