"""The command line on models of any name, odd ones, and what is saved of them."""

import errno
import json
import shutil

import pytest

from core.cli.app import main
from core.models import manifest
from core.notation.chain import quoted
from core.store.store import Store
from tests.core.commands import RUN

pytestmark = pytest.mark.usefixtures("machine")


@pytest.mark.parametrize("name", ["some folder/my model", "Llama (1B)", "a@b", "x,y", ".hidden", "~root"])
def test_a_model_of_any_name_runs(name, capsys, tmp_path, folder, monkeypatch):
    model = tmp_path / "models" / name
    shutil.copytree(folder / "tiny", model)
    (tmp_path / "results" / model.name).mkdir(parents=True)  # one of that name, without a model, where it runs
    (tmp_path / "results" / "text.txt").write_text((folder / "text.txt").read_text())
    monkeypatch.chdir(tmp_path / "results")
    measured = ["--perplexity", "text.txt@32:4", "--json"]
    command = ["magnitude", *measured]
    assert main(["run", str(model), *command]) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)
    assert result["variant"]["model"] == model.name
    assert main(["run", model.name, *command]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert main(["export", result["variant"]["key"], str(tmp_path / "out")]) == 0
    with monkeypatch.context() as patch:
        patch.chdir(model.parent)
        sweep = ["--methods", "wanda", "--ratios", "0.5", "--calibration", f"{folder}/text.txt:2x32"]
        given = f'"{model}"'
        assert main(["sweep", "--models", given, *sweep, "--perplexity", f"{folder}/text.txt@32:4"]) == 0
    chain = f"magnitude+distill-white,teacher={quoted(str(model))},steps=2,held_out=4,batch=4"
    assert main(["run", str(model), chain, *measured, "--train", "text.txt:12x16"]) == 0, capsys.readouterr().err


ODD = {
    "config.json": "null",
    "model.safetensors.index.json": "{}",
    "tokenizer.json": "[]",
    "model.safetensors": "",
}


@pytest.mark.parametrize("file", ODD)
def test_a_sweep_continues_after_an_unreadable_model(file, capsys, tmp_path, folder):
    odd = shutil.copytree(folder / "tiny", tmp_path / "odd")
    (odd / file).write_text(ODD[file])
    grid = ["--methods", "magnitude", "--ratios", "0.5", "--perplexity", "text.txt@32:2"]
    assert main(["sweep", "--models", f"{odd},./tiny", *grid]) == 1
    captured = capsys.readouterr()
    assert "Magnitude, 50 %, tiny: done." in captured.err and "Traceback" not in captured.err
    last = captured.err.strip().splitlines()[-1]
    assert ("1 of 2 models skipped" in last and str(odd) in last) or "2 of 4 points failed" in last
    assert len(Store().results()) == 2

    assert main(["sweep", "--models", str(odd), *grid]) == (2 if "skipped" in last else 1)
    assert "odd" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
        KeyboardInterrupt(),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_failed_save_can_be_repeated(error, there, tmp_path, capsys, monkeypatch):
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


def test_a_dry_run_prints_the_plan_and_runs_nothing(capsys):
    chains = ["--chain", "magnitude@0.5+adaprune", "--chain", "magnitude@0.5"]
    texts = ["--calibration", "text.txt:2x32", "--perplexity", "text.txt@32:2"]
    sweep = ["sweep", "--models", "./tiny", *chains, *texts]
    assert main([*sweep, "--dry-run"]) == 0
    captured = capsys.readouterr()
    lines = [line for line in captured.out.splitlines() if "tiny" in line]
    assert [line.split(" tiny")[0] for line in lines] == [
        "Dense,",
        "Magnitude, 50 %,",
        "AdaPrune, 50 %,",
    ]
    assert all("about" in line and "GB" in line and line.rstrip().endswith(" MB") for line in lines)
    assert captured.err.startswith("All: about ") and Store().results() == []
    assert main(sweep) == 0
    capsys.readouterr()
    assert main([*sweep, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("stored") == 3
