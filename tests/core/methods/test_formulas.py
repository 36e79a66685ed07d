"""The signs of formulas and what they mean."""

import pytest

from core.methods.fields import legend, signs, unexplained_symbols
from core.methods.unstructured.magnitude import Magnitude
from core.methods.unstructured.wanda import Wanda


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
