"""Sweeps on the command line: each variant once, despite failures, with the measurements of each point."""

import json
import shutil

import pytest

from core.amount import Pattern
from core.cli import compute
from core.cli.app import main
from core.engine import variants
from core.store.store import Store
from tests.core.commands import RUN, SWEEP

pytestmark = pytest.mark.usefixtures("machine")


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
    assert "3/7 Magnitude, 2:4, tiny: Unexpected error (RuntimeError: odd)" in captured.err
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
    assert "Magnitude, 50 %, tiny: done." in captured.err and "Traceback" not in captured.err
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
    names = ["Dense,", "SparseGPT, 50 %,", "SparseGPT, 50 %, then AdaPrune,"]
    assert [line.split(" tiny")[0] for line in lines] == names
    assert "about" in lines[2] and "GB" in lines[2] and all(line.rstrip().endswith(" MB") for line in lines)
    assert all("fp32 " in line for line in lines)  # the size as a file
    assert captured.out.count("stored") == 2
    assert captured.err.startswith("All: about ") and len(Store().results()) == 2


def test_a_sweep_stops_where_the_results_folder_cannot_be_written(capsys, results_dir):
    (results_dir / "compute.lock").mkdir(parents=True)  # as of a folder that is read-only, also for root
    assert main([*SWEEP, "--methods", "magnitude,wanda", "--ratios", "0.3,0.5"]) == 2
    error = capsys.readouterr().err
    assert "The sweep stopped at 1/5 Dense, tiny" in error and "The lock in" in error and "points failed" not in error


def test_a_sweep_stops_at_a_result_that_cannot_be_stored_and_resumes_with_its_variant(capsys, monkeypatch):
    store, grid = Store(), [*SWEEP, "--methods", "wanda", "--ratios", "0.3,0.5"]
    when, full = "BEFORE INSERT ON variants WHEN NEW.method = 'wanda'", "RAISE(ABORT, 'database or disk is full')"
    with store.begin() as connection:
        connection.exec_driver_sql(f"CREATE TRIGGER refuse {when} BEGIN SELECT {full}; END")
    assert main(grid) == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert "at 2/3 Wanda, 30 %, tiny; the same command resumes there: The disk is full" in last
    assert "points failed" not in last
    assert [result.variant.method for result in store.results()] == ["dense"]
    with store.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")

    apply, made = variants.apply, []
    monkeypatch.setattr(variants, "apply", lambda model, given, more: made.append(given) or apply(model, given, more))
    assert main(grid) == 0
    assert [given.stage.ratio for given in made] == [0.5]  # 0.3 lay in the cache
    assert len(store.results()) == 3
