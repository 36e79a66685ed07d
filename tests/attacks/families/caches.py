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
)
TEXT = ("--calibration", "text.txt:4x32", "--train", "text.txt:16x24")


@dataclass(frozen=True)
class Cached:
    """A machine, its cache and results after all chains, and by chain the number that another request gives."""

    machine: Machine
    cache: Path
    expected: dict[str, float]


def command(chain: str, windows: int) -> list[str]:
    """Return the command that measures a chain on some windows."""
    trains = TEXT if "lora" in chain else TEXT[:2]
    trains = trains[2:] if chain.startswith("magnitude") else trains
    return ["run", "./tiny", chain, *trains, "--perplexity", f"text.txt@32:{windows}", "--json"]


def perplexity(words: list[str]) -> tuple[float | None, str | None]:
    """Return the number of a command, or the sentence of its fault."""
    code, text = run_command(words)
    if fault := bad_end(words, code, text, good=(0,)):
        return None, fault
    content = json.loads(text[text.index("{\n") : text.rindex("}") + 1])
    windows = int(words[-2].rpartition(":")[2])
    rows = [row for row in content["measurements"] if row["protocol"].get("windows") == windows]
    return rows[0]["value"], None


def files(cache: Path, kind: str) -> list[Path]:
    """Return the files of one kind in a cache."""
    return sorted(path for path in cache.glob(kind) if path.is_file() and path.suffix != ".lock")


def prepare(folder: Path) -> Cached:
    """Fill a cache by running every chain, and measure on an empty one what the tries ask for."""
    machine = prepare_machine(folder)
    expected = {}
    for chain in CHAINS:
        _, fault = perplexity(command(chain, 4))
        if fault:
            raise RuntimeError(fault)
    shutil.copytree(os.environ["SLIMSCOPE_CACHE"], folder / "filled")
    shutil.copytree(machine.results, folder / "stored")
    if unknown := set(files(folder / "filled", "**/*")) - {
        file for kind in KINDS for file in files(folder / "filled", kind)
    }:
        raise RuntimeError(f"No kind of cached files has {unknown}; add it to KINDS.")
    for chain in CHAINS:
        value, fault = perplexity(command(chain, 3))
        if value is None:
            raise RuntimeError(fault)
        expected[chain] = value
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
    *("facts/*", "folders/*", "texts/*", "tokens/*", "observed/*/checksums.json", "observed/*/observed.safetensors"),
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
        found, fault = perplexity(command(chain, 3))
        if fault:
            return f"{kind}, {damage}: {fault}"
        if found != cached.expected[chain]:
            return f"{kind}, {damage}: {chain} gives {found} in place of {cached.expected[chain]}."
    return None


FAMILIES = (Family("caches", len(CASES), heals, prepare, cases=CASES, isolated=True, seconds=180.0),)
