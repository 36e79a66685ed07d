"""Runs on a second device give the numbers of the CPU, whose kernels it has."""

import pytest

from core.registry import PREPARATIONS, RECONSTRUCTIONS, RECOVERIES, STAGES
from core.specs import Fewshot, Task
from tests.core.contract.ground import RATIO, Case, instead
from tests.device import runs

pytestmark = pytest.mark.full
TRAINING = "batch=4,steps=2,rank=2,held_out=1,learning_rate=0.01"
RUNS = {
    "dense": ("tiny", "dense", {}),
    "hooks": ("tiny", "wanda@0.5+rounded-inputs@4bit", {}),
    "tables": ("tiny", "rtn@4bit,group_size=16,on=embedding", {}),
    "streaming": ("tiny", "sparsegpt@0.5+adaprune", {"memory": 1, "fidelity": True}),
    "streaming units": ("tiny", "slimllm@0.25", {"memory": 1}),
    "streaming rotation": ("tiny", "rotate+rtn@4bit,group_size=0", {"memory": 1}),
    "streaming training": ("tiny", f"gptq@4bit,group_size=0+distill-white,{TRAINING}", {"memory": 1}),
    "fidelity": ("tiny", "wanda@0.5", {"fidelity": True}),
    "tasks": ("tiny", "wanda@0.5", {"tasks": [Task.parse("piqa:6")]}),
    "few-shot": ("tiny", "wanda@0.5", {"tasks": [Task(task="piqa", limit=6, fewshot=Fewshot(k=2, selector="likely"))]}),
    "sensitivity": ("tiny", "wanda@0.5", {"scan": "block"}),
    "latency": ("tiny", "shortgpt@0.5", {"latency": True}),
    "factors in training": ("tiny", f"svd-llm@0.3+lora,{TRAINING}", {}),
    "a grid in training": ("tiny", f"rotate+rtn@4bit,group_size=16+lora,{TRAINING}", {}),
    "answers": ("tiny", f"wanda@2:4+distill-black,{TRAINING},answer_tokens=4", {}),
    "units after units": ("tiny", "slimllm@0.2+llm-pruner@0.4", {}),
    "a grid in a GGUF file": ("wide", "rtn@4bit,group_size=32", {"save": "gguf"}),
    "a grid in compressed tensors": ("wide", "gptq@4bit,group_size=32", {"save": "compressed-tensors"}),
}


@pytest.mark.parametrize("name", RUNS)
def test_runs(name, second):
    model, chain, more = RUNS[name]
    on_cpu, there = second(runs.on_both, model, chain, **more)
    assert there == on_cpu


@pytest.mark.parametrize("method", [stage for stage in STAGES if stage.name != "dense"], ids=lambda method: method.name)
def test_methods(method, second):
    amount = f"@{instead(method, RATIO) or RATIO}" if method.takes_amount else ""
    chain = ",".join(
        [f"{method.name}{amount}", *(f"{name}={value}" for name, value in Case(method).all_settings.items())]
    )
    if method in (*RECONSTRUCTIONS, *RECOVERIES):
        chain = f"magnitude@0.5+{chain}"
    if method in PREPARATIONS:
        chain = f"{chain}+rtn@4bit,group_size=16"
    model = "mixture" if method.kind == "experts" else "tiny"
    on_cpu, there = second(runs.on_both, model, chain)
    assert there == on_cpu
