"""Folders of audio and vision models: their configurations, their weights and the chains that they take."""

from __future__ import annotations

import json
import os
import random
import shutil
from itertools import product
from pathlib import Path
from typing import Any

from tests.attacks.ending import bad_end, run_command
from tests.attacks.family import Family
from tests.attacks.trees import as_json, mutate_tree
from tests.core.encoders import ENCODERS, encoder

CHAINS = (
    *("conv-lowrank@0.5", "depthwise-separable@0.5", "conv-lowrank@0.3+depthwise-separable@0.5", "conv-lowrank@0.9999"),
    *("conv-lowrank@0", "conv-lowrank@2:4", "magnitude@0.5", "dense", "depthwise-separable@0.5,layers=0:0", "rtn@4bit"),
)
CLASSES = (["LlamaModel"], ["ResNetModel"], ["WhisperModel"], ["NoSuchModel"], [""], ["PreTrainedModel"], ["nn"])
DEPTHS = ([1, 100_000], [1], [0, 0], [1, 2, 3], [-1, 2], 10**9)
CASES: tuple[tuple[str, str, Any], ...] = (  # model, what happens to it, and with what
    *product(ENCODERS, ["chain"], CHAINS),
    *product(ENCODERS, ["class"], CLASSES),
    *product(["resnet"], ["depths"], DEPTHS),
    *product(ENCODERS, ["weights of another"], ENCODERS),
    *product(ENCODERS, ["tree", "weights cut"], [None]),
)


def prepare(folder: Path) -> Path:
    """Write one random model of each kind."""
    for name in ENCODERS:
        encoder(name).save_pretrained(folder / "models" / name)
    return folder / "models"


def ends_well(given: tuple[Path, tuple[str, str, Any]], draw: random.Random, place: Path) -> str | None:
    """Compress one of the models, or refuse it."""
    models, (name, damage, value) = given
    os.environ.update(SLIMSCOPE_CACHE=str(place / "cache"), SLIMSCOPE_RESULTS=str(place / "results"))
    folder = place / "model"
    shutil.copytree(models / name, folder)
    file, weights = folder / "config.json", folder / "model.safetensors"
    config = json.loads(file.read_text())
    if damage == "class":
        file.write_bytes(as_json(config | {"architectures": value}))
    elif damage == "depths":
        file.write_bytes(as_json(config | {"depths": value}))
    elif damage == "tree":
        file.write_bytes(as_json(mutate_tree(config, draw)))
    elif damage == "weights cut":
        weights.write_bytes(weights.read_bytes()[: draw.randrange(weights.stat().st_size)])
    elif damage == "weights of another":
        shutil.copy(models / value / "model.safetensors", weights)
    chain = value if damage == "chain" else draw.choice(CHAINS)
    words = ["run", str(folder), chain]
    fault = bad_end(words, *run_command(words))
    return fault and f"{name}, {damage} {value}: {fault}"


FAMILIES = (Family("convolutions", len(CASES), ends_well, prepare, cases=CASES, isolated=True, seconds=120.0),)
