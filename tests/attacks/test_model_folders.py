"""Hostile model folders: pipes, code, indices that lead elsewhere, and damaged weights."""

import json
import os
import shutil
import socket

import pytest
from safetensors.torch import load_file, save_file

from tests.attacks.damage import ATTACK
from tests.attacks.machine import RUN, expect

pytestmark = ATTACK

CANARY = "CANARY_OF_CODE"  # of the environment: a folder that code in a model folder would make
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def text(name, content):
    """Return the case of a file with other content."""
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def device(name, target):
    """Return the case of a link in place of a file."""
    return lambda folder: ((folder / name).unlink(missing_ok=True), (folder / name).symlink_to(target))


def settings(name, **changes):
    """Return the case of a JSON file with other values."""

    def change(folder):
        known = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(known | changes))

    return change


def _own_code(folder):
    classes = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": ["own.T", None]}
    settings("config.json", model_type="own", auto_map=classes)(folder)
    settings("tokenizer_config.json", auto_map=classes)(folder)
    (folder / "own.py").write_text(f"import os\nos.mkdir(os.environ[{CANARY!r}])\n")


def _tensors(change):
    def write(folder):
        changed = {name: change(tensor.clone()) for name, tensor in load_file(folder / WEIGHTS).items()}
        (folder / WEIGHTS).unlink()
        save_file(changed, folder / WEIGHTS, metadata={"format": "pt"})

    return write


def _socket(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "vocab.json"))  # as the path of a socket is limited


def _cut(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
ENDLESS = "{% for a in range(10**9) %}{% for b in range(10**9) %}{% endfor %}{% endfor %}"
CASES = {
    "a socket": _socket,
    "weights of zeros without an end": device(WEIGHTS, "/dev/zero"),
    "a tokenizer of zeros without an end": device("tokenizer.json", "/dev/zero"),
    "a tokenizer that links to itself": device("tokenizer.json", "tokenizer.json"),
    "code of its own": _own_code,
    "a nested index": text(INDEX, "[" * 100_000),
    "weights cut off": _cut,
    "weights with a huge header": text(WEIGHTS, b"\xff" * 7 + b"\x7f" + b"{}"),
    "weights of zero": _tensors(lambda tensor: tensor * 0),
    "weights of another shape": _tensors(lambda tensor: tensor[:1]),
    "whole numbers as weights": _tensors(lambda tensor: tensor.int()),
    "more words than the model has": settings("tokenizer.json", added_tokens=[{"id": 10**6, "content": "w1", **FLAGS}]),
    "a nested tokenizer": text("tokenizer.json", "[" * 100_000),
    "a template that does not end": settings("tokenizer_config.json", chat_template=ENDLESS),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_hostile_folder_ends_in_a_sentence_and_runs_no_code(kind, place, machine, monkeypatch):
    monkeypatch.setenv(CANARY, str(place / "ran"))
    shutil.copytree(machine.folder / "tiny", "model")
    CASES[kind](place / "model")
    expect("run", "./model", *RUN[2:])
    assert not (place / "ran").exists()
