"""Hostile model folders: pipes, pickles, code, indices that lead elsewhere, damaged weights and tokenizers."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attacks.ending import bad_end, run_command
from tests.attacks.family import Family
from tests.attacks.machine import Machine, prepare_machine

CANARY = "code-ran"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

Case = Callable[[Path], Any]  # spoils a model folder


class Payload:
    """A pickle that creates a file when it is opened."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (os.environ[CANARY],)


def pipe(name: str) -> Case:
    """Return the case of a named pipe in place of a file."""
    return lambda folder: ((folder / name).unlink(missing_ok=True), os.mkfifo(folder / name))


def text(name: str, content: str | bytes) -> Case:
    """Return the case of a file with other content."""
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def device(name: str, target: str) -> Case:
    """Return the case of a link in place of a file."""
    return lambda folder: ((folder / name).unlink(missing_ok=True), (folder / name).symlink_to(target))


def settings(name: str, **changes: Any) -> Case:
    """Return the case of a JSON file with other values."""

    def change(folder: Path) -> None:
        known = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(known | changes))

    return change


def _pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Payload()}))


def _own_code(folder: Path) -> None:
    classes = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.T", None]}
    settings("config.json", model_type="own", auto_map=classes)(folder)
    settings("tokenizer_config.json", auto_map=classes)(folder)
    (folder / "own.py").write_text(f"import os\nos.mkdir(os.environ[{CANARY!r}])\n")


def _tensors(change: Callable[[Any], Any]) -> Case:
    def write(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        changed = {name: change(tensor.clone()) for name, tensor in load_file(folder / WEIGHTS).items()}
        (folder / WEIGHTS).unlink()
        save_file(changed, folder / WEIGHTS, metadata={"format": "pt"})

    return write


def _socket(folder: Path) -> None:
    before = os.getcwd()
    os.chdir(folder)  # as the path of a socket is limited
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("vocab.json")
    os.chdir(before)


def _cut(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


CASES: dict[str, Case] = {
    "a pipe of weights": pipe(WEIGHTS),
    "a pipe of a tokenizer": pipe("tokenizer.json"),
    "a pipe of tokenizer settings": pipe("tokenizer_config.json"),
    "a pipe of generation settings": pipe("generation_config.json"),
    "a pipe of a configuration": pipe("config.json"),
    "a pipe of a chat template": pipe("chat_template.jinja"),
    "a pipe of adapters": pipe("adapter_config.json"),
    "a socket": _socket,
    "weights of zeros without an end": device(WEIGHTS, "/dev/zero"),
    "a tokenizer of zeros without an end": device("tokenizer.json", "/dev/zero"),
    "a tokenizer that links to itself": device("tokenizer.json", "tokenizer.json"),
    "a pickle that runs code": _pickled,
    "code of its own": _own_code,
    "an index that leads to the folder above": text(INDEX, '{"weight_map": {"a": "../model.safetensors"}}'),
    "an index that leads to the root": text(INDEX, '{"weight_map": {"a": "/etc/passwd"}}'),
    "an index of numbers": text(INDEX, '{"weight_map": {"a": 5}}'),
    "a nested index": text(INDEX, "[" * 100_000),
    "weights cut off": _cut,
    "empty weights": text(WEIGHTS, b""),
    "weights with a huge header": text(WEIGHTS, b"\xff" * 7 + b"\x7f" + b"{}"),
    "weights that are not numbers": _tensors(lambda tensor: tensor * float("nan")),
    "weights of zero": _tensors(lambda tensor: tensor * 0),
    "weights of another shape": _tensors(lambda tensor: tensor[:1]),
    "whole numbers as weights": _tensors(lambda tensor: tensor.int()),
    "a tokenizer of more words than the model has": settings(
        "tokenizer.json",
        added_tokens=[
            {
                "id": 10**6,
                "content": "w1",
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": False,
            }
        ],
    ),
    "a nested tokenizer": text("tokenizer.json", "[" * 100_000),
    "a template that does not end": settings(
        "tokenizer_config.json",
        chat_template="{% for a in range(10**9) %}{% for b in range(10**9) %}{% endfor %}{% endfor %}",
    ),
}


def ends_well(given: tuple[Machine, str], draw: random.Random, place: Path) -> str | None:
    """Compress and measure a hostile folder; no code of it may run."""
    machine, name = given
    canary = place / CANARY
    os.environ.update({CANARY: str(canary), "SLIMSCOPE_CACHE": str(place / "cache")})
    machine.copy_results(place)
    os.chdir(machine.folder)
    folder = place / "model"
    shutil.copytree(machine.folder / "tiny", folder)
    CASES[name](folder)
    words = ["run", str(folder), "magnitude@0.5", "--perplexity", "text.txt@32:2"]
    fault = bad_end(words, *run_command(words))
    return f"{name}: code of the folder ran." if canary.exists() else fault and f"{name}: {fault}"


FAMILIES = (
    Family("model-folders", len(CASES), ends_well, prepare_machine, cases=tuple(CASES), isolated=True, seconds=120.0),
)
