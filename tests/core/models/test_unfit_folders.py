"""Folders that hold no model to compress are refused with a sentence."""

import math
import os

import pytest

from core.base.errors import UserError
from core.models.facts import load_shape
from core.models.sources import identify, load_model, load_tokenizer
from tests.core.models.folders import ODD, edit

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "additional_chat_templates/x.jinja"])
def test_a_pipe_in_a_model_folder_is_rejected(folder, name):
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=r"is a pipe, not a regular file; give a file on a disk\.$"):
        identify(str(folder))
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is a device, not a regular file"):
        identify(str(folder))


def test_a_file_that_becomes_a_pipe_before_loading_is_rejected(folder):
    source = identify(str(folder))
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    for load in (load_model, load_tokenizer):
        with pytest.raises(UserError, match="is a pipe, not a regular file"):
            load(source)


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not readable JSON"),
        *((lambda f, text=text: (f / "config.json").write_text(text), "contains no JSON object") for text in ODD),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "not readable JSON"),
        (lambda f: edit(f, rope_scaling={"type": "\ud800"}), "not readable JSON"),
        (lambda f: edit(f, architectures=5), "not a list of names"),
        (lambda f: edit(f, num_hidden_layers=10**9), "has num_hidden_layers = 1000000000; at most 1000 are allowed"),
        (lambda f: edit(f, vision_config={"depths": [1, 100_000]}), r"has depths = \[1, 100000\]; at most 1000"),
        (lambda f: edit(f, architectures=["BertForMaskedLM"]), "is a BertForMaskedLM, not a causal language model"),
        (lambda f: (f / "tokenizer.model").symlink_to("gone"), "tokenizer.model cannot be read: No such file"),
        (lambda f: edit(f, slimscope={}), "give the model it was compressed from"),
        (lambda f: edit(f, quantization_config={"quant_method": "gptq"}), "already quantised"),
        (lambda f: (f / "model.safetensors").unlink(), "no complete set of weights"),
        (
            lambda f: (f / INDEX).write_text('{"weight_map": {"a": "model-2.safetensors"}}'),
            "no complete set of weights",
        ),
        *((lambda f, text=text: (f / INDEX).write_text(text), "contains no JSON object") for text in ODD),
        (lambda f: (f / INDEX).write_text("{"), "not readable JSON"),
        (lambda f: (f / INDEX).write_text("{}"), "has no weight_map from weights to files"),
        (lambda f: (f / INDEX).write_text('{"weight_map": {"a": "../b"}}'), "not a file in the same folder"),
    ],
)
def test_an_unusable_folder_is_rejected_with_a_sentence(folder, spoil, sentence):
    spoil(folder)
    with pytest.raises(UserError, match=sentence):
        identify(str(folder))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"hidden_size": "64"}, "has hidden_size = '64'; give a whole number above 0"),
        ({"max_position_embeddings": math.nan}, "has max_position_embeddings = nan"),
        ({"num_attention_heads": 0}, "has num_attention_heads = 0"),
        ({"num_hidden_layers": 10**400}, "has num_hidden_layers = 1000"),
        ({"intermediate_size": None}, "lacks 'intermediate_size'"),
        ({"model_type": [], "text_config": 5, "hidden_size": True}, "has hidden_size = True"),
    ],
)
def test_an_invalid_size_is_rejected_with_a_sentence(folder, changes, sentence):
    edit(folder, **changes)
    with pytest.raises(UserError, match=sentence):
        load_shape(identify(str(folder)))
