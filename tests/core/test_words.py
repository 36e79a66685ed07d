"""Amounts, numbers, times and variants in words."""

import math
import subprocess
import sys

import pytest

from core import words
from core.specs import Stage, VariantSpec


@pytest.mark.parametrize(
    ("ratio", "pattern", "text"),
    [
        (0.5, None, "50 %"),
        (0.125, math.nan, "12.5 %"),
        (0.5, "2:4", "2:4"),
        (0.0, None, "0 %"),
        (None, None, "nothing removed"),
        (math.nan, math.nan, "nothing removed"),
    ],
)
def test_amounts(ratio, pattern, text):
    assert words.amount(ratio, pattern) == text


@pytest.mark.parametrize(
    ("value", "text"), [(20.123, "20.1"), (1234.5, "1,234"), (3.4e5, "3.4e5"), (math.inf, "∞"), (math.nan, "nan")]
)
def test_numbers_are_short(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "about 1 s"), (20, "about 20 s"), (372, "about 6 min"), (9000, "about 2.5 h")]
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


def test_variants_are_named_by_all_their_stages():
    first = Stage(method="sparsegpt", ratio=0.5, seed=3)
    recovered = VariantSpec(model="tiny", revision="r", stages=(first, Stage(method="lora", seed=3)))
    assert words.variant_name(recovered) == "SparseGPT, 50 %, then LoRA, tiny, seed 3"
    assert words.variant_name(VariantSpec(model="tiny", revision="r", stages=(Stage(method="dense"),))) == "Dense, tiny"
    gone = VariantSpec(model="tiny", revision="r", stages=(Stage(method="gone", ratio=0.5, pattern="2:4"),))
    assert words.variant_name(gone) == "gone, 2:4, tiny"


def test_words_cost_no_large_import():
    code = "import sys, core.words; print({'torch', 'pandas', 'streamlit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
