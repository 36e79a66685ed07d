"""The memory of a streamed model does not grow with its number of blocks."""

import pytest

from benchmarks.streaming import measured, random_llama

HIDDEN, WIDTH = 512, 1376
BLOCK_MB = (4 * HIDDEN**2 + 3 * HIDDEN * WIDTH) * 2 / 1e6  # in bfloat16


@pytest.mark.real
def test_the_peak_of_8_and_of_24_blocks_is_the_same(tmp_path, monkeypatch):
    folders = [random_llama(tmp_path / f"blocks-{blocks}", HIDDEN, blocks, WIDTH) for blocks in (8, 24)]
    # Only now, as the folders have the tokenizer of the default model, whose conversion the cache of the user keeps.
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    peaks = []
    for folder in folders:
        how = "c4-sample:2x128", "wikitext2@128:1", "bfloat16", "500MB"
        peaks.append(measured(str(folder), "sparsegpt@0.5", *how, streams=True).use.peak)
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] - peaks[0] < 16 * BLOCK_MB / 2  # the whole model would take at least all of it
