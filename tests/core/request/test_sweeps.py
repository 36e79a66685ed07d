"""A grid: how many runs it asks for before any is looked at."""

import pytest

from core.amount import Factor, Pattern, Ratio
from core.request.sweeps import Grid, count, expand_grid
from core.specs import Perplexity

RATIOS = Ratio(0.3), Ratio(0.5)
TEXT = [Perplexity.parse("passages-eval@2048:2")]


@pytest.mark.parametrize(
    ("chains", "more", "most", "made"),
    [
        (("wanda@",), {"amounts": (*RATIOS, Pattern(2, 4))}, 4, 4),
        (("wanda@", "magnitude@0.5"), {"amounts": RATIOS}, 4, 4),
        (("wanda@",), {"amounts": RATIOS, "seeds": (0, 1, 2)}, 7, 7),
        (("magnitude@",), {"amounts": RATIOS, "seeds": (0, 1, 2)}, 7, 3),  # it draws nothing
        (("wanda@0.5", "wanda@0.50"), {}, 3, 2),
        (("slimllm@0.2+tensor-train@",), {"amounts": (Factor(2), Factor(2.5))}, 3, 3),
    ],
)
def test_a_grid_is_counted_before_expansion(chains, more, most, made):
    grid = Grid(models=("smollm2-135m",), chains=chains, **more)
    assert count(grid) == most
    assert len(expand_grid(grid, perplexity=TEXT)[0]) == made
