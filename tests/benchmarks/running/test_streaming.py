"""The memory of a streamed model does not grow with its number of blocks."""

import tempfile
from pathlib import Path

import pytest

from benchmarks.running.streaming import measured, random_llama
from benchmarks.smoke import tiny_inputs

HIDDEN, WIDTH = 512, 1376
BLOCK_MB = (4 * HIDDEN**2 + 3 * HIDDEN * WIDTH) * 2 / 1e6  # in bfloat16
FEW, MANY = 4, 12


@pytest.fixture
def on_disk(monkeypatch):
    """A folder for all temporary files. The usual one may be in memory, where mapped files count as the process's."""
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.full
def test_the_peak_of_few_and_of_many_blocks_is_the_same(on_disk):
    with tiny_inputs() as tiny:
        how = "wanda@0.5", "c4-sample:2x64", "wikitext2@64:1", "bfloat16", "500MB"
        few, many = (
            measured(
                str(random_llama(on_disk / str(blocks), HIDDEN, blocks, WIDTH, str(tiny))), *how, streams=True
            ).use.peak
            for blocks in (FEW, MANY)
        )
    assert many - few < (MANY - FEW) * BLOCK_MB / 2  # the whole model would take at least all of it
