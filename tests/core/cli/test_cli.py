"""The command line, end to end on a tiny random model and a text file."""

import errno
import io
import json
import shutil
import sqlite3
import subprocess
import sys

import pandas
import pytest
from sqlalchemy.exc import OperationalError

from core import paths
from core.cli import compute, options
from core.cli.app import main
from core.errors import UserError
from core.store.store import Store
from tests.core.commands import RUN, SWEEP, WORDS, and_then
from tests.core.latex import check_table
from tests.core.made import make, perplexity

pytestmark = pytest.mark.usefixtures("machine")


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=100)


def test_run_gives_json_and_a_repeated_run_loads_it_without_torch(tmp_path, monkeypatch):
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


def test_another_text_behind_the_same_name_is_another_variant(capsys, tmp_path, monkeypatch, folder):
    keys = []
    for words in (WORDS, WORDS[::-1]):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "my.txt").write_text(" ".join(words * 4))
        model = str(folder / "tiny")
        more = ["--perplexity", "my.txt@32:2", "--json"]
        assert main(["run", model, "wanda", "--calibration", "my.txt:2x32", *more]) == 0
        keys.append(json.loads(capsys.readouterr().out)["variant"]["key"])
    assert keys[0] != keys[1]


LONG = "9" * 5000  # more digits than Python reads
BAD = {
    "unknown model": (["run", "smolm2-135m", "wanda"], "did you mean 'smollm2-135m'?"),
    "absent folder": (["run", "./nowhere", "wanda"], "no folder './nowhere'"),
    "folder of nobody": (["run", "~nouser/x", "wanda"], "no folder '~nouser/x'"),
    "name of 300 letters": (["run", "n" * 300, "wanda"], "Unknown model"),
    "text of nobody": (["run", "./tiny", "dense", "--perplexity", "~nouser/x@32"], "no text file"),
    "folder that holds no model": (["run", "./full", "wanda"], "config.json"),
    "unknown method": (["run", "./tiny", "wand"], "did you mean 'wanda'?"),
    "unknown parameter": ([*RUN, "--set", "dampng=1"], "no parameter 'dampng'"),
    "parameter out of range": ([*RUN, "--set", "damping=-1"], "damping = '-1' does not fit"),
    "parameter of the wrong type": ([*RUN, "--set", "mask_block=many"], "mask_block = 'many' does not fit"),
    "parameter without a value": ([*RUN, "--set", "damping"], "not NAME=VALUE"),
    "ratio of 1": ([*RUN, "--ratio", "1.0"], "outside [0, 1)"),
    "ratio that would be rounded to 1": ([*RUN, "--ratio", "0.9999999"], "Ratio 0.9999999 is too near to 1"),
    "negative ratio": ([*RUN, "--ratio", "-0.1"], "outside [0, 1)"),
    "ratio that is no number": ([*RUN, "--ratio", "half"], "Invalid value for '--ratio'"),
    "malformed pattern": ([*RUN, "--pattern", "2-4"], "not N:M"),
    "pattern that keeps all": ([*RUN, "--pattern", "4:4"], "not N:M"),
    "pattern against the ratio": ([*RUN, "--pattern", "2:4", "--ratio", "0.7"], "removes 0.5 of the weights"),
    "pattern in digits that are none": ([*RUN, "--pattern", "²:⁴"], "not N:M"),
    "pattern of thousands of digits": ([*RUN, "--pattern", f"2:{LONG}"], "not N:M"),
    "pattern that divides no layer": ([*RUN, "--pattern", "3:5"], "does not divide a layer with 32 inputs"),
    "ratio for the dense model": (["run", "./tiny", "dense", "--ratio", "0.5"], "nothing removed"),
    "malformed calibration": (["run", "./tiny", "wanda", "--calibration", "text.txt:4"], "not CORPUS:NxL"),
    "calibration of thousands of digits": ([*RUN, "--calibration", f"text.txt:{LONG}x32"], "not CORPUS:NxL"),
    "calibration on a test split": (["run", "./tiny", "wanda", "--calibration", "wikitext2:4x32"], "held out"),
    "calibration window too long": (["run", "./tiny", "wanda", "--calibration", "text.txt:4x256"], "made for 128"),
    "malformed perplexity": (["run", "./tiny", "dense", "--perplexity", "text.txt"], "not CORPUS@WINDOW"),
    "perplexity of thousands of digits": ([*RUN, "--perplexity", f"text.txt@32:{LONG}"], "not CORPUS@WINDOW"),
    "perplexity on a calibration text": (["run", "./tiny", "dense", "--perplexity", "c4-sample@32"], "to calibrate on"),
    "perplexity window too long": (["run", "./tiny", "dense", "--perplexity", "text.txt@4096"], "made for 128"),
    "unknown corpus": (["run", "./tiny", "dense", "--perplexity", "wikitext3@32"], "did you mean 'wikitext2'?"),
    "absent text file": (["run", "./tiny", "dense", "--perplexity", "nowhere.txt@32"], "no text file"),
    "file that is no text": (["run", "./tiny", "dense", "--perplexity", "bytes.bin@32"], "not UTF-8"),
    "unknown task": (["run", "./tiny", "dense", "--tasks", "piqua"], "did you mean 'piqa'?"),
    "malformed task": (["run", "./tiny", "dense", "--tasks", "piqa:x"], "not TASK[:LIMIT]"),
    "task of thousands of digits": (["run", "./tiny", "dense", "--tasks", f"piqa:{LONG}"], "not TASK[:LIMIT]"),
    "task on no documents": (["run", "./tiny", "dense", "--tasks", "piqa:00"], "not TASK[:LIMIT]"),
    "no task": (["run", "./tiny", "dense", "--tasks", ","], "names nothing"),
    "unknown dtype": ([*RUN, "--dtype", "float64"], "Unknown dtype 'float64'"),
    "unknown device": ([*RUN, "--device", "gpu"], "Unknown device 'gpu'"),
    "negative seed": ([*RUN, "--seed", "-1"], "Seed -1 is negative"),
    "seed beyond the last": ([*RUN, "--seed", "9" * 30], "is larger than 2147483648"),
    "broken expression for layers": ([*RUN, "--layers", "(up"], "neither FIRST:LAST nor a regular expression"),
    "layers of a method that removes units": (["run", "./tiny", "flap", "--layers", "0:0"], "leave the layers out"),
    "layers beyond the last": ([*RUN, "--layers", "7:9"], "selects none"),
    "folder to save in has too long a name": ([*RUN, "--save", "n" * 300], "File name too long"),
    "layers of thousands of digits": ([*RUN, "--layers", f"{LONG}:"], "selects none"),
    "folder to save in is not empty": ([*RUN, "--save", "full"], "is not empty"),
    "unknown type to save in": ([*RUN, "--save", "new", "--type", "fp8"], "did you mean 'fp32'?"),
    "unknown type of a format": (
        [*RUN, "--save", "new", "--format", "gguf", "--type", "int8"],
        "known: F16, Q8_0, Q4_0",
    ),
    "unknown format": ([*RUN, "--save", "new", "--format", "onnx"], "known: huggingface, gguf, compressed-tensors"),
    "format without a folder": ([*RUN, "--format", "gguf"], "add a folder with --save"),
    "format that cannot hold it": (
        [*RUN, "--save", "new", "--format", "compressed-tensors"],
        "no stage of this variant",
    ),
    "unknown precision to score in": ([*RUN, "--tasks", "piqa", "--scoring", "bfloat16"], "did you mean 'bf16'?"),
    "precision of scoring without tasks": ([*RUN, "--scoring", "bf16"], "add them with --tasks"),
    "precision of scoring without tasks in a sweep": (
        [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--scoring", "bf16"],
        "add them with --tasks",
    ),
    "unknown option": ([*RUN, "--rato", "0.5"], "No such option: --rato"),
    "missing argument": (["run", "./tiny"], "Missing argument"),
    "unknown command": (["prune"], "No such command 'prune'"),
    "malformed ratios": ([*SWEEP, "--methods", "wanda", "--ratios", "0.1:0.7"], "neither FIRST:LAST:STEP"),
    "ratios too high": ([*SWEEP, "--methods", "wanda", "--ratios", "0.5,1.5"], "outside [0, 1)"),
    "ratios in too small steps": ([*SWEEP, "--methods", "wanda", "--ratios", "0:0.9:0.0000001"], "STEP >= 0.001"),
    "sweep over nothing": ([*SWEEP, "--methods", "wanda"], "needs --ratios or --patterns"),
    "seed of thousands of digits": (
        [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--seeds", LONG],
        "not a whole number",
    ),
    "malformed seeds": ([*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--seeds", "a"], "not a whole number"),
    "tasks at no point": ([*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--tasks-at", "0.3"], "not a point"),
    "one bad method of two": ([*SWEEP, "--methods", "wanda,wonda", "--ratios", "0.5"], "did you mean 'wanda'?"),
    "file of another kind": ([*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--out", "x.csv"], "ends in .jsonl"),
    "unknown stage": (and_then("lorra"), "character 11: Unknown stage 'lorra'; did you mean 'lora'?"),
    "parameter of a later stage out of range": (and_then("lora,rank=0"), "character 16: LoRA: rank = '0' does not fit"),
    "unknown parameter of a later stage": (and_then("lora,rnk=4"), "no parameter 'rnk'"),
    "unknown teacher": (and_then("distill-black,teacher=no-such"), "no-such"),
    "nothing that trains": ([*RUN, "--train", "text.txt:4x32"], "No stage of sparsegpt@0.5 trains"),
    "training on a test split": ([*and_then("lora"), "--train", "ptb:4x32"], "is held out"),
    "options for several stages": ([*and_then("lora"), "--set", "rank=4"], "are for a single stage"),
    "an amount twice": (
        ["run", "./tiny", "wanda@0.5", "--ratio", "0.4"],
        "its amount both in the chain and as an option",
    ),
    "an open amount": (["run", "./tiny", "wanda@"], "left open; give one, such as wanda@0.5"),
    "two open amounts": ([*SWEEP, "--chain", "magnitude@+wanda@", "--ratios", "0.5"], "an earlier one is already"),
    "no chain at all": ([*SWEEP, "--ratios", "0.5"], "needs --methods or --chain"),
    "two formats": (["results", "--csv", "--json"], "Choose one"),
    "short key": (["delete", "abc"], "too short"),
    "unknown key": (["delete", "0" * 64], "no result with the key"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gives_one_sentence_and_exit_code_2(kind, capsys):
    arguments, sentence = BAD[kind]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    assert sentence in line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "./tiny", "dense", "--perplexity", "text.txt@32:1000"], "is too short"),
        ([*RUN, "--layers", "no_such_proj"], "selects none"),
        ([*RUN, "--device", "cuda:7"], "is not available here"),
    ],
)
def test_what_only_the_run_can_tell_is_one_sentence_too(arguments, sentence, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert sentence in captured.err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "The disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2, "The disk is full"),
        (OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), 2, "The disk is full"),
        (KeyboardInterrupt(), 130, "what was measured so far is stored"),
        (RuntimeError("odd"), 1, "RuntimeError: odd"),
    ],
)
def test_failures_end_in_a_sentence(error, code, sentence, capsys, monkeypatch, results_dir):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(compute, "compute", fail)
    assert main(RUN) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert sentence in captured.err.strip().splitlines()[-1]
    if code == 1:
        assert "RuntimeError: odd" in (results_dir / "logs" / "error.log").read_text()


def test_what_was_reached_is_told_where_it_is_not_what_was_asked(capsys):
    command = ["shortgpt", "--calibration", "text.txt:2x32", "--perplexity", "text.txt@32:2"]
    assert main(["run", "./tiny", *command, "--ratio", "0.999", "--json"]) == 0
    captured = capsys.readouterr()
    told = "50.0% of the block weights were removed, not the 99.9% that were asked for."
    assert told in captured.err.splitlines()
    assert json.loads(captured.out)["variant"]["ratio"] == 0.999
    assert main([*SWEEP, "--methods", "shortgpt,svd", "--ratios", "0.5,0.999"]) == 0
    lines = capsys.readouterr().err
    assert "2/5 ShortGPT, 50 %, tiny: done.\n" in lines
    assert f"3/5 ShortGPT, 99.9 %, tiny: done. {told}\n" in lines
    assert "5/5 SVD, 99.9 %, tiny: done. 94.0% of the block weights were removed, not the 99.9%" in lines


def test_a_sweep_runs_each_variant_once_and_goes_on_past_a_failure(tmp_path, capsys, monkeypatch):
    out = tmp_path / "out.jsonl"
    grid = ["--methods", "magnitude,wanda", "--ratios", "0.2:0.4:0.2", "--patterns", "2:4", "--seeds", "0,1"]
    real, asked = compute.compute, []

    def failing_on_patterns(spec, *rest):
        asked.append(spec)
        if spec.variant.stages[0].pattern:
            raise RuntimeError("odd")
        return real(spec, *rest)

    monkeypatch.setattr(compute, "compute", failing_on_patterns)
    assert main([*SWEEP, *grid, "--out", str(out)]) == 1
    stages = [spec.variant.stages[0] for spec in asked]
    # Dense once; magnitude draws nothing, so 3 points; wanda 3 points with 2 seeds each.
    assert [stage.method for stage in stages] == ["dense"] + ["magnitude"] * 3 + ["wanda"] * 6
    assert [stage.ratio for stage in stages[1:4]] == [0.2, 0.4, 0.5]
    captured = capsys.readouterr()
    assert "3 of 10 points failed" in captured.err
    assert "4/10 Magnitude, 2:4, tiny: Something unexpected went wrong (RuntimeError: odd)" in captured.err
    assert len(out.read_text().splitlines()) == 7

    monkeypatch.setattr(compute, "compute", real)
    assert main([*SWEEP, *grid, "--out", str(out)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({line["variant"]["key"] for line in lines}) == len(lines) == 10
    assert len(Store().results()) == 10


def test_a_range_of_ratios_is_checked_before_it_is_spelt_out(monkeypatch):
    monkeypatch.setattr(options, "range", lambda *_: pytest.fail("spelt out"), raising=False)
    with pytest.raises(UserError, match="outside"):
        options.parse_ratios("0:99999999:0.001")


@pytest.mark.parametrize("reason", ["database or disk is full", "attempt to write a readonly database"])
def test_a_sweep_stops_at_the_first_result_that_cannot_be_stored(reason, capsys):
    with Store().begin() as connection:
        raising = f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
        connection.exec_driver_sql(f"CREATE TRIGGER refuse BEFORE INSERT ON variants {raising}")
    grid = [*SWEEP, "--methods", "magnitude,wanda", "--ratios", "0.3,0.5"]
    assert main(grid) == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert last.startswith("The sweep stops at 1/5 Dense, tiny, where the same command goes on: The d")
    assert "points failed" not in last


def test_what_a_sweep_could_not_store_is_not_compressed_again(capsys, monkeypatch):
    store, grid = Store(), [*SWEEP, "--methods", "wanda", "--ratios", "0.3,0.5"]
    with store.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON variants WHEN NEW.method = 'wanda' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    assert main(grid) == 2
    assert "stops at 2/3 Wanda, 30 %, tiny, where the same command goes on: The disk is full" in capsys.readouterr().err
    assert [result.variant.method for result in store.results()] == ["dense"]
    with store.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")

    from core.engine import variants

    apply, made = variants.apply, []
    monkeypatch.setattr(variants, "apply", lambda model, given, more: made.append(given) or apply(model, given, more))
    assert main(grid) == 0
    assert [given.stage.ratio for given in made] == [0.5]  # 0.3 lay in the cache
    assert len(store.results()) == 3


def test_tasks_at_names_the_points_that_tasks_are_measured_on():
    from core.request.sweeps import Grid, points
    from core.specs import Calibration, Perplexity, Task

    grid = Grid(
        models=("./tiny",),
        chains=("magnitude@",),
        ratios=(0.3, 0.4),
        patterns=("2:4",),
        tasks_at=("0.30", "2:4"),
    )
    specs, _ = points(
        grid,
        tasks=[Task(task="piqa", limit=5)],
        scoring="bfloat16",
        calibration=Calibration(corpus="text.txt", windows=2, window=32),
        perplexity=[Perplexity(corpus="text.txt", window=32)],
    )
    assert [len(spec.tasks) for spec in specs] == [1, 1, 0, 1]
    assert [spec.scoring for spec in specs] == ["bfloat16", "bfloat16", None, "bfloat16"]


def test_results_in_every_format_and_deleted(capsys):
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
    assert latex.startswith("{\\small\n") and r"50.0\%" in latex
    check_table(latex)
    assert main(["results"]) == 0
    table = capsys.readouterr().out
    key = listed[1]["variant"]["key"]
    assert key[:12] in table

    assert main(["delete", key[:12]]) == 0
    assert main(["results", "--json"]) == 0
    assert [result["variant"]["method"] for result in json.loads(capsys.readouterr().out)] == ["dense"]


def test_a_model_that_is_called_like_a_formula_is_text_in_a_csv(capsys):
    odd = make(perplexity(20.0, dataset="-my.txt"))
    Store().put(odd.model_copy(update={"variant": odd.variant.model_copy(update={"model": "=cmd|' /C calc'!A1"})}))
    assert main(["results", "--csv"]) == 0
    frame = pandas.read_csv(io.StringIO(capsys.readouterr().out))
    assert (frame["model"][0], frame["dataset"][0], frame["value"][0]) == ("'=cmd|' /C calc'!A1", "'-my.txt", 20.0)


def test_models_and_methods_are_listed_from_their_declarations(capsys):
    assert main(["models"]) == 0
    models = capsys.readouterr().out
    assert "smollm2-135m" in models
    assert "llama-2-7b" in models
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    dampings = [line for line in lines if line.strip().startswith("damping")]
    assert len(dampings) == 2 and all("> 0, <= 10" in line and "0.01" in line for line in dampings)
    assert any("Bits a weight: 2, 3, 4, 8." in line for line in lines)
    rank = next(line for line in lines if line.strip().startswith("rank") and "auto" in line)
    assert "integer" in rank and ">= 1, <= 1024" in rank
    assert any("uniform, global" in line for line in lines)


def test_a_shrunk_variant_is_kept_measured_again_and_exported(capsys, tmp_path, monkeypatch):
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


def test_a_variant_that_is_no_longer_kept_is_made_again(capsys, tmp_path):
    assert main([*RUN, "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["variant"]["key"]
    shutil.rmtree(tmp_path / "cache" / "variants")
    assert main(["export", key, str(tmp_path / "out")]) == 0

    from transformers import AutoModelForCausalLM

    weight = AutoModelForCausalLM.from_pretrained(tmp_path / "out").model.layers[0].mlp.up_proj.weight
    assert (weight == 0).sum() == weight.numel() // 2
