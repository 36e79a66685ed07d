"""docs/results.md: the page of the bundled results, and its tables of a few made-up results."""

import math

import pandas as pd
import pytest

from core.specs import Stage
from tests.core.factories import KEY, OTHER, make, perplexity
from tests.tools.programs import run_program
from tools.report import points, results, tables


def test_the_page_matches_the_bundled_results(tmp_path):
    assert run_program("tools.report.results", tmp_path / "results.md") == 0
    written = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert written == results.PAGE.read_text(encoding="utf-8"), "`python -m tools.report.results` writes it again"


def result(method, value, dataset="wikitext2", key=KEY, model=points.MODEL):
    made = make(perplexity(value, dataset), key=key)
    return made.model_copy(update={"variant": made.variant.model_copy(update={"model": model, "method": method})})


@pytest.mark.parametrize(
    ("value", "written"),
    [(20.7135, "20.71"), (999.99, "999.99"), (3974.2, "3,974"), (984210.0, "9.8e5"), (1.34e12, "1.3e12")],
)
def test_numbers_have_a_readable_format(value, written):
    assert points.number(value) == written
    assert points.number(math.nan) == ""


def test_a_point_joins_the_numbers_of_its_variants_of_one_model():
    made_up = [result("wanda", 10.0), result("wanda", 12.0, "passages-eval", OTHER), result("wanda", 9.0, model="m")]
    found = points.points(made_up)
    row = found.loc[("wanda", "", "50 %")]
    assert len(found) == 1 and (row[points.LONG], row[tables.PASSAGES]) == (10.0, 12.0)


def test_each_chain_is_a_separate_point():
    def of_chain(place, *stages):
        made = make(perplexity(10.0), key=str(place) * 64, stages=stages)
        return made.model_copy(update={"variant": made.variant.model_copy(update={"model": points.MODEL})})

    first, later = Stage(method="magnitude", ratio=0.2), Stage(method="magnitude", ratio=0.5)
    adaprune, lora = Stage(method="adaprune"), Stage(method="lora")
    chains = [(later, adaprune), (first, adaprune, later, adaprune), (Stage(method="wanda", ratio=0.5), adaprune)]
    alone = [(lora,), (Stage(method="magnitude-trained", ratio=0.5),)]
    found = points.points([of_chain(place, *stages) for place, stages in enumerate([*chains, *alone])])
    assert set(found.index) == {
        ("adaprune", "", "50 %"),
        ("adaprune 20 %+adaprune", "", "50 %"),
        ("wanda", "adaprune", "50 %"),
        ("dense", "lora", "nothing"),
        ("magnitude", "magnitude-trained", "50 %"),
    }


def test_a_point_with_duplicate_results_is_rejected():
    with pytest.raises(ValueError, match="duplicate"):
        points.points([result("wanda", 10.0), result("wanda", 11.0, key=OTHER)])


def made(rows):
    """Return points as `points` does; rows are {(method, recovery, removed): numbers by name}."""
    index = pd.MultiIndex.from_tuples(rows, names=["method", "recovery", "removed"])
    return pd.DataFrame(list(rows.values()), index=index)


def test_unmeasured_cells_are_empty():
    found = made({("wanda", "", "50 %"): {points.LONG: 10.0}, ("magnitude", "", "2:4"): {points.LONG: 1e5}})
    table = tables.unstructured_perplexity(found).set_index("method")
    assert list(table.index) == ["magnitude", "wanda"]  # as in the registry
    assert list(table["50 %"]) == ["", "10.00"] and list(table["2:4"]) == ["1.0e5", ""]


def test_a_recovery_shows_the_values_before_and_after():
    numbers = dict.fromkeys([points.LONG, tables.SHORT, tables.PTB, points.accuracy(500)], 50.0)
    after = numbers | {points.LONG: 20.0, points.STEPS: 7.0}
    dense = {points.LONG: 10.0, points.accuracy(500): 60.0}
    found = made({("dense", "", "nothing"): dense, ("wanda", "", "50 %"): numbers, ("wanda", "lora", "50 %"): after})
    (row,) = tables.recovered(found).to_dict("records")
    assert (row["WikiText-2, 2048"], row["128"], row["steps"]) == ("50.00 → 20.00", "50.00 → 50.00", "7")
    assert row["accuracy"] == "50.0 → 50.0"
    assert points.gap_closed(found, "wanda", "lora", "50 %") == "57 %"  # log(50 / 20) / log(50 / 10)


def test_accuracies_on_fewer_documents_than_dense_are_marked():
    few, many = points.accuracy(100), points.accuracy(500)
    found = made(
        {
            points.DENSE: {few: 43.0, f"± {few}": 1.8, many: 45.0, f"± {many}": 0.8},
            ("wanda", "", "50 %"): {few: 40.0},
            ("ria", "", "50 %"): {few: 41.0, many: 42.0},
            ("ria", "lora", "50 %"): {few: 44.0},
            ("sparsegpt", "", "50 %"): {},
        }
    )
    cells = tables.unstructured_accuracy(found).set_index("method")["50 %"]
    assert dict(cells) == {"wanda": "40.0 (100)", "ria": "42.0", "sparsegpt": ""}
    before, after = (found.loc[("ria", then, "50 %")] for then in ("", "lora"))
    assert points.accuracies(found, before, after) == "41.0 → 44.0 (100)"  # of the same documents
    dense = points.dense(found)
    assert (dense["mean of seven"], dense["± mean of seven"]) == ("45.0", "0.8")


def test_other_seeds_are_excluded_from_the_points():
    other = result("wanda", 11.0, key=OTHER)
    stages = tuple(stage.model_copy(update={"seed": 1}) for stage in other.variant.stages)
    other = other.model_copy(update={"variant": other.variant.model_copy(update={"stages": stages})})
    found = points.points([result("wanda", 10.0), other])
    assert list(found[points.LONG]) == [10.0]


def test_speed_is_relative_to_dense():
    def speeds(each):
        measured = ("prefill ms/token", "decode ms/token", "memory MB")
        return {f"{name}, batch {batch}": each for name in measured for batch in (1, 4)}

    found = made({("dense", "", "nothing"): speeds(2.0), ("slimllm", "", "20 %"): speeds(1.0)})
    table = tables.latency(found)
    assert list(table["method"]) == ["dense", "slimllm"]
    assert list(table["read, 4"]) == ["2.00 (1.00)", "1.00 (2.00)"] and list(table["MB, 1"]) == ["2", "1"]
