"""The commands `run`, `export` and `delete`, end to end on a tiny random model and a text file."""

import errno
import io
import json
import shlex
import shutil
import subprocess
import sys

import pytest
from rich.console import Console
from transformers import AutoModelForCausalLM

from core.base import paths
from core.cli import compute
from core.cli.app import main
from core.models import manifest
from core.notation.chain import quoted
from core.request.expected.estimate import Estimate
from core.store.bundled import append_shipped
from core.store.store import Store
from tests.core.commands import RUN, SWEEP, WORDS
from tests.core.factories import make, perplexity

pytestmark = pytest.mark.usefixtures("machine")


def test_json_has_the_variant_its_texts_and_its_numbers(ran, output_of):
    result = output_of(*RUN, "--json")
    assert set(result) >= {"variant", "footprint", "measurements", "layers"}
    variant = result["variant"]
    assert (variant["method"], variant["model"], variant["chain"]) == ("sparsegpt", "tiny", "sparsegpt@0.5")
    assert (variant["train"], variant["seed"]) == (None, 0)
    assert (variant["stages"][0]["name"], variant["stages"][0]["parameters"]) == ("sparsegpt", {})  # no defaults
    assert variant["calibration"].startswith("text.txt@")  # the identity of the text, not its path
    assert result["footprint"]["block_zeros"] == result["footprint"]["block_weights"] // 2
    (number,) = result["measurements"]
    assert (number["metric"], number["n"]) == ("perplexity", 4) and number["value"] > 1
    assert (number["protocol"]["window"], number["protocol"]["windows"]) == (32, 4)
    assert len(result["layers"]) == 14


def test_the_repetition_of_a_run_needs_no_torch(ran, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(paths.PROJECT))
    code = "import sys; from core.cli.app import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    again = subprocess.run([sys.executable, "-c", code, *RUN, "--json"], capture_output=True, text=True)
    stored, _, last = again.stdout.strip().rpartition("\n")
    assert last == "0 False", again.stderr
    assert json.loads(stored)["variant"]["method"] == "sparsegpt"


