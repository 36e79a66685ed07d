"""A grid: how many runs it asks for before any is looked at."""

import pytest

from core.amount import Factor, Pattern, Ratio
from core.request.settings import RunSettings
from core.request.sweeps import Grid, count, expand_grid
from core.specs import Perplexity, Task, TextWindows

RATIOS = Ratio(0.3), Ratio(0.5)
TRAIN = TextWindows.parse("passages-calibration:16x256")
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
    assert len(expand_grid(grid, RunSettings(perplexity=TEXT))[0]) == made


def test_each_point_of_each_chain_has_the_tasks_of_its_amount():
    chains, tasks_at = ("magnitude@", "magnitude@+lora"), {Ratio(0.3), Pattern(2, 4)}
    grid = Grid(models=("smollm2-135m",), chains=chains, amounts=(*RATIOS, Pattern(2, 4)), tasks_at=tasks_at)
    specs, _ = expand_grid(
        grid, RunSettings(tasks=[Task(task="piqa", limit=5)], scoring="bfloat16", train=TRAIN, perplexity=TEXT)
    )
    points = [(str(one.variant.stages[0].amount), len(one.variant.stages)) for one in specs]
    assert points == [("None", 1), *((amount, stages) for amount in ("0.3", "0.5", "2:4") for stages in (1, 2))]
    assert [len(one.tasks) for one in specs] == [1, 1, 1, 0, 0, 1, 1]
    assert all(one.scoring == ("bfloat16" if one.tasks else None) for one in specs)
