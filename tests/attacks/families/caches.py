"""Damaged files of the cache: whatever the damage, a run gives the number that it gives on an empty cache."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas
from safetensors.torch import load, save

from tests.attacks.ending import bad_end, run_command
from tests.attacks.family import Family
from tests.attacks.machine import Machine, prepare_machine

CHAINS = (
    "sparsegpt@0.5",
    "sparsegpt@0.5+gptq@4bit,group_size=16",
    "flap@0.3",
    "svd-llm@0.5",
    "magnitude@0.5+lora,epochs=1,rank=2,batch=8",
    "magnitude@0.3",
)
SCORED = CHAINS[-1:]  # on a task, too
TEXT = ("--calibration", "text.txt:4x32", "--train", "text.txt:16x24")


@dataclass(frozen=True)
class Cached:
    """A machine, its cache and results after all chains, and by chain the numbers that another request gives."""

    machine: Machine
    cache: Path
    expected: dict[str, list[float]]


def command(chain: str, windows: int) -> list[str]:
    """Return the command that measures a chain on some windows, and on as many documents."""
    trains = TEXT if "lora" in chain else TEXT[:2]
    trains = trains[2:] if chain.startswith("magnitude") else trains
    tasks = ("--tasks", f"piqa:{windows}") if chain in SCORED else ()
    return ["run", "./tiny", chain, *trains, *tasks, "--perplexity", f"text.txt@32:{windows}", "--json"]


def numbers(chain: str, windows: int) -> tuple[list[float], str | None]:
    """Return what a chain measures, and the sentence of its fault."""
    words = command(chain, windows)
    code, text = run_command(words)
    if fault := bad_end(words, code, text, good=(0,)):
        return [], fault
    content = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
    rows = [(row["protocol"], row["value"]) for row in content["measurements"]]
    return [value for protocol, value in rows if windows in (protocol.get("windows"), protocol.get("limit"))], None


def write_task(folder: Path) -> None:
    """Write documents of PIQA in the words of the small model, and let this process read them."""
    rows = [{"goal": f"w{i} w{i + 1}", "sol1": f"w{2 * i} w3", "sol2": "w4 w5", "label": i % 2} for i in range(12)]
    (folder / "tasks").mkdir(parents=True)
    pandas.DataFrame(rows).to_parquet(folder / "tasks" / "piqa_validation.parquet")
    os.environ.update(SLIMSCOPE_DATA=str(folder), DISABLE_MULTIPROC="1")


def files(cache: Path, kind: str) -> list[Path]:
    """Return the files of one kind in a cache."""
    return sorted(path for path in cache.glob(kind) if path.is_file() and path.suffix != ".lock")


def prepare(folder: Path) -> Cached:
    """Fill a cache by running every chain, and measure on an empty one what the tries ask for."""
    machine = prepare_machine(folder)
    write_task(folder / "data")
    expected = {}
    for chain in CHAINS:
        _, fault = numbers(chain, 4)
        if fault:
            raise RuntimeError(fault)
    shutil.copytree(os.environ["SLIMSCOPE_CACHE"], folder / "filled")
    shutil.copytree(machine.results, folder / "stored")
    known = {file for kind in KINDS for file in files(folder / "filled", kind)}
    if unknown := set(files(folder / "filled", "**/*")) - known:
        raise RuntimeError(f"{unknown} match no pattern of KINDS; add one.")
    if lacking := [kind for kind in KINDS if not files(folder / "filled", kind)]:
        raise RuntimeError(f"No cached file matches {lacking}; add a chain that writes one.")
    for chain in CHAINS:
        expected[chain], fault = numbers(chain, 3)
        if fault:
            raise RuntimeError(fault)
    return Cached(Machine(folder, folder / "stored", machine.keys), folder / "filled", expected)


def _flip(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]


def _without_a_tensor(content: bytes, draw: random.Random) -> bytes:
    tensors = load(content)
    del tensors[draw.choice(sorted(tensors))]
    return save(tensors, {"format": "pt"})


def _in_halves(content: bytes, draw: random.Random) -> bytes:
    return save({name: tensor.half() for name, tensor in load(content).items()}, {"format": "pt"})


Damage = Callable[[bytes, random.Random], bytes | None]
TENSORS: dict[str, Damage] = {"a missing tensor": _without_a_tensor, "tensors in fp16": _in_halves}
DAMAGES: dict[str, Damage] = {
    "a flipped bit": _flip,
    "cut off": lambda content, draw: content[: draw.randrange(len(content))],
    "empty": lambda content, draw: b"",
    "garbage": lambda content, draw: draw.randbytes(len(content)),
    "zeros": lambda content, draw: b"\0" * len(content),
    "longer": lambda content, draw: content + draw.randbytes(8),
    "deleted": lambda content, draw: None,
}
FOLDER = "a folder in its place"
WEIGHTS = "variants/*/model.safetensors"
VARIANT = ("checksums.json", "config.json", "constraints.bits", "generation_config.json", "grids.bits", "result.json")
KINDS = (
    *(
        "facts/*",
        "folders/*",
        "texts/*",
        "tokens/*",
        "requests/*/*",
        "observed/*/checksums.json",
        "observed/*/observed.safetensors",
    ),
    *(WEIGHTS, *(f"variants/*/{name}" for name in (*VARIANT, "modeling_slimscope.py", "references.bits"))),
)
CASES = (*product(KINDS, (*DAMAGES, FOLDER)), *product((WEIGHTS,), TENSORS))


def heals(given: tuple[Cached, tuple[str, str]], draw: random.Random, place: Path) -> str | None:
    """Damage every file of one kind in a cache, and compare the numbers."""
    cached, (kind, damage) = given
    cached.machine.copy_results(place)
    os.chdir(cached.machine.folder)
    cache = place / "cache"
    shutil.copytree(cached.cache, cache)
    os.environ["SLIMSCOPE_CACHE"] = str(cache)
    if not kind.startswith("variants"):
        shutil.rmtree(cache / "variants")  # a cached variant is measured without what it was computed from
    for file in files(cache, kind):
        content = file.read_bytes()
        file.unlink()
        if damage == FOLDER:
            (file / "inside").mkdir(parents=True)
        elif (changed := (DAMAGES | TENSORS)[damage](content or b"x", draw)) is not None:
            file.write_bytes(changed)
    for chain in draw.sample(CHAINS, len(CHAINS)):
        found, fault = numbers(chain, 3)
        if fault:
            return f"{kind}, {damage}: {fault}"
        if found != cached.expected[chain]:
            return f"{kind}, {damage}: {chain} gives {found} in place of {cached.expected[chain]}."
    return None


FAMILIES = (Family("caches", len(CASES), heals, prepare, cases=CASES, isolated=True, seconds=180.0),)
