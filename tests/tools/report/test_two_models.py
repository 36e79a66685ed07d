"""The table of a second model, compared with the default one."""

from core.specs import Stage, TextWindows
from tests.tools.report.test_significance import pruned, variant
from tools.report.chains import read_beside
from tools.report.points import BESIDE_DENSE, MEANS, MODEL, SECOND
from tools.report.two_models import saved, two_models


def second(key, stages, **more):
    return variant(key, stages, model=SECOND, windows=8, **more)


def read(*made):
    kept = {result.variant.key: answers for result, answers in made}
    return [result for result, _ in made], lambda key, row: kept[key].get(row.identity)


def test_chains_of_the_second_model_are_compared_with_dense_and_the_first():
    elsewhere = Stage(method="wanda", ratio=0.5, calibration=TextWindows.parse("passages-calibration:16x2048"))
    results, samples = read(
        variant("0", (Stage(method="dense"),)),
        variant("1", pruned("wanda"), loss=3.2),
        variant("2", pruned("sparsegpt", ratio=0.3), loss=3.3, answers=False),
        variant("3", (elsewhere,), loss=5.0),
        second("a", (Stage(method="dense"),), loss=2.0),
        second("b", pruned("sparsegpt", ratio=0.3), loss=2.1, right=25),
        second("c", pruned("wanda"), loss=2.5),
        second("d", pruned("wanda", ratio=0.3), loss=2.05),
    )
    table = two_models(results, samples).set_index("chain")
    assert list(table.index) == ["`wanda@0.3`", "`wanda@0.5`", "`sparsegpt@0.3`"]
    assert list(table["perplexity"]) == ["7.77", "12.18", "8.17"]
    assert table.loc["`wanda@0.5`", BESIDE_DENSE].startswith("x 1.65 [")
    assert table.loc["`sparsegpt@0.3`", MEANS].startswith("-12.5 [")
    own = table[f"{MODEL}, {BESIDE_DENSE}"]
    assert own["`wanda@0.5`"].startswith("x 1.22 [") and own["`wanda@0.3`"] == ""
    assert own["`sparsegpt@0.3`"] == "x 1.35"
    assert read_beside(results, samples, "wanda@0.5", "wanda@0.3", SECOND).startswith("x 1.57 [")
    half = results[6].counted.model_copy(update={"packed_bytes": 120})
    results[6] = results[6].model_copy(update={"footprint": half})
    assert saved(results, "wanda@0.5", SECOND) == "60 %"  # of 300
    assert two_models(results[:4], samples).empty
