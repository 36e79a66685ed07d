"""The signs of formulas and what they mean, and the operations of calibration."""

from types import SimpleNamespace

import pytest

from core.methods.cost import walking
from core.methods.fields import legend, signs, unexplained_symbols
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.wanda import Wanda
from core.specs import TextWindows


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"S_{ij} = |W_{ij}| \cdot \lVert X_j \rVert_2", ["S", "i", "j", "W", "X"]),
        (r"W' = W + \frac{\alpha}{r}\, B A", ["W'", "W", r"\alpha", "r", "B", "A"]),
        (r"\mathcal{L}_{\mathrm{text}} \approx \hat{G}", [r"\mathcal{L}", "G"]),
        (r"\operatorname{mean} |X_j| \ \text{where}\ \lambda I", ["X", "j", r"\lambda", "I"]),
        (r"[\,\cdot\,]_k", ["k"]),
        (r"\overline{\,\cdot\,}", []),
    ],
)
def test_symbols_are_letters_without_words_or_commands(latex, expected):
    assert signs(latex) == expected


def test_legend_follows_the_formula_and_prefers_own_descriptions(monkeypatch):
    assert list(legend(Wanda)) == ["S", r"i,\ j", "W", "X"]
    monkeypatch.setattr(Magnitude, "formulas", (r"Z = S \gamma",))
    monkeypatch.setattr(Magnitude, "symbols", {"S": "own words", r"\sum": "without a letter"})
    assert legend(Magnitude) == {"S": "own words", r"\sum": "without a letter"}
    assert unexplained_symbols(Magnitude) == ["Z", r"\gamma"]


SHAPE = SimpleNamespace(blocks=3, hidden=4, ffn=8, forward=lambda tokens, window: 1000 * tokens + window)


def test_a_calibration_costs_its_passes_and_the_sum_and_inverse_of_each_gram_matrix():
    text = TextWindows(corpus="text.txt", windows=2, window=8)
    of_down = walking(SHAPE, text, 2, lambda role: frozenset({"gram" if role == "down" else "mean"}))
    assert of_down == 3 * (16 * 8**2 + 2 * 8**3) + 2 * (1000 * 16 + 8)
