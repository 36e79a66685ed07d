"""The command line reports bad input and failures in one sentence."""

import errno
import json
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from core.cli import compute
from core.cli.app import main
from tests.core.commands import RUN, SWEEP, and_then

pytestmark = pytest.mark.usefixtures("machine")


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
    "ratio that would be rounded to 1": ([*RUN, "--ratio", "0.9999999"], "Ratio 0.9999999 is too close to 1"),
    "negative ratio": ([*RUN, "--ratio", "-0.1"], "outside [0, 1)"),
    "ratio that is no number": ([*RUN, "--ratio", "half"], "Invalid value for '--ratio'"),
    "malformed pattern": ([*RUN, "--pattern", "2-4"], "not N:M"),
    "pattern that keeps all": ([*RUN, "--pattern", "4:4"], "not N:M"),
    "pattern against the ratio": ([*RUN, "--pattern", "2:4", "--ratio", "0.7"], "2:4 has a ratio of 0.5, not 0.7"),
    "pattern in digits that are none": ([*RUN, "--pattern", "²:⁴"], "not N:M"),
    "pattern of thousands of digits": ([*RUN, "--pattern", f"2:{LONG}"], "not N:M"),
    "pattern that divides no layer": ([*RUN, "--pattern", "3:5"], "does not divide the 32 inputs of a layer"),
    "ratio for the dense model": (["run", "./tiny", "dense", "--ratio", "0.5"], "removes nothing"),
    "malformed memory": ([*RUN, "--memory", "much"], "--memory is 'much', not a size such as 6GB or 500MB"),
    "too little memory for the whole model": (
        [*RUN, "--latency", "--memory", "500MB"],
        "This run needs 0.8 GB of memory, but its budget is 0.5 GB. It cannot stream its model from disk, because the "
        "latency needs the whole model in memory",
    ),
    "too little memory": ([*RUN, "--memory", "10MB"], "but a run needs at least 500 MB"),
    "malformed calibration": (["run", "./tiny", "wanda", "--calibration", "text.txt:4"], "not CORPUS:NxL"),
    "calibration of thousands of digits": ([*RUN, "--calibration", f"text.txt:{LONG}x32"], "not CORPUS:NxL"),
    "calibration on a test split": (["run", "./tiny", "wanda", "--calibration", "wikitext2:4x32"], "held out"),
    "calibration window too long": (
        ["run", "./tiny", "wanda", "--calibration", "text.txt:4x256"],
        "the model has only 128",
    ),
    "malformed perplexity": (["run", "./tiny", "dense", "--perplexity", "text.txt"], "not CORPUS@WINDOW"),
    "perplexity of thousands of digits": ([*RUN, "--perplexity", f"text.txt@32:{LONG}"], "not CORPUS@WINDOW"),
    "perplexity on a calibration text": (
        ["run", "./tiny", "dense", "--perplexity", "c4-sample@32"],
        "only for calibration",
    ),
    "perplexity window too long": (
        ["run", "./tiny", "dense", "--perplexity", "text.txt@4096"],
        "the model has only 128",
    ),
    "unknown corpus": (["run", "./tiny", "dense", "--perplexity", "wikitext3@32"], "did you mean 'wikitext2'?"),
    "absent text file": (["run", "./tiny", "dense", "--perplexity", "nowhere.txt@32"], "no text file"),
    "file that is no text": (["run", "./tiny", "dense", "--perplexity", "bytes.bin@32"], "not UTF-8"),
    "unknown task": (["run", "./tiny", "dense", "--tasks", "piqua"], "did you mean 'piqa'?"),
    "malformed task": (["run", "./tiny", "dense", "--tasks", "piqa:x"], "not TASK[:LIMIT]"),
    "task of thousands of digits": (["run", "./tiny", "dense", "--tasks", f"piqa:{LONG}"], "not TASK[:LIMIT]"),
    "task on no documents": (["run", "./tiny", "dense", "--tasks", "piqa:00"], "not TASK[:LIMIT]"),
    "list with an endless name": ([*SWEEP, "--methods", "svd", "--ratios", "0.5", "--seeds", "9" * 140_000], "limit"),
    "no task": (["run", "./tiny", "dense", "--tasks", ","], "is empty"),
    "unknown dtype": ([*RUN, "--dtype", "float64"], "Unknown dtype 'float64'"),
    "unknown device": ([*RUN, "--device", "gpu"], "Unknown device 'gpu'"),
    "negative seed": ([*RUN, "--seed", "-1"], "Seed -1 is negative"),
    "seed beyond the last": ([*RUN, "--seed", "9" * 30], "is larger than 2147483648"),
    "broken expression for layers": ([*RUN, "--layers", "(up"], "neither FIRST:LAST nor a regular expression"),
    "deeply nested expression for layers": ([*RUN, "--layers", "(" * 5_000], "has too many nested groups"),
    "chain of many stages": (["run", "./tiny", "magnitude@0.5+" * 400 + "dense"], "has 401 stages; give at most 20"),
    "layers of a method that removes units": (["run", "./tiny", "flap", "--layers", "0:0"], "leave out `layers`"),
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
    "unknown precision to score in": ([*RUN, "--tasks", "piqa", "--eval-dtype", "bfloat16"], "did you mean 'bf16'?"),
    "precision of scoring without tasks": ([*RUN, "--eval-dtype", "bf16"], "add them with --tasks"),
    "precision of scoring without tasks in a sweep": (
        [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--eval-dtype", "bf16"],
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
        "not a whole number of at most nine digits",
    ),
    "malformed seeds": (
        [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--seeds", "a"],
        "not a whole number of at most nine digits",
    ),
    "tasks at no point": (
        [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--tasks-at", "0.3"],
        "not an amount of this sweep",
    ),
    "one bad method of two": ([*SWEEP, "--methods", "wanda,wonda", "--ratios", "0.5"], "did you mean 'wanda'?"),
    "file of another kind": (
        [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--out", "x.csv"],
        "is not a .jsonl file",
    ),
    "unknown stage": (and_then("lorra"), "character 11: Unknown stage 'lorra'; did you mean 'lora'?"),
    "parameter of a later stage out of range": (and_then("lora,rank=0"), "character 16: LoRA: rank = '0' does not fit"),
    "unknown parameter of a later stage": (and_then("lora,rnk=4"), "no parameter 'rnk'"),
    "unknown teacher": (and_then("distill-black,teacher=no-such"), "no-such"),
    "nothing that trains": ([*RUN, "--train", "text.txt:4x32"], "No stage of sparsegpt@0.5 trains"),
    "training on a test split": ([*and_then("lora"), "--train", "ptb:4x32"], "is held out"),
    "options for several stages": ([*and_then("lora"), "--set", "rank=4"], "need a single stage"),
    "an amount twice": (
        ["run", "./tiny", "wanda@0.5", "--ratio", "0.4"],
        "its amount both in the chain and as an option",
    ),
    "an open amount": (["run", "./tiny", "wanda@"], "is open; give one, such as wanda@0.5"),
    "two open amounts": ([*SWEEP, "--chain", "magnitude@+wanda@", "--ratios", "0.5"], "an earlier one is open"),
    "no chain at all": ([*SWEEP, "--ratios", "0.5"], "needs --methods or --chain"),
    "two formats": (["results", "--csv", "--json"], "Choose one"),
    "short key": (["delete", "abc"], "too short"),
    "method that is none": (["methods", "wnda"], "did you mean 'wanda'?"),
    "order that is none": (["results", "--sort", "speed"], "choose one of perplexity, accuracy, size, chain"),
    "unknown key": (["delete", "0" * 64], "no result with the key"),
    "folder to save in at no one's home": (
        [*RUN, "--save", "~nouser/x"],
        "~nouser/x starts with the home of an unknown user",
    ),
    "file to add to at no one's home": (
        [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--out", "~nouser/x.jsonl"],
        "~nouser/x.jsonl starts with the home of an unknown user",
    ),
}
MUCH = "x" * 5000
LONG_INPUT = {
    "model": ["run", MUCH, "wanda"],
    "folder": ["run", f"./{MUCH}", "wanda"],
    "chain": ["run", "./tiny", MUCH],
    "amount": ["run", "./tiny", f"wanda@{MUCH}"],
    "bits": ["run", "./tiny", f"rtn@{MUCH}"],
    "end of a long chain": ["run", "./tiny", "+".join(["wanda@0.5"] * 500) + "+" + MUCH],
    "parameter": [*RUN, "--set", f"{MUCH}=1"],
    "value": [*RUN, "--set", f"damping={MUCH}"],
    "setting": [*RUN, "--set", MUCH],
    "amount of a sweep": [*SWEEP, "--methods", "wanda", "--patterns", MUCH],
    "pattern": [*RUN, "--pattern", MUCH],
    "layers": [*RUN, "--layers", MUCH],
    "calibration": [*RUN, "--calibration", MUCH],
    "text": ["run", "./tiny", "dense", "--perplexity", f"{MUCH}.txt@32"],
    "perplexity": ["run", "./tiny", "dense", "--perplexity", MUCH],
    "task": ["run", "./tiny", "dense", "--tasks", MUCH],
    "few-shot": ["run", "./tiny", "dense", "--tasks", "piqa", "--fewshot", MUCH],
    "precision": [*RUN, "--dtype", MUCH],
    "device": [*RUN, "--device", MUCH],
    "folder to save in": [*RUN, "--save", MUCH],
    "type": [*RUN, "--save", "new", "--type", MUCH],
    "ratios": [*SWEEP, "--methods", "wanda", "--ratios", MUCH],
    "seeds": [*SWEEP, "--methods", "wanda", "--ratios", "0.5", "--seeds", MUCH],
    "option": [*RUN, f"--{MUCH}"],
    "command": [MUCH],
    "key": ["delete", MUCH],
    "model of results": ["results", MUCH],
    "order of results": ["results", "--sort", MUCH],
    "database": ["results", "import", f"{MUCH}.db"],
    "file": ["import", f"{MUCH}.csv"],
    "model of laws": ["laws", MUCH],
}


@pytest.mark.parametrize("kind", LONG_INPUT)
def test_errors_shorten_long_input(kind, capsys):
    assert main(LONG_INPUT[kind]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "x" * 20 in line and "x" * 81 not in line and len(line) < 700


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
def test_errors_during_a_run_give_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert sentence in captured.err.strip().splitlines()[-1]


def test_estimate_follows_the_checks_and_warns_of_short_memory(capsys, monkeypatch):
    assert main(["run", "./tiny", "dense", "--perplexity", "text.txt@32:1000"]) == 2
    assert "Estimated" not in capsys.readouterr().err
    dense = ["run", "./tiny", "dense", "--perplexity", "text.txt@32:4"]
    assert main(dense) == 0
    message = capsys.readouterr().err
    assert "Estimated: about " in message and "of this machine" not in message
    monkeypatch.setattr(compute, "machine_bytes", lambda: 5 * 10**8)
    assert main([*dense, "--force"]) == 0
    assert " GB of memory, more than the 0.5 GB of this machine." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "The disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 2, "The disk is full"),
        (OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), 2, "The disk is full"),
        (MemoryError(), 2, "Memory ran out; choose a smaller model"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "Memory ran out"),
        (KeyboardInterrupt(), 130, "Finished measurements are stored"),
        (RuntimeError("odd"), 1, "RuntimeError: odd"),
    ],
)
def test_failures_end_with_a_sentence(error, code, sentence, capsys, monkeypatch, results_dir):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(compute, "run_alone", fail)
    assert main(RUN) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert sentence in captured.err.strip().splitlines()[-1]
    if code == 1:
        assert "RuntimeError: odd" in (results_dir / "logs" / "error.log").read_text()


def test_a_tilde_path_is_in_the_home_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main([*RUN, "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["variant"]["key"]
    assert main(["export", key, "~/new"]) == 0
    assert (tmp_path / "home" / "new" / "model.safetensors").is_file() and not Path("~").exists()
