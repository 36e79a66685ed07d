"""The model and the texts of whole searches."""

import shutil
from pathlib import Path

from core.specs import Perplexity, TextWindows

MODEL = "./wide"
TEXT = Perplexity(corpus="text.txt", window=32, windows=16, spread=True)
JUDGE = Perplexity(corpus="text.txt", window=64, windows=16)
CALIBRATION = TextWindows(corpus="text.txt", windows=4, window=32)


def write_wide(folder: Path) -> None:
    """Write a model with rows of 64 and 128 weights beside the tiny one, unless it is there."""
    from tests.core.tiny import tiny

    place = folder / "wide"
    if not place.exists():
        shutil.copytree(folder / "tiny", place)
        tiny("llama-gqa", hidden_size=64, intermediate_size=128, head_dim=16).save_pretrained(place)
