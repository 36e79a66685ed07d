"""Options that several commands share: their parsers, what these refuse, and flags with a new name."""

import socket
from pathlib import Path

import pytest

from core.amount import Factor, Pattern, Ratio
from core.base.errors import UserError
from core.cli import compute, options
from core.cli.app import main
from core.cli.listing import check_one_format
from core.cli.options import RENAMED
from core.request.complete import complete
from core.request.execution import parse_memory
from core.request.settings import RunSettings
from core.request.sweeps import Grid, expand_grid
from core.specs import Fewshot, Task, TextWindows
from core.store.store import Store
from tests.core.commands import RUN
from tests.core.imports.given import FILES

pytestmark = pytest.mark.usefixtures("machine")

PIQA = [Task(task="piqa")]


def test_texts_of_options_are_parsed():
    assert options.parse_settings(["damping=0.1", " a = b=c "]) == {"damping": "0.1", "a": "b=c"}
    assert options.names('a, "b,c", a', "Models") == ("a", "b,c")
    assert options.parse_ratios("0.1:0.7:0.2") == (0.1, 0.3, 0.5, 0.7) and options.parse_ratios("0.5,0.3") == (0.5, 0.3)
    assert options.amounts("0.3", "2:4,2x") == (Ratio(0.3), Pattern(2, 4), Factor(2))
    assert options.chains("magnitude,dense", ["wanda@0.5"]) == ("magnitude@", "dense", "wanda@0.5")
    assert options.parse_seeds("1,0") == (1, 0) and parse_memory("6GB") == 6 * 10**9
    shots = [Fewshot.parse("0"), Fewshot.parse("2")]
    assert [task.fewshot for task in options.with_fewshot(PIQA, shots)] == shots
    assert options.scoring_dtype("bf16", PIQA) == "bfloat16" and options.scoring_dtype(None, None) is None
    (stage,) = options.long_form("sparsegpt", None, "2:4", {"damping": "0.1"}, "0:1")
    assert (stage.amount, stage.settings, stage.layers) == (Pattern(2, 4), {"damping": "0.1"}, "0:1")


def saving(*form):
    text = TextWindows.parse("text.txt:4x32")
    return compute.saving(complete("./tiny", "sparsegpt@0.5", RunSettings(calibration=text)), Path("new"), *form)


def grid(chain, **more):
    return expand_grid(Grid(models=("./tiny",), chains=(chain,), **more))


