"""The family tree of made-up variants: nodes for prefixes, their numbers, labels and order."""

import math

import pytest

from core.findings.inside.family import NO_DENSE, NO_PERPLEXITY, NOT_MEASURED, family_nodes, path_to
from core.findings.numbers.frame import tidy
from core.results import Measurement
from core.specs import Stage, VariantSpec
from tests.synthetic import chained, perplexity

DENSE = chained("dense", 20.0)


def tree(*results, corpus="passages-eval"):
    """Return the nodes of results, on the protocol of `perplexity`."""
    protocol = perplexity(1.0).protocol_id
    return family_nodes([one.variant for one in results], tidy(results), (corpus, protocol))


def shape(nodes):
    """Return the labels, indented by depth, in order."""
    return ["  " * depth + label for depth, label in zip(nodes["depth"], nodes["label"], strict=True)]


def one(nodes, chain):
    (row,) = nodes[nodes["chain"] == chain].to_dict("records")
    return row


def test_every_prefix_of_a_chain_is_a_node_with_the_key_of_its_variant():
    whole = chained("magnitude@0.2+adaprune+wanda@0.5", 30.0)
    nodes = tree(DENSE, whole)
    assert shape(nodes) == ["Dense", "  Magnitude, 20 %", "    AdaPrune", "      Wanda, 50 %"]
    variant = whole.variant
    spec = VariantSpec(model=variant.model, revision=variant.revision, stages=variant.stages)
    assert list(nodes["node"]) == [prefix.key for prefix in spec.prefixes]
    assert list(nodes["parent"]) == [None, *nodes["node"][:-1]]
    assert list(nodes["order"]) == [0, 1, 2, 3]
    assert path_to(nodes, nodes["node"].iloc[-1]) == list(nodes["node"])


def test_a_prefix_and_a_root_without_results_are_nodes():
    nodes = tree(DENSE, chained("magnitude@0.5+adaprune", 30.0))
    missing, whole = one(nodes, "magnitude@0.5"), one(nodes, "magnitude@0.5+adaprune")
    assert missing["key"] is None and missing["reason"] == NOT_MEASURED and missing["results"] == 0
    assert math.isnan(missing["times_dense"]) and math.isnan(missing["packed_mb"])
    assert whole["key"] == whole["node"] and whole["reason"] == "" and whole["times_dense"] == pytest.approx(1.5)
    nodes = tree(DENSE, chained("magnitude@0.5", 60.0), chained("magnitude@0.5+adaprune", 30.0))
    assert shape(nodes) == ["Dense", "  Magnitude, 50 %", "    AdaPrune"]
    assert one(nodes, "magnitude@0.5")["times_dense"] == pytest.approx(3.0)
    nodes = tree(chained("wanda@0.5", 30.0))
    assert shape(nodes) == ["Dense", "  Wanda, 50 %"] and nodes["key"].iloc[0] is None
    assert one(nodes, "wanda@0.5")["reason"] == NO_DENSE


def test_a_perplexity_on_another_text_gives_no_multiple():
    elsewhere = chained("wanda@0.5", 30.0, corpus="wikitext2")
    both = elsewhere.model_copy(update={"measurements": (*elsewhere.measurements, perplexity(50.0, window=128))})
    nodes = tree(DENSE, both)
    assert one(nodes, "wanda@0.5")["reason"] == NO_PERPLEXITY
    assert math.isnan(one(nodes, "wanda@0.5")["times_dense"]) and one(nodes, "wanda@0.5")["packed_mb"] > 0
    assert family_nodes([DENSE.variant], tidy([DENSE]), None)["reason"].tolist() == [NO_PERPLEXITY]


def test_a_node_has_its_results_its_size_and_the_data_and_seed_of_its_chain():
    result = chained("wanda@0.5", 30.0)
    node = one(tree(DENSE, result), "wanda@0.5")
    assert node["results"] == len(result.measurements)
    assert node["packed_mb"] == pytest.approx(result.footprint.packed_bytes / 1e6)
    node = one(tree(DENSE, chained("wanda@0.5+lora", 30.0, seed=3)), "wanda@0.5+lora")
    assert (node["calibration"], node["train"]) == ("passages-calibration:16x2048", "passages-calibration:512x256")
    assert node["chain_seed"] == 3 and node["family"] == "unstructured" and node["first_method"] == "wanda"


