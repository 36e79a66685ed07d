"""A grid: how many runs it asks for before any is looked at, and how an amount is written."""

import pytest

from core.errors import UserError
from core.request.sweeps import Grid, count, expand_grid, parse_amount
from core.specs import Perplexity

TEXT = [Perplexity.parse("passages-eval@2048:2")]


@pytest.mark.parametrize(
    ("chains", "more", "most", "made"),
    [
        (("wanda@",), {"ratios": (0.3, 0.5), "patterns": ("2:4",)}, 4, 4),
        (("wanda@", "magnitude@0.5"), {"ratios": (0.3, 0.5)}, 4, 4),
        (("wanda@",), {"ratios": (0.3, 0.5), "seeds": (0, 1, 2)}, 7, 7),
        (("magnitude@",), {"ratios": (0.3, 0.5), "seeds": (0, 1, 2)}, 7, 3),  # it draws nothing
        (("wanda@0.5", "wanda@0.50"), {}, 3, 2),
        (("slimllm@0.2+tensor-train@",), {"patterns": ("2x", "2.5x")}, 3, 3),
    ],
)
def test_a_grid_is_counted_before_expansion(chains, more, most, made):
    grid = Grid(models=("smollm2-135m",), chains=chains, **more)
    assert count(grid) == most
    assert len(expand_grid(grid, perplexity=TEXT)[0]) == made


def test_amounts_are_ratios_patterns_bits_or_factors():
    assert parse_amount("0.30") == (0.3, None) and parse_amount("2:4") == (None, "2:4")
    assert parse_amount("4bit") == (None, "4bit") and parse_amount("1.5x") == (None, "1.5x")
    for text in ("half", "4:2", "x", "02x", "1.50x"):
        with pytest.raises(UserError):
            parse_amount(text)
