"""The memory of a streamed model does not grow with its number of blocks."""

import pytest

from benchmarks.streaming import measured, random_llama
from core.data.corpora import open_corpus
from core.data.windows import calibration_windows, evaluation_windows, read_data
from core.models.sources import identify, load_tokenizer
from core.specs import TextWindows

HIDDEN, WIDTH = 1024, 2752
BLOCK_MB = (4 * HIDDEN**2 + 3 * HIDDEN * WIDTH) * 2 / 1e6  # in bfloat16
FEW, MANY = 2, 6
CALIBRATION, TEXT, WINDOW = "c4-sample:2x128", "wikitext2", 128


def keep_tokens(folder):
    """Tokenise the texts, which takes more memory than the model, into the cache."""
    tokenizer = load_tokenizer(identify(str(folder)))
    calibration_windows(read_data(TextWindows.parse(CALIBRATION)), tokenizer, 0)
    evaluation_windows(open_corpus(TEXT), tokenizer, WINDOW)


@pytest.mark.real
def test_the_peak_of_few_and_of_many_blocks_is_the_same(tmp_path, monkeypatch):
    folders = [random_llama(tmp_path / f"blocks-{blocks}", HIDDEN, blocks, WIDTH) for blocks in (FEW, MANY)]
    # Only now, as the folders have the tokenizer of the default model, whose conversion the cache of the user keeps.
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    keep_tokens(folders[0])
    how = "wanda@0.5", CALIBRATION, f"{TEXT}@{WINDOW}:1", "bfloat16", "500MB"
    few, many = (measured(str(folder), *how, streams=True).use.peak for folder in folders)
    assert many - few < (MANY - FEW) * BLOCK_MB / 2  # the whole model would take at least all of it