def test_spread_windows_and_first_windows_are_separate_results(output_of, capsys, tmp_path):
    words = (WORDS[(place // 50 + place**2) % len(WORDS)] for place in range(600))
    (tmp_path / "my.txt").write_text(" ".join(words))
    text = f"{tmp_path / 'my.txt'}@32:4"
    command = ["run", "./tiny", "dense", "--perplexity", text, "--perplexity", f"{text}:spread"]
    first, spread = output_of(*command, "--json")["measurements"]
    assert "spread" not in first["protocol"] and spread["protocol"]["spread"] is True
    assert first["value"] != spread["value"] and first["inflation"] > 0
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "@32:4:spread" in shown.out.replace("\n", "") and "my.txt@" in shown.err  # of few windows


def test_an_achieved_ratio_that_differs_is_printed(capsys):
    command = ["shortgpt", "--calibration", "text.txt:2x32", "--perplexity", "text.txt@32:2"]
    assert main(["run", "./tiny", *command, "--ratio", "0.999", "--json"]) == 0
    captured = capsys.readouterr()
    message = "Removed 50.0 % of the block weights; 99.9 % was requested."
    assert message in captured.err.splitlines()
    assert json.loads(captured.out)["variant"]["ratio"] == 0.999
    assert main([*SWEEP, "--methods", "shortgpt", "--ratios", "0.5,0.999"]) == 0
    lines = capsys.readouterr().err
    assert "2/3 ShortGPT 50 % #1284, tiny: done.\n" in lines
    assert f"3/3 ShortGPT 99.9 % #da26, tiny: done. {message}\n" in lines


def terminal_with(typed):
    """Standard input of a terminal on which a user types."""
    terminal = io.StringIO(typed)
    terminal.isatty = lambda: True
    return terminal


def test_several_results_are_deleted_together_or_not_at_all(error_of, capsys, monkeypatch):
    bundled = make(perplexity(9.0), key="c" * 64)
    for key in ("a" * 64, "b" * 64):
        Store().put(make(perplexity(20.0), key=key))
    append_shipped(bundled, paths.SHIPPED_MEASURED / "a.jsonl")
    for other in ("c" * 8, "0" * 64):  # a bundled one, and none
        assert main(["delete", "a" * 8, other, "--yes"]) == 2
    capsys.readouterr()
    doomed = ", and ".join(f"1 of your own numbers of Wanda 50 %, m ({12 * one})" for one in "ab")
    command = ["delete", "a" * 8, "b" * 8, "a" * 12]
    assert error_of(*command) == f"This deletes {doomed}; add --yes to agree.\n"
    with monkeypatch.context() as terminal:
        terminal.setattr("sys.stdin", terminal_with("n\n"))
        terminal.setattr(Console, "is_terminal", True)
        assert main(command) == 0
    assert "Nothing is deleted." in capsys.readouterr().err and len(Store().results()) == 3
    assert main([*command, "--yes"]) == 0
    assert capsys.readouterr().err == f"Deleted {doomed}.\n" and Store().results() == [bundled]


def test_run_prints_numbers_texts_and_the_command_to_reproduce_them(ran, output_of, capsys):
    both = output_of(*RUN, "--perplexity", "text.txt@64:2")
    assert "@32:4" in both and "@64:2" in both and "other number" not in both
    out = output_of(*RUN)
    texts = next(line for line in out.splitlines() if line.startswith("sparsegpt@0.5: calibrated on text.txt@"))
    assert ":4x32, seed 0; measured on text.txt@" in texts and texts.endswith("@32:4.")
    key = next(one.variant.key for one in Store().results() if one.variant.method == "sparsegpt")
    assert f"1 other number of this variant is stored: `slimscope results {key[:8]}` shows it." in out
    assert "@64:2" not in out
    (command,) = [line for line in out.splitlines() if line.startswith("slimscope run ")]
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out == out


def test_a_shrunk_variant_is_cached_measured_again_and_exported(output_of, tmp_path, applied):
    command = ["run", "./tiny", "slimllm", "--ratio", "0.3", "--calibration", "text.txt:4x32"]
    first = output_of(*command, "--perplexity", "text.txt@32:4", "--json")
    key = first["variant"]["key"]
    assert (tmp_path / "cache" / "variants" / key / "model.safetensors").is_file()
    applied.clear()
    again = output_of(*command, "--perplexity", "text.txt@64:2", "--json")
    assert applied == ["dense"]  # nothing else is made again
    assert {row["protocol"]["window"] for row in again["measurements"]} == {32, 64}
    assert again["layers"] == first["layers"]
    assert again["footprint"]["model_parameters"] < again["footprint"]["dense_parameters"]
    assert main(["export", key[:10], str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "modeling_slimscope.py").is_file()
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(part in card for part in (key, "SlimLLM", "2505.22689", "trust_remote_code=True", "| perplexity |"))


def test_a_variant_missing_from_the_cache_is_recomputed(ran, tmp_path, monkeypatch):
    (key,) = (one.variant.key for one in Store().results() if one.variant.method == "sparsegpt")
    shutil.rmtree(tmp_path / "cache" / "variants")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["export", key, "~/new"]) == 0
    weight = AutoModelForCausalLM.from_pretrained(tmp_path / "home" / "new").model.layers[0].mlp.up_proj.weight
    assert (weight == 0).sum() == weight.numel() // 2


NAMES = ["some folder/a@b, (1B)", "some folder/my model", "Llama (1B)", "a@b", "x,y", ".hidden", "~root"]


@pytest.mark.matrix(name=None)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_any_name_runs(name, output_of, capsys, tmp_path, folder, monkeypatch):
    model = tmp_path / "models" / name
    shutil.copytree(folder / "tiny", model)
    (tmp_path / "results" / model.name).mkdir(parents=True)  # one of that name, without a model, where it runs
    (tmp_path / "results" / "text.txt").write_text((folder / "text.txt").read_text())
    monkeypatch.chdir(tmp_path / "results")
    measured = ["--perplexity", "text.txt@32:4", "--json"]
    result = output_of("run", str(model), "magnitude", *measured)
    assert result["variant"]["model"] == model.name
    assert output_of("run", model.name, "magnitude", *measured) == result
    assert main(["export", result["variant"]["key"], str(tmp_path / "out")]) == 0
    with monkeypatch.context() as patch:
        patch.chdir(model.parent)
        sweep = ["--methods", "wanda", "--ratios", "0.5", "--calibration", f"{folder}/text.txt:2x32"]
        assert main(["sweep", "--models", f'"{model}"', *sweep, "--perplexity", f"{folder}/text.txt@32:4"]) == 0
    chain = f"magnitude+distill-white,teacher={quoted(str(model))},steps=2,held_out=4,batch=4"
    assert main(["run", str(model), chain, *measured, "--train", "text.txt:12x16"]) == 0, capsys.readouterr().err


@pytest.mark.matrix(error=lambda error: isinstance(error, Exception))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("there", [False, True])
def test_a_failed_save_can_be_repeated(error, there, ran, tmp_path, capsys, monkeypatch):
    def fail(model, folder):
        (folder / "model-00001.safetensors").write_bytes(b"half of it")
        raise error

    target = tmp_path / "new" / "saved"
    if there:
        target.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "save_model", fail)
        assert main([*RUN, "--save", str(target)]) in (2, 130)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert list(target.parent.iterdir()) == [target][: int(there)]
    assert main([*RUN, "--save", str(target)]) == 0, capsys.readouterr().err
    assert {"README.md", "config.json", "model.safetensors"} <= {path.name for path in target.iterdir()}
    assert list(target.parent.iterdir()) == [target]


def test_estimate_follows_the_checks_and_warns_of_short_memory(error_of, capsys, monkeypatch):
    assert "Estimated" not in error_of("run", "./tiny", "dense", "--perplexity", "text.txt@32:1000")
    dense = ["run", "./tiny", "dense", "--perplexity", "text.txt@32:4"]
    assert main(dense) == 0
    message = capsys.readouterr().err
    assert "Estimated: about " in message and "of this machine" not in message
    monkeypatch.setattr(compute, "machine_bytes", lambda: 5 * 10**8)
    assert main([*dense, "--force"]) == 0
    assert " GB of memory, more than the 0.5 GB of this machine." in capsys.readouterr().err
    words = compute.estimate_words(Estimate(seconds=15_000, bytes=10**9, stages={"train": 14_400}), "cpu", dense=False)
    assert words.endswith("Training takes about 4.0 h of it; minutes limits a stage, as in lora,minutes=5.")
