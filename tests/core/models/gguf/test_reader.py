"""GGUF files that state more than they have: each is refused in a sentence before anything of that size is read."""

import os
import struct

import numpy as np
import pytest
from gguf import GGUFWriter

from core.base.errors import UserError
from core.models.sources import fetch_compressed, identify_compressed

ARRAY, TEXT, UINT32 = 9, 8, 4


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))


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


def written(place, blocks=4, stated=4, architecture="llama"):
    writer = GGUFWriter(place / "small.gguf", architecture)
    writer.add_block_count(stated)
    for block in range(blocks):
        writer.add_tensor(f"blk.{block}.attn_q.weight", np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place / "small.gguf"


def test_a_file_larger_than_its_tensors_is_refused(tmp_path):
    file = written(tmp_path)
    size = file.stat().st_size
    os.truncate(file, 40 * 10**9)
    assert refused(file) == (
        f"small.gguf has 40,000,000,000 bytes, but its tensors end after {size:,}; give an intact file."
    )


def test_more_blocks_than_there_are_tensors_of_are_refused(tmp_path):
    found = refused(written(tmp_path, stated=65))
    assert found == "small.gguf states 65 blocks, but has tensors of 4; give a file with all of them."


def test_a_long_architecture_is_cut(tmp_path):
    found = refused(written(tmp_path, architecture="x" * 100_000))
    assert "could not be read as a GGUF file: GGUF model with architecture xxx" in found and len(found) < 500
