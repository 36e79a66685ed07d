"""Shares that were removed: zeros among the codes of rounded weights are none of them."""

import pytest

from core.findings.numbers.frame import tidy
from core.notation.removal import bits_words, block_share, describe_gap, format_percent, model_share, parameters_left
from core.registry import quantises
from core.results import LayerReport
from core.specs import Stage
from core.store.bundled import read_measured
from tests.core.factories import make, perplexity

GPTQ = Stage(method="gptq", ratio=0.75, ratio_kind="bits", pattern="4bit")
RTN = Stage(method="rtn", ratio=0.75, ratio_kind="bits", pattern="4bit")
ON_TABLES = RTN.model_copy(update={"parameters": {"on": "embedding"}})
WANDA = Stage(method="wanda", ratio=0.5)
FLAP = Stage(method="flap", ratio=0.2, ratio_kind="parameters")
JOINT = Stage(method="sparsegpt", ratio=0.5, parameters={"bits": 4})
SMALLER = Stage(method="tensor-train", ratio=0.5, ratio_kind="embedding", pattern="2x")


def report(stage, sparsity, name="q", shape=(10, 5)):
    return LayerReport(name=name, block=0, role="q", shape=shape, sparsity=sparsity, stage=stage)


def reports(stage, sparsity):
    return report(stage, sparsity), report(stage, sparsity, "k")


def of(*stages, layers=(), zeros=62, block_weights=100, dense=None, model_zeros=70):
    made = make(perplexity(20.0), stages=stages, layers=layers)
    size = {"block_zeros": zeros, "model_zeros": model_zeros, "block_weights": block_weights}
    return made.model_copy(update={"footprint": made.counted.model_copy(update=size | {"dense_block_weights": dense})})


@pytest.mark.parametrize("stages", [(GPTQ,), (Stage(method="rotate"), GPTQ), (ON_TABLES,), (GPTQ, ON_TABLES)])
def test_quantisation_alone_removes_nothing(stages):
    result = of(*stages)
    assert block_share(result) is None and model_share(result) is None and describe_gap(result) is None
    assert format_percent(block_share(result)) == ""


def test_quantised_weights_keep_all_their_parameters_and_report_bits():
    assert parameters_left(of(GPTQ)) == 200 - 8  # zeros outside the blocks are of the model's file
    assert parameters_left(of(ON_TABLES, zeros=3)) == 200 - 3  # outside are codes, inside are not
    assert parameters_left(of(GPTQ, ON_TABLES)) == 200
    assert bits_words(of(GPTQ)) == ["9.00 bits per block weight"]
    assert bits_words(of(GPTQ, ON_TABLES)) == ["9.00 bits per block weight", "4 bit per embedding weight"]
    assert bits_words(of(WANDA)) == []


@pytest.mark.parametrize(
    ("stages", "layers", "removed"),
    [
        ((WANDA,), reports(0, 0.5), 0.62),  # without rounding each zero counts, as it is in memory
        ((WANDA, GPTQ), (*reports(0, 0.48), *reports(1, 0.62)), 0.48),  # according to the reports of the pruning stage
        ((WANDA, Stage(method="adaprune"), GPTQ), (*reports(0, 0.48), *reports(2, 0.62)), 0.48),
        ((WANDA, GPTQ), (), 0.5),  # the requested ratio, without reports
        ((JOINT,), reports(0, 0.62), 0.5),  # whose reports count codes that are 0
        ((WANDA.model_copy(update={"layers": "0"}), GPTQ), (report(0, 0.5), *reports(1, 0.62)), 0.25),
        ((WANDA, ON_TABLES), reports(0, 0.5), 0.62),  # the blocks are not rounded
    ],
)
def test_masked_weights_have_no_codes(stages, layers, removed):
    result = of(*stages, layers=layers)
    assert block_share(result) == pytest.approx(removed)
    others = 0 if ON_TABLES in stages else 8
    assert parameters_left(result) == 200 - round(100 * removed) - others
    assert model_share(result) == pytest.approx((round(100 * removed) + others) / 200)


def test_removed_units_and_factored_embeddings_are_counted():
    cut = {"block_weights": 80, "dense": 100, "zeros": 40}
    assert block_share(of(FLAP, GPTQ, **cut)) == pytest.approx(0.2)
    narrow = [one.model_copy(update={"shape": (8, 5)}) for one in reports(1, 0.9)]
    assert block_share(of(FLAP, JOINT, layers=narrow, **cut)) == pytest.approx(0.5)  # of the dense weights
    assert block_share(of(WANDA, FLAP, GPTQ, layers=reports(0, 0.5), **cut)) is None  # which zeros went is not known
    embedding = of(SMALLER, GPTQ)
    assert block_share(embedding) is None and model_share(embedding) == pytest.approx(8 / 200)
    assert describe_gap(of(JOINT, layers=reports(0, 0.62))) is None
    assert describe_gap(of(JOINT.model_copy(update={"layers": "0"}), layers=(report(0, 0.62),))) is None


def test_bundled_quantised_rows_have_bits_and_no_share():
    results = read_measured().results.values()
    quantised = [one for one in results if any(map(quantises, one.variant.stages))]
    only = [one for one in quantised if not any(stage.prunes for stage in one.variant.stages)]
    assert len(only) > 30 and len(quantised) > len(only)
    rows = tidy(only)
    assert rows["block_removed"].isna().all() and (rows["bits_per_weight"] > 0).all()
    pruned = tidy(one for one in quantised if one.variant.stages[0].method == "sparsegpt")
    assert set(pruned["block_removed"].round(6)) == {0.5}
