"""The command line, end to end on a tiny random model and a text file."""

import io
import json
import shlex
import shutil
import subprocess
import sys

import pandas
import pytest

from core import paths
from core.cli.app import main
from core.store.bundled import append_shipped
from core.store.store import Store
from tests.core.commands import RUN, SWEEP, WORDS
from tests.core.factories import make, perplexity
from tests.core.notation.latex import check_table

pytestmark = pytest.mark.usefixtures("machine")


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=100)


def test_run_prints_json_and_its_repetition_needs_no_torch(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(paths.PROJECT))
    first = python("-m", "core", *RUN, "--save", str(tmp_path / "saved"), "--json")
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert set(result) >= {"variant", "footprint", "measurements", "layers"}
    assert result["variant"]["method"] == "sparsegpt"
    assert result["variant"]["model"] == "tiny"
    assert result["variant"]["chain"] == "sparsegpt@0.5"
    assert (result["variant"]["train"], result["variant"]["seed"]) == (None, 0)
    assert result["variant"]["stages"][0]["name"] == "sparsegpt"
    assert result["variant"]["stages"][0]["parameters"] == {}  # those at their default are absent
    assert result["variant"]["calibration"].startswith("text.txt@")  # the identity of the text, not its path
    assert result["footprint"]["block_zeros"] == result["footprint"]["block_weights"] // 2
    (number,) = result["measurements"]
    assert (number["metric"], number["n"]) == ("perplexity", 4)
    assert (number["protocol"]["window"], number["protocol"]["windows"]) == (32, 4)
    assert number["value"] > 1
    assert len(result["layers"]) == 14

    code = "import sys; from core.cli.app import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    again = python("-c", code, *RUN, "--json")
    stored, _, last = again.stdout.strip().rpartition("\n")
    assert last == "0 False", again.stderr
    assert json.loads(stored) == result

    from transformers import AutoModelForCausalLM

    weight = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").model.layers[0].mlp.up_proj.weight
    assert (weight == 0).sum() == weight.numel() // 2


def test_a_changed_text_of_the_same_name_is_another_variant(capsys, tmp_path, monkeypatch, folder):
    keys = []
    for words in (WORDS, WORDS[::-1]):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "my.txt").write_text(" ".join(words * 4))
        model = str(folder / "tiny")
        more = ["--perplexity", "my.txt@32:2", "--json"]
        assert main(["run", model, "wanda", "--calibration", "my.txt:2x32", *more]) == 0
        keys.append(json.loads(capsys.readouterr().out)["variant"]["key"])
    assert keys[0] != keys[1]


