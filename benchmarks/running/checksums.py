"""Cost of verifying a cached variant before it is loaded, and of several hashes.

    python -m benchmarks.running.checksums [--rounds 3]

It stores random weights in the shape of the default model in fp32 (538 MB). Then it loads them with and without
verification in turn, from a warm page cache. Loading only maps the file, so the benchmark also times the first read of
each weight. A value is the best of the rounds, in CPU seconds.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.smoke import run
from core.cache import checksums
from core.cache.folders import build_once
from core.models.catalogue import BY_ID
from core.models.manifest import load_model_folder, save_model
from core.request.stages import DEFAULT_MODEL

BLOCKS = 30  # of the default model
SMOKE = {"rounds": 1, "blocks": 1}
HASHES = ("sha256", "blake2b", "md5")


def best_of(rounds: int, sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the minimum CPU seconds of each side; the sides take turns."""
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, side in sides.items():
            started = time.process_time()
            side()
            seconds = time.process_time() - started
            best[name] = min(seconds, best.get(name, seconds))
    return best


def hash_with(name: str, file: Path) -> None:
    with file.open("rb") as stream:
        hashlib.file_digest(stream, name).hexdigest()


def verify(folder: Path) -> None:
    if not checksums.intact(folder):
        raise SystemExit(f"{folder} does not match its checksums.")


def read(folder: Path) -> float:
    model = load_model_folder(folder, torch.float32)
    return sum(parameter.detach().sum().item() for parameter in model.parameters())


def read_verified(folder: Path) -> float:
    verify(folder)
    return read(folder)


def main(rounds: int = 3, blocks: int = BLOCKS) -> None:
    settings: dict[str, Any] = {**BY_ID[DEFAULT_MODEL].config, "num_hidden_layers": blocks}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings))
    with tempfile.TemporaryDirectory() as place:

        def store(target: Path) -> None:
            save_model(model, target)

        folder = build_once(Path(place) / "variant", store)
        weights = folder / "model.safetensors"
        sides: dict[str, Callable[[], object]] = {
            "load": partial(load_model_folder, folder, torch.float32),
            "load, read each weight once": partial(read, folder),
            "verify, load, read each weight once": partial(read_verified, folder),
            **{name: partial(hash_with, name, weights) for name in HASHES},
        }
        best = best_of(rounds, sides)
        size = weights.stat().st_size
    table = Table(title=f"{size / 1e6:.0f} MB, {rounds} rounds")
    for column in ("", "CPU seconds", "MB/s"):
        table.add_column(column, justify="right" if column else "left")
    for name, seconds in best.items():
        table.add_row(name, f"{seconds:.2f}", f"{size / seconds / 1e6:.0f}" if name in HASHES else "")
    Console().print(table)
    before, after = best["load, read each weight once"], best["verify, load, read each weight once"]
    print(f"Verification takes {after / before:.2f} times as long, {after - before:.2f} CPU seconds more")


if __name__ == "__main__":
    run(main, SMOKE)
