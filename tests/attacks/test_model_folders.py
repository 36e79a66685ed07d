"""Hostile model folders: damaged configurations, pipes, code, indices that lead elsewhere, and damaged weights."""

import json
import os
import shutil
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from core.base.errors import UserError
from core.models.facts import load_shape
from core.models.sources import identify
from core.request.complete import complete
from core.request.expected.estimate import estimate_left
from core.store.store import Store
from tests.attacks.damage import ATTACK, as_json, damaged_tree, examples
from tests.attacks.machine import RUN, expect, limited
from tests.core.tiny import ARCHITECTURES, OTHERS

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
HOSTILE = {
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


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_folder_ends_in_a_sentence_and_runs_no_code(kind, place, machine, monkeypatch):
    monkeypatch.setenv(CANARY, str(place / "ran"))
    shutil.copytree(machine.folder / "tiny", "model")
    HOSTILE[kind](place / "model")
    expect("run", "./model", *RUN[2:])
    assert not (place / "ran").exists()


TYPES = ("mamba", "resnet", "bert", "t5", "", "no-such")
SIZES = (0, 1, 2, 3, 7, 1_000, 1_001, 10**5, 10**9, 2**31, 2**63, -1)
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "depths", "encoder_layers", "num_experts")
CLASSES = ([], [""], ["LlamaModel"], ["ResNetModel"], ["LlamaForCausalLM", ""], ["BertForMaskedLM"], "LlamaForCausalLM")
CHAINS = ("magnitude@0.5", "rtn@4bit,group_size=16", "dense", "wanda@2:4", "flap@0.3")
KINDS = tuple({kind for kind, _ in (ARCHITECTURES | OTHERS).values()})
CHANGES = st.one_of(  # of what loaders read first
    st.fixed_dictionaries({"model_type": st.sampled_from((*sorted(KINDS), *TYPES))}),
    st.fixed_dictionaries({"architectures": st.sampled_from(CLASSES)}),
    st.tuples(st.sampled_from(LAYERS), st.sampled_from((*SIZES, [1, 100_000], [2, 2]))).map(lambda pair: dict([pair])),
)


@pytest.fixture(scope="module")
def config(machine):
    return json.loads((machine.folder / "tiny" / "config.json").read_text())


@st.composite
def configurations(draw, config):
    """Draw a configuration after one to three changes, at random or of what loaders read first."""
    if draw(st.booleans()):
        return draw(damaged_tree(config))
    config = dict(config)
    for _ in range(draw(st.integers(1, 3))):
        numbers = sorted(name for name, value in config.items() if isinstance(value, int))
        sizes = st.tuples(st.sampled_from(numbers), st.sampled_from(SIZES)).map(lambda pair: dict([pair]))
        config |= draw(CHANGES | sizes)
    return config


def write(machine, config, place):
    """Write the small model with another configuration."""
    shutil.copytree(machine.folder / "tiny", place / "model", dirs_exist_ok=True)
    (place / "model" / "config.json").unlink()
    (place / "model" / "config.json").write_bytes(as_json(config))


@examples(1_200)
@given(st.data(), st.sampled_from(CHAINS))
def test_a_damaged_configuration_is_estimated_or_refused(machine, config, data, chain):
    config = data.draw(configurations(config))
    with machine.place() as place, limited():
        write(machine, config, place)
        try:
            found = load_shape(identify("./model"))
            cost = estimate_left([complete("./model", chain)], Store())
        except UserError as error:
            assert str(error).strip()
            return
        assert found.parameters >= 0 and cost.bytes >= 0


@examples(50)
@given(st.data(), st.sampled_from(CHAINS))
def test_a_damaged_configuration_is_compressed_or_refused(machine, config, data, chain):
    calibration = ("--calibration", "text.txt:2x32") if chain[0] in "wf" else ()
    with machine.place() as place:
        write(machine, data.draw(configurations(config)), place)
        expect("run", "./model", chain, *calibration, "--perplexity", "text.txt@32:2", seconds=180)
