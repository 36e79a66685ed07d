"""Grids, whose runs are counted before any is looked at, and combinations of chains on different weights."""

import pytest

from core.amount import Factor, Pattern, Ratio
from core.methods.terms import STORED
from core.notation.chain import parse
from core.registry import METHODS, STAGES, build_method
from core.request.combining import WrittenChain, combine, ends_on_tables, in_blocks, on_tables, split, written
from core.request.resolve import method_of
from core.request.settings import RunSettings
from core.request.sweeps import Grid, count, expand_grid
from core.specs import Perplexity, Stage, Task, TextWindows

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


DATA, OTHER, LESSON = "c4-sample:16x2048", "passages-calibration:16x2048", "c4-sample:512x256"
TABLES = WrittenChain("rtn@8bit,on=embedding", None, None, None)


@pytest.mark.parametrize(
    ("chain", "blocks", "tables", "both"),
    [
        ("gptq@,group_size=0", True, False, False),
        ("wanda@0.5+lora+gptq@", True, False, False),
        ("shortgpt@0.2", True, False, False),
        ("rtn@,on=embedding", False, True, False),
        ("embedding-lowrank@2x,head=explicit", False, True, False),
        ("gptq@4bit+rtn@8bit,on=embedding", False, False, True),
        ("wanda@0.5+lora+gptq@4bit+tensor-train@2x", False, False, True),
        ("tensor-train@2x+gptq@4bit", False, False, False),
        ("tensor-train@2x+rtn@4bit,on=embedding", False, False, False),
        ("slicegpt@0.2", False, False, False),
        ("slicegpt@0.2+rtn@8bit,on=embedding", False, False, False),
        ("dense", False, False, False),
        ("no-such-method@4bit", False, False, False),
    ],
)
def test_chains_are_grouped_by_the_weights_that_their_stages_change(chain, blocks, tables, both):
    assert (in_blocks(chain), on_tables(chain), ends_on_tables(chain)) == (blocks, tables, both)


def test_every_method_is_in_the_blocks_or_on_the_tables_as_it_declares():
    for method in STAGES:
        usual = method.bit_choices[-1:] or method.factor_choices[:1]
        amount = f"@{usual[0]:g}{'bit' if method.bit_choices else 'x'}" if usual else "@0.5"
        chain = method.name + (amount if method.takes_amount else "")
        places = method_of(parse(chain)[0]).modifies
        assert in_blocks(chain) == (method.name != "dense" and "tables" not in places)
        assert on_tables(chain) == (places == {"tables"})
    assert any("tables" in method.modifies for method in METHODS) and "grid" in STORED
    assert build_method(Stage(method="rtn", version=2, parameters={"on": "embedding"})).modifies == {"tables"}


def test_a_combination_has_the_data_and_the_seed_of_its_parts():
    blocks = WrittenChain("gptq@4bit+lora", DATA, LESSON, 3)
    stages = combine(blocks, TABLES)
    assert [stage.method for stage in stages] == ["gptq", "lora", "rtn"]
    assert [str(stage.calibration) for stage in stages[:2]] == [DATA, LESSON] and stages[2].calibration is None
    assert [stage.seed for stage in stages] == [3, 3, None]
    assert written(stages) == blocks._replace(chain="gptq@4bit+lora+rtn@8bit,on=embedding")
    assert split(written(stages)) == (blocks, TABLES)


def test_parts_with_other_data_or_seeds_and_refused_stages_are_not_combined():
    blocks = WrittenChain("gptq@4bit", DATA, None, 0)
    assert combine(blocks, TABLES)
    assert combine(blocks, TABLES._replace(calibration=DATA, seed=0))
    assert combine(blocks, TABLES._replace(calibration=OTHER)) is None
    assert combine(blocks, TABLES._replace(seed=1)) is None
    assert combine(blocks._replace(chain="gptq@4bit+rtn@8bit,on=embedding"), TABLES) is None  # already on a grid
    assert split(WrittenChain("no-such-method@1+rtn@8bit,on=embedding", None, None, None)) is None
