"""Tables in which a variant is its chain."""

from core.amount import Amount
from core.request.stages import build_stage
from core.results import LayerReport
from core.specs import Stage, TextWindows
from tests.tools.report.test_significance import variant
from tools.report.chains import (
    allocated,
    embeddings,
    is_allocated,
    of_embedding,
    of_some_blocks,
    read_beside,
    some_blocks,
)
from tools.report.points import BESIDE_DENSE

DENSE = variant("a", (Stage(method="dense"),))


def read(*made):
    kept = {result.variant.key: answers for result, answers in made}
    return [result for result, _ in made], lambda key, row: kept[key].get(row.identity)


def zeroed(method, ratio=0.7, **more):
    return Stage(method=method, ratio=ratio, **more)


def test_allocations_are_listed_with_uniform_ratios_and_alps():
    made = [
        DENSE,
        variant("b", (zeroed("wanda"),), loss=3.4),
        variant("c", (zeroed("wanda", parameters={"allocation": "owl"}),), loss=3.3),
        variant("d", (zeroed("wanda", 0.5),), loss=3.1),
        variant("e", (zeroed("alps"), Stage(method="adaprune")), loss=3.2),
        variant("f", (zeroed("ria"),), loss=3.2),
        variant("1", (Stage(method="alps", ratio=0.5, pattern="2:4"),), loss=3.15),
    ]
    results, samples = read(*made)
    assert [is_allocated(one) for one in results] == [False, False, True, False, False, False, False]
    table = allocated(results, samples)
    assert list(table["chain"]) == ["`alps@0.7+adaprune`", "`wanda@0.7,allocation=owl`", "`wanda@0.7`", "`alps@2:4`"]
    assert table[BESIDE_DENSE].str.startswith("x ").all()
    assert allocated([one for one in results if not is_allocated(one)], samples).empty


def test_the_embedding_table_lists_chains_of_embeddings_only():
    factors = Stage(method="tensor-train", ratio=0.5, pattern="2x", ratio_kind="embedding")
    codes = build_stage("rtn", Amount.parse("8bit"), {"on": "embedding"})
    narrow = Stage(method="slicegpt", ratio=0.2, ratio_kind="parameters")
    made = [DENSE, variant("b", (factors,), loss=3.4), variant("c", (codes,), loss=3.0), variant("d", (narrow,))]
    made.append(variant("e", (factors, zeroed("wanda")), loss=3.6))
    results, samples = read(*made)
    assert [of_embedding(one) for one in results] == [False, True, True, False, True]
    size = results[1].counted.model_copy(update={"embedding_weights": 50, "whole_embedding_weights": 100})
    results[1] = results[1].model_copy(update={"footprint": size})
    table = embeddings(results, samples).set_index("chain")
    assert set(table.index) == {"`tensor-train@2x`", "`rtn@8bit,on=embedding`"}
    assert table.loc["`tensor-train@2x`", "of the embedding removed"] == "50.0 %"
    assert table.loc["`rtn@8bit,on=embedding`", "of the embedding removed"] == ""


def test_chains_of_some_blocks_show_the_mean_error_by_role():
    layers = [
        LayerReport(name=f"{block}.{role}", block=block, role=role, shape=(2, 2), sparsity=0.5, error=error)
        for block, role, error in ((0, "q", 0.1), (14, "q", 0.3), (0, "up", 0.05), (14, "up", 0.15))
    ]
    some, answers = variant("b", (zeroed("obs", 0.5, layers="0:14"),), loss=3.1)
    results, samples = read(DENSE, (some.model_copy(update={"layers": tuple(layers)}), answers))
    assert [of_some_blocks(one) for one in results] == [False, True]
    (row,) = some_blocks(results, samples).to_dict("records")
    assert (row["chain"], row["q"], row["up"]) == ("`obs@0.5`", "0.2", "0.1")


def test_two_chains_are_compared_on_the_calibration_data_of_the_page():
    other = zeroed("wanda", calibration=TextWindows.parse("passages-calibration:16x2048"))
    mine = zeroed("wanda", calibration=TextWindows.parse("c4-sample:16x2048"))
    made = [
        DENSE,
        variant("b", (other,), loss=9.0),
        variant("c", (mine,), loss=3.3),
        variant("d", (zeroed("alps"),), loss=3.2),
    ]
    results, samples = read(*made)
    assert read_beside(results, samples, "alps@0.7", "wanda@0.7").startswith("x 0.905")
