"""Operations of calibration."""

from types import SimpleNamespace

from core.methods.cost import walking
from core.specs import TextWindows

SHAPE = SimpleNamespace(blocks=3, hidden=4, ffn=8, forward=lambda tokens, window: 1000 * tokens + window)


def test_a_calibration_costs_its_passes_and_the_sum_and_inverse_of_each_gram_matrix():
    text = TextWindows(corpus="text.txt", windows=2, window=8)
    of_down = walking(SHAPE, text, 2, lambda role: frozenset({"gram" if role == "down" else "mean"}))
    assert of_down == 3 * (16 * 8**2 + 2 * 8**3) + 2 * (1000 * 16 + 8)
