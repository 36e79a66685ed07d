"""Removed shares: which zeros count, and the report of one that differs from the requested one."""

import pytest

from core.findings.numbers.frame import tidy
from core.notation.removal import (
    bits_words,
    block_share,
    counted_removed_fraction,
    covered_share,
    describe_gap,
    embedding_words,
    format_percent,
    model_share,
    parameters_left,
    uncovered_words,
)
from core.registry import quantises
from core.results import LayerReport
from core.specs import Stage
from core.store.bundled import read_measured
from tests.core.factories import make, perplexity


def layer(name="model.layers.0.q_proj", block=0, shape=(64, 64), sparsity=0.5):
    return LayerReport(name=name, block=block, role="q", shape=shape, sparsity=sparsity)


def made(method, ratio, zeros, layers=(), selected=None):
    return make(zeros=zeros, layers=layers, stages=(Stage(method=method, ratio=ratio, layers=selected),))


@pytest.mark.parametrize(
    ("method", "ratio", "zeros", "layers", "expected"),
    [
        ("wanda", 0.5, 50, (), None),
        ("wanda", 0.5, 49, (), "Removed 49.0 % of the block weights; 50.0 % was requested."),
        ("wanda", 0.5, 49, (layer(shape=(64, 32)),), None),  # half an input of 32
        ("svd", 0.999, 97, (layer(),), "Removed 97.0 % of the block weights; 99.9 % was requested."),
        ("shortgpt", 0.9, 50, (layer(block=0), layer(block=1)), "Removed 50.0 % of the block weights; 90.0 %"),
        ("shortgpt", 0.3, 50, (layer(block=0), layer(block=1)), None),  # half a block of two
        ("of another version", 0.5, 30, (), "Removed 30.0 % of the block weights"),
        ("dense", None, 0, (), None),
    ],
)
def test_gaps_beyond_rounding_are_reported(method, ratio, zeros, layers, expected):
    found = describe_gap(made(method, ratio, zeros, layers))
    assert found is None if expected is None else found.startswith(expected)


def test_removed_embedding_share_is_reported_for_embedding_and_model():
    stage = Stage(method="tensor-train", ratio=0.5, ratio_kind="embedding", pattern="2x")
    plain = make(zeros=0, stages=(stage,), made=({"note": "4x8 of ranks 1"},))
    assert embedding_words(plain) is None and describe_gap(plain) is None

    def described(parameters):
        size = {"model_parameters": parameters, "embedding_weights": 12, "whole_embedding_weights": 32}
        return embedding_words(plain.model_copy(update={"footprint": plain.footprint.model_copy(update=size)}))

    assert described(150) == "Removed 62.5 % of the embedding (4x8 of ranks 1) and 25.0 % of the whole model."
    assert described(210) == "Removed 62.5 % of the embedding (4x8 of ranks 1); the whole model is 5.0 % larger."


def test_block_weights_in_no_linear_count_and_are_named():
    result = make(made=({"uncovered": 0.8},))
    size = {"uncovered_weights": 300, "dense_uncovered_weights": 400}
    result = result.model_copy(update={"footprint": result.counted.model_copy(update=size)})
    assert counted_removed_fraction(result) == pytest.approx(150 / 500) and covered_share(result) == 0.2
    assert describe_gap(result) == "Removed 30.0 % of the block weights; 50.0 % was requested."
    assert uncovered_words(result) == "80 % of the block weights are in no linear and stay dense."
    assert uncovered_words(make(made=({"uncovered": 0.004},))) is None


def test_ratio_of_selected_layers_refers_to_them():
    half = (layer(sparsity=0.5), layer("model.layers.0.k_proj", sparsity=0.5))
    assert describe_gap(made("magnitude", 0.5, 10, half, selected="0:0")) is None
    assert describe_gap(made("magnitude", 0.7, 10, half, selected="0:0")).startswith("Removed 50.0 % of")


def test_original_zeros_do_not_count_as_removed_units():
    stages = (Stage(method="flap", ratio=0.2, ratio_kind="parameters"),)
    result = make(zeros=4, stages=stages)
    size = result.counted.model_copy(update={"block_weights": 80, "dense_block_weights": 100})
    result = result.model_copy(update={"footprint": size})
    assert counted_removed_fraction(result) == pytest.approx(0.2) and describe_gap(result) is None
    pruned = result.variant.model_copy(update={"stages": (Stage(method="wanda", ratio=0.2), *stages)})
    assert counted_removed_fraction(result.model_copy(update={"variant": pruned})) == pytest.approx(0.24)


def test_removal_in_selected_layers_counts_all_stages():
    """Half of a linear's outputs, then two thirds of the rest; another one as two factors, then a quarter of those."""
    cut = layer("a.q_proj", shape=(32, 64), sparsity=0.5)
    factored = LayerReport(name="a.o_proj", block=0, role="o", shape=(64, 64), sparsity=0.5, note="rank 16; damped")
    removed_block = LayerReport(name="a.q_proj", block=0, role="q", shape=(0, 0), sparsity=1.0)
    later = [
        layer("a.q_proj", shape=(32, 64), sparsity=0.75),
        layer("a.o_proj.0", shape=(16, 64), sparsity=0.25),
        layer("a.o_proj.1", shape=(64, 16), sparsity=0.25),
    ]
    later = [one.model_copy(update={"stage": 1}) for one in later]
    other = layer("a.k_proj", sparsity=0.0).model_copy(update={"stage": 2})  # of a stage that removes nothing
    stages = (Stage(method="lorap", ratio=0.5, ratio_kind="parameters"), Stage(method="wanda", ratio=0.75, layers="a"))
    result = make(layers=(removed_block, cut, factored, *later, other), stages=(*stages, Stage(method="lora")))
    assert counted_removed_fraction(result) == 1 - (512 + 2 * 768) / (2 * 4096)
    assert describe_gap(result) is None


def test_bundled_results_met_their_ratio():
    assert len(read_measured().results) > 50
    assert [describe_gap(result) for result in read_measured().results.values() if describe_gap(result)] == []


def test_shares_are_never_rounded_up_to_100_percent():
    assert [format_percent(value) for value in (0, 0.12345, 0.9994, 0.99999, 1)] == [
        "0.0 %",
        "12.3 %",
        "99.9 %",
        "99.9 %",
        "100.0 %",
    ]


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