@pytest.mark.parametrize(
    ("value", "diverged"), [(9_999.0, False), (10_001.0, True), (math.inf, True), (math.nan, True)]
)
def test_diverged_models_are_marked(value, diverged):
    node = one(tree(DENSE, chained("magnitude@0.7", value)), "magnitude@0.7")
    assert node["diverged"] is diverged and node["reason"] == ""
    assert node["times_dense"] == (value / 20 if math.isfinite(value) else math.inf)


def test_siblings_have_the_order_of_registry_and_amounts_and_children_follow_their_parent():
    chains = ["gptq@3bit", "sparsegpt@2:4", "wanda@0.5", "gptq@4bit", "sparsegpt@0.7", "sparsegpt@0.1", "magnitude@0.5"]
    nodes = tree(DENSE, *(chained(chain, 30.0) for chain in chains))
    names = ["Magnitude, 50 %", "Wanda, 50 %", "SparseGPT, 10 %", "SparseGPT, 70 %", "SparseGPT, 2:4"]
    assert list(nodes["label"])[1:] == [*names, "GPTQ, 4 bit", "GPTQ, 3 bit"]
    chains = ["wanda@0.3", "wanda@0.5", "wanda@0.3+lora", "wanda@0.3+adaprune", "wanda@0.3+adaprune+lora"]
    nodes = tree(DENSE, *(chained(chain, 30.0) for chain in chains))
    assert list(nodes["label"])[1:] == [*("Wanda, 30 %", "AdaPrune", "LoRA", "LoRA", "Wanda, 50 %")]
    assert list(nodes["depth"]) == [0, 1, 2, 3, 2, 1]


def test_a_label_has_the_parameters_that_differ_from_their_defaults():
    nodes = tree(DENSE, chained("gptq@4bit,group_size=128", 30.0), chained(r"wanda@0.5,layers=layers\.0\.", 30.0))
    assert list(nodes["label"])[1:] == [r"Wanda, 50 %, layers layers\.0\.", "GPTQ, 4 bit, group size 128"]


def test_variants_that_differ_in_their_data_or_seed_are_nodes_with_distinct_labels():
    same = [chained("wanda@0.5", 30.0, seed=seed) for seed in (0, 1)]
    other = chained("wanda@0.5", 30.0, calibration="c4-sample:8x128")
    nodes = tree(DENSE, *same, other, chained("wanda@0.3", 25.0))
    assert list(nodes["label"])[1:] == [
        "Wanda, 50 %, c4-sample:8x128",
        "Wanda, 30 %",
        "Wanda, 50 %, passages-calibration:16x2048, seed 0",
        "Wanda, 50 %, passages-calibration:16x2048, seed 1",
    ]


def test_each_precision_has_its_own_root_and_compares_with_it():
    half = [chained(chain, value) for chain, value in (("dense", 25.0), ("wanda@0.5", 50.0))]
    half = [in_half_precision(result) for result in half]
    nodes = tree(DENSE, chained("wanda@0.5", 30.0), *half)
    assert shape(nodes) == ["Dense, bfloat16", "  Wanda, 50 %", "Dense, float32", "  Wanda, 50 %"]
    assert nodes.groupby("dtype")["times_dense"].max().to_dict() == pytest.approx({"bfloat16": 2.0, "float32": 1.5})


def in_half_precision(result):
    variant = result.variant
    spec = VariantSpec(model=variant.model, revision=variant.revision, dtype="bfloat16", stages=variant.stages)
    return result.model_copy(update={"variant": variant.model_copy(update={"dtype": "bfloat16", "key": spec.key})})


def test_an_imported_variant_is_one_node_of_its_own_family():
    stage = Stage(method="imported", parameters={"label": "Mine"})
    variant = DENSE.variant.model_copy(update={"key": "a" * 64, "stages": (stage,)})
    row = Measurement(**perplexity(40.0).model_dump() | {"origin": "external"})
    mine = DENSE.model_copy(update={"variant": variant, "footprint": None, "measurements": (row,)})
    nodes = tree(DENSE, mine)
    assert shape(nodes) == ["Dense", "  Mine (imported)"]
    assert nodes.iloc[1][["key", "family", "times_dense"]].tolist() == ["a" * 64, "imported", 2.0]