def test_spread_windows_and_first_windows_are_separate_results(capsys, tmp_path, folder):
    words = (WORDS[(place // 50 + place**2) % len(WORDS)] for place in range(600))
    (tmp_path / "my.txt").write_text(" ".join(words))
    texts = [f"{tmp_path / 'my.txt'}@32:4", f"{tmp_path / 'my.txt'}@32:4:spread"]
    command = ["run", str(folder / "tiny"), "dense", *(word for text in texts for word in ("--perplexity", text))]
    assert main([*command, "--json"]) == 0
    first, spread = json.loads(capsys.readouterr().out)["measurements"]
    assert "spread" not in first["protocol"] and spread["protocol"]["spread"] is True
    assert first["value"] != spread["value"]
    assert first["inflation"] > 0
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "@32:4:spread" in shown.out.replace("\n", "")
    assert "Intervals of fewer than 8 windows or 50 documents are unreliable: my.txt@" in shown.err


def test_an_achieved_ratio_that_differs_is_printed(capsys):
    command = ["shortgpt", "--calibration", "text.txt:2x32", "--perplexity", "text.txt@32:2"]
    assert main(["run", "./tiny", *command, "--ratio", "0.999", "--json"]) == 0
    captured = capsys.readouterr()
    message = "Removed 50.0 % of the block weights; 99.9 % was requested."
    assert message in captured.err.splitlines()
    assert json.loads(captured.out)["variant"]["ratio"] == 0.999
    assert main([*SWEEP, "--methods", "shortgpt,svd", "--ratios", "0.5,0.999"]) == 0
    lines = capsys.readouterr().err
    assert "2/5 ShortGPT, 50 %, tiny: done.\n" in lines
    assert f"3/5 ShortGPT, 99.9 %, tiny: done. {message}\n" in lines
    assert "5/5 SVD, 99.9 %, tiny: done. Removed 94.0 % of the block weights; 99.9 %" in lines


def test_results_are_printed_in_every_format_and_deleted(capsys):
    assert main(["results"]) == 0
    assert "no results yet" in capsys.readouterr().err
    assert main([*SWEEP, "--methods", "magnitude", "--ratios", "0.5"]) == 0
    capsys.readouterr()

    assert main(["results", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [result["variant"]["method"] for result in listed] == ["dense", "magnitude"]
    assert main(["results", "--csv"]) == 0
    frame = pandas.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(frame["value"]) == pytest.approx([result["measurements"][0]["value"] for result in listed])
    assert main(["results", "--latex"]) == 0
    latex = capsys.readouterr().out
    assert latex.startswith("{\\small\n") and r"50.0 \%" in latex
    check_table(latex)
    assert main(["results"]) == 0
    table = capsys.readouterr().out
    key = listed[1]["variant"]["key"]
    assert key[:12] in table

    assert main(["delete", key[:12], "0" * 64]) == 2  # none is deleted where one cannot be
    assert len(Store().results()) == 2
    assert main(["delete", key[:12]]) == 0
    assert main(["results", "--json"]) == 0
    assert [result["variant"]["method"] for result in json.loads(capsys.readouterr().out)] == ["dense"]


def test_several_results_are_deleted_together_or_not_at_all(capsys):
    bundled = make(perplexity(9.0), key="c" * 64)
    for key in ("a" * 64, "b" * 64):
        Store().put(make(perplexity(20.0), key=key))
    append_shipped(bundled, paths.SHIPPED_MEASURED / "a.jsonl")
    assert main(["delete", "a" * 8, "c" * 8]) == 2
    assert "cccccccc is bundled with the project; only your own results" in capsys.readouterr().err
    assert main(["delete", "a" * 8, "b" * 8, "a" * 12]) == 0
    assert Store().results() == [bundled]


def test_run_prints_numbers_texts_and_the_command_to_reproduce_them(capsys):
    assert main([*RUN, "--perplexity", "text.txt@64:2"]) == 0
    both = capsys.readouterr().out
    assert "@32:4" in both and "@64:2" in both and "other number" not in both
    assert main(RUN) == 0
    out = capsys.readouterr().out
    texts = next(line for line in out.splitlines() if line.startswith("sparsegpt@0.5: calibrated on text.txt@"))
    assert ":4x32, seed 0; measured on text.txt@" in texts and texts.endswith("@32:4.")
    key = next(one.variant.key for one in Store().results() if one.variant.method == "sparsegpt")
    assert f"1 other number of this variant is stored: `slimscope results {key[:8]}` shows it." in out
    assert "@64:2" not in out
    (command,) = [line for line in out.splitlines() if line.startswith("slimscope run ")]
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out == out


def test_a_model_name_like_a_formula_is_text_in_a_csv(capsys):
    odd = make(perplexity(20.0, dataset="-my.txt"))
    Store().put(odd.model_copy(update={"variant": odd.variant.model_copy(update={"model": "=cmd|' /C calc'!A1"})}))
    assert main(["results", "--csv"]) == 0
    frame = pandas.read_csv(io.StringIO(capsys.readouterr().out))
    assert (frame["model"][0], frame["dataset"][0], frame["value"][0]) == ("'=cmd|' /C calc'!A1", "'-my.txt", 20.0)


def test_lists_show_all_models_and_methods(capsys):
    assert main(["models"]) == 0
    models = capsys.readouterr().out
    assert "smollm2-135m" in models
    assert "llama-2-7b" in models
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    dampings = [line for line in lines if line.strip().startswith("damping")]
    assert len(dampings) == 4 and all("<= 10" in line and "0.01" in line for line in dampings)
    assert any("Bits per weight: 2, 3, 4, 8." in line for line in lines)
    rank = next(line for line in lines if line.strip().startswith("rank") and "auto" in line)
    assert "integer" in rank and ">= 1, <= 1024" in rank
    assert any("uniform, global" in line for line in lines)


def test_a_shrunk_variant_is_cached_measured_again_and_exported(capsys, tmp_path, monkeypatch):
    command = ["run", "./tiny", "slimllm", "--ratio", "0.3", "--calibration", "text.txt:4x32"]
    assert main([*command, "--perplexity", "text.txt@32:4", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    key = first["variant"]["key"]
    assert (tmp_path / "cache" / "variants" / key / "model.safetensors").is_file()

    from core.engine import variants

    real = variants.apply

    def only_dense(model, given, context):  # nothing else is made again
        assert given.stage.method == "dense"
        return real(model, given, context)

    monkeypatch.setattr(variants, "apply", only_dense)
    assert main([*command, "--perplexity", "text.txt@64:2", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {row["protocol"]["window"] for row in again["measurements"]} == {32, 64}
    assert again["layers"] == first["layers"]
    assert again["footprint"]["model_parameters"] < again["footprint"]["dense_parameters"]

    assert main(["export", key[:10], str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "modeling_slimscope.py").is_file()
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(part in card for part in (key, "SlimLLM", "2505.22689", "trust_remote_code=True", "| perplexity |"))

    capsys.readouterr()
    assert main(["export", key[:10], str(tmp_path / "out")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_a_variant_missing_from_the_cache_is_recomputed(capsys, tmp_path):
    assert main([*RUN, "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["variant"]["key"]
    shutil.rmtree(tmp_path / "cache" / "variants")
    assert main(["export", key, str(tmp_path / "out")]) == 0

    from transformers import AutoModelForCausalLM

    weight = AutoModelForCausalLM.from_pretrained(tmp_path / "out").model.layers[0].mlp.up_proj.weight
    assert (weight == 0).sum() == weight.numel() // 2
