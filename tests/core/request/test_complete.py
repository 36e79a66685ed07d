"""A request is refused for each fault that is seen before a model is loaded, and its command asks for it again."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.base.errors import UserError
from core.cli import compute
from core.cli.app import main
from core.engine.variants import describe
from core.protocols import task_protocol
from core.request.complete import check_save_folder, complete, default_perplexity
from core.request.reproduce import reproduce
from core.request.settings import RunSettings
from core.results import Measurement, Result
from core.specs import Perplexity, RunSpec, TextWindows
from tests.core.factories import make

pytestmark = pytest.mark.usefixtures("machine")


def text(written):
    return {"calibration": TextWindows.parse(written)}


def read(written):
    return {"perplexity": [Perplexity.parse(written)]}


BAD = {
    "pattern that divides no layer": ("wanda@3:5", {}, "3:5 does not divide the 32 inputs"),
    "ratio that would be rounded to 1": ("wanda@0.9999999", {}, "0.9999999 is too close to 1"),
    "chain of many stages": ("magnitude@0.5+" * 400 + "dense", {}, "401 stages; give at most 20"),
    "calibration on a test split": ("wanda", text("wikitext2:4x32"), "wikitext2 is held out"),
    "training on a test split": ("lora", {"train": TextWindows.parse("ptb:4x32")}, "ptb is held out"),
    "calibration window too long": ("wanda", text("text.txt:4x256"), "the model has only 128"),
    "perplexity on a calibration text": ("dense", read("c4-sample@32"), "c4-sample is only for calibration"),
    "perplexity window too long": ("dense", read("text.txt@4096"), "the model has only 128"),
    "text of nobody": ("dense", read("~nouser/x@32"), "no text file '~nouser/x'"),
    "unknown device": ("wanda", {"device": "gpu"}, "Unknown device 'gpu'"),
    "negative seed": ("wanda", {"seed": -1}, "Seed -1 is negative"),
    "seed beyond the last": ("wanda", {"seed": int("9" * 30)}, "is larger than 2147483648"),
    "broken expression for layers": ("wanda,layers='(up'", {}, "neither FIRST:LAST nor a regular expression"),
    "deeply nested expression for layers": (f"wanda,layers='{'(' * 5000}'", {}, "too many nested groups"),
    "layers beyond the last": ("wanda,layers='7:9'", {}, "'7:9' selects none of blocks 0 to 1"),
    "layers of thousands of digits": (f"wanda,layers='{'9' * 5000}:'", {}, "selects none"),
    "layers of no linear": ("wanda,layers=no_such_proj", {}, "selects none"),
    "unknown teacher": ("magnitude+distill-black,teacher=no-such", {}, "Unknown model 'no-such'"),
    "experts of a model without": ("reap@0.2", {}, "tiny has none"),
    "a scan of the dense model": ("dense", {"scan": "block"}, "dense cannot be scanned"),
    "a scan of a reconstruction": ("wanda@0.5+adaprune", {"scan": "block"}, "cannot be scanned"),
    "a scan of a training": ("wanda@0.5,allocation=global+lora", {"scan": "block"}, "cannot be scanned"),
    "a scan of a removal of units": ("flap@0.5", {"scan": "block"}, "cannot be scanned"),
    "a scan on one sequence": ("magnitude@0.5", {"scan": "block", **text("text.txt:1x32")}, "has one sequence"),
}


def test_a_model_of_one_token_has_no_perplexity():
    with pytest.raises(UserError, match="reads one token at most"):
        default_perplexity(SimpleNamespace(max_window=1))


@pytest.mark.parametrize("kind", BAD)
def test_a_fault_is_refused_in_one_sentence(kind):
    chain, options, words = BAD[kind]
    texts = {"train": TextWindows.parse("text.txt:24x32")} if "lora" in chain or "distill" in chain else {}
    given = {"calibration": TextWindows.parse("text.txt:8x32"), **read("text.txt@32"), **texts, **options}
    with pytest.raises(UserError, match=re.escape(words)) as error:
        complete("./tiny", chain.replace("'", '"'), RunSettings(**given))
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("target", "words"),
    [("n" * 300, "File name too long"), ("full", "full is not empty"), ("~nouser/x", "~nouser/x starts with")],
)
def test_a_folder_to_save_in_is_new_or_empty(target, words):
    with pytest.raises(UserError, match=words):
        check_save_folder(Path(target))


READ = ["--calibration", "text.txt:4x32"]
TRAIN = ["--train", "text.txt:16x32"]
RUNS = {
    "dense": ["dense"],
    "a ratio of many digits": ["magnitude", "--ratio", "0.123457"],
    "a small ratio": ["magnitude@0.000001"],
    "a pattern": ["wanda", *READ, "--pattern", "2:4"],
    "an expression with what a shell reads": ["magnitude", "--layers", "mlp.(up|down)_proj$"],
    "an expression with what a chain reads": ["magnitude", "--layers", r"mlp.\w+, |o_proj@|q_proj"],
    "a choice and a small number": ["magnitude", "--set", "allocation=global", "--set", "cap=1e-5", "--ratio", "0"],
    "a whole number, a number and a no": [
        *("sparsegpt", *READ, "--set", "mask_block=64", "--set", "damping=0.037", "--set", "true_sequential=no")
    ],
    "a method that trains": ["magnitude-trained", "--train", "text.txt:24x32", "--set", "rounds=2"],
    "a recovery with parameters": ["wanda+lora,rank=3,minutes=0.5,preset=slimllm", *READ, *TRAIN],
    "a recovery of the dense model": ["lora", *TRAIN],
    "another teacher": ["magnitude+distill-white,teacher=./tiny", *TRAIN],
    "texts and seeds of their own": ["wanda@0.3,seed=2+wanda@0.5,text=text.txt:2x32+lora", *READ, *TRAIN],
    "a seed and another precision": ["wanda", *READ, "--seed", "7", "--dtype", "bfloat16"],
    "tasks scored in another precision": ["dense", "--tasks", "piqa:5,boolq", "--eval-dtype", "bf16"],
    "tasks after demonstrations": [
        *("dense", "--tasks", "piqa:5", "--fewshot", "4,selector=nearest,order=similar-last,template=chat")
    ],
    "what was scanned": ["wanda", *READ, "--sensitivity", "linear"],
    "several numbers": [
        *("dense", "--perplexity", "text.txt@32", "--perplexity", "text.txt@64:2"),
        *("--tasks", "piqa:5,boolq,arc_easy:7", "--latency"),
    ],
}


def made(spec: RunSpec) -> Result:
    """Return a result as the run would give it, with numbers of no meaning."""
    asked = [("perplexity", p.corpus, {"window": p.window, "windows": p.windows}) for p in spec.perplexity]
    protocols = {task.task: task_protocol(task, spec.scoring_dtype) for task in spec.tasks}
    asked += [(metric, *one) for one in protocols.items() for metric in ("acc", "acc_norm")]
    asked += [(metric, "synthetic", {"batch": 1}) for metric in ("prefill", "decode", "memory") if spec.latency]
    if spec.scan:
        asked.append(("sensitivity", "text.txt", {"by": spec.scan.by, "part": "model.layers.0"}))
    rows = [Measurement(metric=metric, dataset=data, protocol=how, value=1, n=1) for metric, data, how in asked]
    return make(*rows).model_copy(update={"variant": describe(spec.variant)})


@pytest.mark.parametrize("kind", RUNS)
def test_printed_command_requests_the_same_run(kind, monkeypatch):
    asked = []
    monkeypatch.setattr(compute, "compute_rest", lambda spec, *_, **more: asked.append(spec) or made(spec))
    assert main(["run", "./tiny", *RUNS[kind]]) == 0
    command = shlex.split(reproduce(made(asked[0])))
    assert command[0] == "slimscope"
    assert main(command[1:]) == 0
    assert asked[1] == asked[0]