BAD = {
    "parameter without a value": (lambda: options.parse_settings(["damping"]), "'damping' is not NAME=VALUE"),
    "no task": (lambda: options.parse_tasks(","), "',' is empty"),
    "list with an endless name": (lambda: options.parse_seeds("9" * 140_000), "limit"),
    "malformed ratios": (lambda: options.parse_ratios("0.1:0.7"), "'0.1:0.7' are neither FIRST:LAST:STEP"),
    "ratios too high": (lambda: options.parse_ratios("0.5,1.5"), "'0.5,1.5' reach outside"),
    "ratios in too small steps": (lambda: options.parse_ratios("0:0.9:0.0000001"), "STEP >= 0.001"),
    "range of too many ratios": (lambda: options.parse_ratios("0:99999999:0.001"), "outside"),
    "seed of thousands of digits": (lambda: options.parse_seeds("9" * 5000), "a whole number of at most nine digits"),
    "malformed seeds": (lambda: options.parse_seeds("a"), "'a' is not a whole number"),
    "one bad method of two": (lambda: options.chains("wanda,wonda", ()), "'wonda'; did you mean 'wanda'"),
    "no chain at all": (lambda: options.chains(None, ()), "needs --methods or --chain"),
    "few-shot examples without tasks": (lambda: options.with_fewshot(None, [Fewshot.parse("2")]), "--fewshot needs"),
    "few-shot examples by no selector": (lambda: Fewshot.parse("4,selector=best"), "'4,selector=best' is not K"),
    "order of no examples": (lambda: Fewshot.parse("0,order=similar-last"), "has no examples"),
    "precision of scoring without tasks": (lambda: options.scoring_dtype("bf16", None), "--eval-dtype needs tasks"),
    "unknown precision to score in": (lambda: options.scoring_dtype("bfloat16", PIQA), "did you mean 'bf16'"),
    "options for several stages": (lambda: options.long_form("wanda+lora", None, None, {"a": "4"}, None), "single"),
    "an amount twice": (lambda: options.long_form("wanda@0.5", 0.4, None, {}, None), "its amount both"),
    "a setting twice": (lambda: options.long_form("lora,rank=4", None, None, {"rank": "2"}, None), "rank both"),
    "layers twice": (lambda: options.long_form("wanda,layers=up", None, None, {}, "up"), "its layers both"),
    "pattern against the ratio": (lambda: options.long_form("wanda", 0.7, "2:4", {}, None), "of 0.5, not 0.7"),
    "two formats": (lambda: check_one_format(csv=True, json=True), "--csv and --json"),
    "unknown format": (lambda: saving("onnx", None), "known: huggingface, gguf, compressed-tensors"),
    "unknown type": (lambda: saving(None, "fp8"), "Hugging Face has no type 'fp8'; choose one of fp32, "),
    "unknown type of a format": (lambda: saving("gguf", "Q4_K_M"), "choose one of F16, Q8_0, Q4_0"),
    "format that cannot hold it": (lambda: saving("compressed-tensors", None), "no stage of this variant"),
    "file of another kind": (lambda: compute.check_lines_file(Path("x.csv")), r"x\.csv is not a \.jsonl file"),
    "file at no one's home": (lambda: compute.check_lines_file(Path("~nouser/x.jsonl")), "~nouser/x.jsonl starts"),
    "sweep over nothing": (lambda: grid("wanda@"), "needs --ratios or --patterns"),
    "tasks at no point": (lambda: grid("wanda@0.5", tasks_at={Ratio(0.3)}), "at 0.3, which is not an amount"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_wrong_option_is_refused_in_one_sentence(kind):
    call, words = BAD[kind]
    with pytest.raises(UserError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*RUN, "--calibration", "text.txt:4"], "not CORPUS:NxL"),
        ([*RUN, "--train", "text.txt:4x32"], "No stage of sparsegpt@0.5 trains"),
        ([*RUN, "--format", "gguf"], "add a folder with --save"),
        ([*RUN, "--ratio", "half"], "'--ratio'"),
        ([*RUN, "--rato", "0.5"], "No such option: --rato"),
        (["run", "./tiny"], "Missing argument"),
        (["prune"], "No such command 'prune'"),
        (["methods", "wnda"], "did you mean 'wanda'?"),
        ([*RUN, "--device", "cuda:7"], "is not available here"),
    ],
)
def test_a_command_prints_the_sentence_and_returns_2(arguments, words, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err and words in captured.err.splitlines()[-1]


def test_a_used_port_is_refused_before_the_address_is_printed(capsys):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["dashboard", "--port", str(port)]) == 2
    words = f"Port {port} is in use; give another one with --port, such as {port + 1}.\n"
    assert capsys.readouterr() == ("", words)


IMPORT = ["import", *map(str, FILES), "--model", "smollm2-135m", "--ratio", "0.5", "--kind", "parameters"]
SCORED = ["sweep", "--models", "./tiny", "--methods", "wanda", "--ratios", "0.5"]


@pytest.mark.parametrize(
    ("command", "old", "code"),
    [
        ([*RUN[:3], "--scan=block", "--perplexity", "wrong"], "scan", 2),
        ([*RUN, "--scoring", "bf16"], "scoring", 2),
        ([*SCORED, "--scoring", "bf16"], "scoring", 2),
        (IMPORT, "kind", 0),
    ],
)
def test_an_old_flag_names_the_new_one_and_is_read(command, old, code, output_of, capsys):
    assert main(command) == code
    note, *error = capsys.readouterr().err.splitlines()
    assert f"--{old} " in note and f"--{RENAMED[old]}." in note and "No such option" not in " ".join(error)
    assert [result.variant.ratio_kind for result in Store().results()] == ([] if code else ["parameters"])
    words = output_of(command[0], "--help").replace("=", " ").split()
    assert f"--{RENAMED[old]}" in words and f"--{old}" not in words
