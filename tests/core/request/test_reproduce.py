"""The command that makes a variant again: read by the command line, it asks for the same run."""

import shlex

import pytest

from core.cli import compute
from core.cli.app import main
from core.engine.variants import describe
from core.protocols import task_protocol
from core.request.reproduce import reproduce
from core.results import Measurement, Result
from core.specs import RunSpec
from tests.core.factories import make

pytestmark = pytest.mark.usefixtures("machine")

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
