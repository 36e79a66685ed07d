"""The memory of a streamed model does not grow with its number of blocks."""

from benchmarks.smoke import tiny_inputs
from benchmarks.streaming import measured, random_llama

HIDDEN, WIDTH = 512, 1376
BLOCK_MB = (4 * HIDDEN**2 + 3 * HIDDEN * WIDTH) * 2 / 1e6  # in bfloat16
FEW, MANY = 8, 24


def test_the_peak_of_few_and_of_many_blocks_is_the_same(tmp_path):
    with tiny_inputs() as tiny:
        how = "wanda@0.5", "c4-sample:2x64", "wikitext2@64:1", "bfloat16", "500MB"
        few, many = (
            measured(
                str(random_llama(tmp_path / str(blocks), HIDDEN, blocks, WIDTH, str(tiny))), *how, streams=True
            ).use.peak
            for blocks in (FEW, MANY)
        )
    assert many - few < (MANY - FEW) * BLOCK_MB / 2  # the whole model would take at least all of it
