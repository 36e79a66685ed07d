"""GGUF files: what one states is used or named, and one that states more than it has is refused in a sentence."""

import os
import struct

import numpy as np
import pytest
from gguf import GGUFWriter

from core.base.errors import UserError
from core.models.compressed import config_like
from core.models.sources import fetch_compressed, identify_compressed
from tests.core.tiny import tiny

pytestmark = pytest.mark.usefixtures("cache")
ARRAY, TEXT, UINT32 = 9, 8, 4


def refused(file):
    """Return the sentence with which a file is refused."""
    with pytest.raises(UserError) as error:
        fetch_compressed(identify_compressed(str(file)))
    return str(error.value)


def text(content, stated=None):
    return struct.pack("<Q", len(content) if stated is None else stated) + content


def header(tensors, fields, *parts):
    return b"".join([b"GGUF", struct.pack("<IQQ", 3, tensors, fields), *parts])


LIST = text(b"a") + struct.pack("<IIQ", ARRAY, UINT32, 5_000_000)
TENSOR = text(b"a") + struct.pack("<I", 2**30)
CASES = {
    "entries in lists; at most 2,000,000": header(0, 1, LIST),
    "fields; at most": header(0, 2**40),
    "tensors; at most": header(2**40, 0),
    "bytes in a text; at most": header(0, 1, text(b"a", 2**40)),
    "dimensions in the tensor a; at most 4": header(1, 0, TENSOR),
}


@pytest.mark.parametrize("words", CASES)
def test_sizes_without_an_end_are_refused(words, tmp_path):
    file = tmp_path / "large.gguf"
    file.write_bytes(CASES[words])
    os.truncate(file, 40 * 10**9)  # sparse
    found = refused(file)
    assert found.startswith("large.gguf has ") and words in found


def written(place, architecture="llama", blocks=4, **fields):
    """Write a file with fields, and with a tensor in each of its blocks."""
    writer = GGUFWriter(place / "small.gguf", architecture)
    for name, value in fields.items():
        add = {float: writer.add_float32, int: writer.add_uint32, str: writer.add_string}[type(value)]
        add(f"{architecture}.{name}", value)
    for block in range(blocks):
        writer.add_tensor(f"blk.{block}.attn_q.weight", np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place / "small.gguf"


def test_a_file_larger_than_its_tensors_is_refused(tmp_path):
    file = written(tmp_path, block_count=4)
    size = file.stat().st_size
    os.truncate(file, 40 * 10**9)
    assert refused(file) == (
        f"small.gguf has 40,000,000,000 bytes, but its tensors end after {size:,}; give an intact file."
    )


def test_more_blocks_than_there_are_tensors_of_are_refused(tmp_path):
    found = refused(written(tmp_path, block_count=65))
    assert found == "small.gguf states 65 blocks, but has tensors of 4; give a file with all of them."


def test_a_long_architecture_is_cut(tmp_path):
    found = refused(written(tmp_path, "x" * 100_000, block_count=4))
    assert "could not be read as a GGUF file: GGUF model with architecture xxx" in found and len(found) < 500


def changed(place, kind, fields, **settings):
    """Return the fields of a configuration that a file changes, with their new values."""
    dense = tiny(kind, **settings).config.to_dict()
    found = config_like(written(place, kind.partition("-")[0], 0, **fields), dense, dense)
    return {name: value for name, value in found.items() if value != dense[name]}


def test_fields_with_a_place_are_used_and_named(tmp_path, caplog):
    kinds = ["sliding_attention", "full_attention"]
    rope = tiny("gemma3").config.to_dict()["rope_parameters"]
    bases = {"rope.freq_base": 5.0, "rope.freq_base_swa": 7.0, "attention.sliding_window_pattern": 2}
    assert changed(tmp_path, "gemma3", bases) == {
        "layer_types": kinds,
        "rope_parameters": {
            "full_attention": rope["full_attention"] | {"rope_theta": 5.0},
            "sliding_attention": rope["sliding_attention"] | {"rope_theta": 7.0},
        },
    }
    caps = {"final_logit_softcapping": 5.0, "attn_logit_softcapping": 6.0}
    assert changed(tmp_path, "gemma2", caps | {"attention.sliding_window": 4}) == caps | {"sliding_window": 4}
    caplog.clear()
    assert changed(tmp_path, "llama-gqa", {"attention.layer_norm_rms_epsilon": 0.25}) == {"rms_norm_eps": 0.25}
    assert caplog.messages == [
        "small.gguf states attention.layer_norm_rms_epsilon = 0.25, but the dense model has 1e-06; the comparison uses "
        "that of the file."
    ]


def test_fields_without_a_place_are_named(tmp_path, caplog):
    stated = {"attention.scale": 0.5, "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    assert changed(tmp_path, "llama-gqa", stated) == {}
    assert [one.split(",")[0] for one in caplog.messages] == [
        "small.gguf states attention.scale = 0.5",
        "small.gguf states rope.scaling.type = 'yarn'",
        "small.gguf states rope.scaling.factor = 4.0",
    ]
    assert all(one.endswith("the comparison uses that of the dense model.") for one in caplog.messages)


def test_equal_and_plain_fields_are_not_named(tmp_path, caplog):
    equal = {"rope.freq_base": 10000.0, "attention.layer_norm_rms_epsilon": 1e-6, "block_count": 5}
    plain = {"rope.scaling.type": "none", "rope.scaling.factor": 1.0}
    assert changed(tmp_path, "llama-gqa", equal | plain) == {} and caplog.messages == []


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^small\.gguf states rope\.freq_base = nan; give a file with a finite number"):
        changed(tmp_path, "llama-gqa", {"rope.freq_base": float("nan")})
