"""Damaged `config.json`: identified and estimated without torch, and loaded, compressed and measured."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.models.facts import load_shape
from core.models.sources import identify
from core.request.complete import complete
from core.request.expected.estimate import estimate_left
from core.store.store import Store
from tests.attacks.ending import bad_end, run_command
from tests.attacks.family import Family
from tests.attacks.machine import Machine, prepare_machine
from tests.attacks.trees import as_json, mutate_tree
from tests.core.tiny import ARCHITECTURES, OTHERS

TYPES = (*{kind for kind, _ in (ARCHITECTURES | OTHERS).values()}, "mamba", "resnet", "bert", "t5", "", "no-such")
SIZES = (0, 1, 2, 3, 7, 1_000, 1_001, 10**5, 10**9, 2**31, 2**63, -1)
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "depths", "encoder_layers", "num_experts")
CLASSES = ([], [""], ["LlamaModel"], ["ResNetModel"], ["LlamaForCausalLM", ""], ["BertForMaskedLM"], "LlamaForCausalLM")


CASES: tuple[dict[str, Any], ...] = (
    *({"architectures": classes} for classes in CLASSES),
    *({"model_type": kind} for kind in ("mamba", "resnet", "bert", "t5", "", "no-such", None, 5, ["llama"])),
    *({"model_type": "mamba", "num_hidden_layers": layers} for layers in (10**9, 2**63)),
    *(
        {"model_type": "resnet", "architectures": ["ResNetModel"], "depths": depths}
        for depths in ([1, 100_000], [10**9])
    ),
    *(
        {name: size}
        for name in ("num_hidden_layers", "vocab_size", "hidden_size", "num_attention_heads")
        for size in SIZES
    ),
)


def damaged(config: dict[str, Any], draw: random.Random) -> Any:
    """Return a configuration after one to three changes, at random or of what loaders read first."""
    if draw.random() < 0.5:
        return mutate_tree(config, draw)
    config = dict(config)
    for _ in range(draw.randint(1, 3)):
        change = draw.random()
        if change < 0.25:
            config["model_type"] = draw.choice(TYPES)
        elif change < 0.4:
            config["architectures"] = draw.choice(CLASSES)
        elif change < 0.6:
            config[draw.choice(LAYERS)] = draw.choice((*SIZES, [1, 100_000], [2, 2]))
        else:
            numbers = [name for name, value in config.items() if isinstance(value, int)]
            config[draw.choice(numbers)] = draw.choice(SIZES)
    return config


Given = tuple[Machine, dict[str, Any] | None]


def write(machine: Machine, case: dict[str, Any] | None, draw: random.Random, place: Path) -> Path:
    """Copy the small model with a damaged configuration."""
    folder = place / "model"
    shutil.copytree(machine.folder / "tiny", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_bytes(as_json(config | case if case else damaged(config, draw)))
    return folder


def estimates(given: Given, draw: random.Random, place: Path) -> str | None:
    """Identify a model, and estimate a run of it, or refuse it in a sentence."""
    machine, case = given
    folder = write(machine, case, draw, place)
    os.environ["SLIMSCOPE_CACHE"] = str(place / "cache")
    os.chdir(machine.folder)
    try:
        found = load_shape(identify(str(folder)))
        spec = complete(str(folder), draw.choice(("magnitude@0.5", "wanda@2:4", "rtn@4bit", "dense", "flap@0.3")))
        cost = estimate_left([spec], Store())
    except UserError as error:
        return None if str(error).strip() else "Refused without a sentence."
    if found.parameters < 0 or cost.bytes < 0:
        return f"{found.parameters} parameters and {cost.bytes} bytes are estimated."
    return None


def compresses(given: Given, draw: random.Random, place: Path) -> str | None:
    """Compress and measure a model."""
    machine, case = given
    folder = write(machine, case, draw, place)
    os.environ["SLIMSCOPE_CACHE"] = str(place / "cache")
    machine.copy_results(place)
    os.chdir(machine.folder)
    chain = draw.choice(("magnitude@0.5", "wanda@2:4", "rtn@4bit,group_size=16", "dense"))
    words = ["run", str(folder), chain, "--calibration", "text.txt:2x32", "--perplexity", "text.txt@32:2"]
    if chain[0] != "w":
        words = [*words[:3], *words[5:]]
    return bad_end(words, *run_command(words))


FAMILIES = (
    Family("configurations", 1_500, estimates, prepare_machine, cases=CASES, fuzzes=True, seconds=20.0),
    Family(
        "configurations-run",
        len(CASES) + 50,
        compresses,
        prepare_machine,
        cases=CASES,
        fuzzes=True,
        isolated=True,
        seconds=180.0,
    ),
)
