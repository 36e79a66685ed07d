"""Quantised weights and factored embeddings: the fields of their amounts, and their places by size."""

import pandas as pd

from core.findings.axes import PACKED, RATIO
from core.findings.numbers.frame import tidy
from core.findings.rows import choices, missing, points
from core.findings.rows.stages import stage_table
from dashboard.charts.elements.style import LIGHT, is_hollow
from dashboard.charts.matrices import layer_heatmap
from tests.dashboard.explore.given import answer_at, ranked, shown
from tests.dashboard.opened import chain_field, open_app
from tests.synthetic import chained, result


def labelled(fields, label):
    return next(one for one in fields if one.label == label)


def test_the_form_has_fields_for_bits_groups_and_factors(fresh):
    app = open_app("run/view.py", chain="gptq@3bit,group_size=32")
    bits = labelled(app.segmented_control, "Bits per weight")
    assert bits.value == "3bit" and chain_field(app).value == "gptq@3bit,group_size=32"
    bits.set_value("2bit").run()
    assert chain_field(app).value == "gptq@2bit,group_size=32"
    chain_field(app).set_value("gptq@3.5bit").run()
    bits = labelled(app.segmented_control, "Bits per weight")
    assert bits.value == "3.5bit" and bits.options[-1] == "3.5 bit"  # a mean bit width is among the choices
    chain_field(app).set_value("sparsegpt@0.5").run()
    labels = {one.label for one in app.number_input}
    assert "Bits of a kept weight" in labels and "Group size" not in labels
    chain_field(app).set_value("sparsegpt@0.5,bits=4").run()
    labelled(app.number_input, "Group size").set_value(32).run()
    assert chain_field(app).value == "sparsegpt@0.5,bits=4,group_size=32"
    chain_field(app).set_value("slimllm@0.2+tensor-train@3x,shape=8x8x9").run()
    factor = labelled(app.selectbox, "Compression factor")
    assert factor.value == "3x"
    factor.set_value("2x").run()
    assert chain_field(app).value == "slimllm@0.2+tensor-train@2x,shape=8x8x9"
    app.selectbox(key="run_card1_of_tensor-train_head").set_value("explicit").run()
    assert chain_field(app).value == "slimllm@0.2+tensor-train@2x,head=explicit,shape=8x8x9"
    chain_field(app).set_value("tensor-train@0.5x").run()
    assert any("give a factor above 1, such as 2x" in error.value for error in app.error) and not app.exception


def test_bits_and_factors_have_places_by_size_but_none_by_pruning_ratio(store):
    for one in (result("dense", 20.0), result("wanda", 40.0, 0.5), result("rtn", 25.0, pattern="4bit")):
        store.put(one)
    for bits, value in (("3bit", 30.0), ("4bit", 24.0)):
        store.put(result("gptq", value, pattern=bits))
    for factor, value in (("2x", 90.0), ("3x", 200.0)):
        store.put(result("tensor-train", value, pattern=factor))
    for chain in ("sparsegpt@0.5,bits=4", "wanda@0.3+tensor-train@2x"):
        store.put(chained(chain, 70.0))
    frame = tidy(store.results())
    by = {axis: set(choices.curved(frame, axis)["chain"]) - {"dense"} for axis in (RATIO, PACKED)}
    assert by[RATIO] == {"wanda@0.5"} and by[PACKED] == set(frame["chain"]) - {"dense"}
    view = shown(x="bits per weight", families="Quantisation")
    assert set(view.points["series_label"]) == {"RTN", "GPTQ"}
    steps = points.amounts(view.points)
    assert steps == ["4 bit", "3 bit"] and points.first_amount(steps) == "4 bit"
    assert points.amount_title(steps) == "Bits"
    assert "at 3 bits per weight: **GPTQ** is the only variant" in answer_at(view, "3 bit")
    view = shown(x="packed size", families="Embedding")
    steps = points.amounts(view.points)
    assert steps == ["3x", "2x"] and points.first_amount(steps) == "2x"
    start = "smollm2-135m with the embedding 2 times smaller: **Tensor train** is the only variant"
    assert start in answer_at(view, "2x")
    there = set(ranked().table["Variant"])
    assert {"RTN 4", "SparseGPT 50 % #1646", "Tensor train 2x"} <= there


def test_the_heat_map_shows_bits_as_whole_numbers():
    layers = pd.DataFrame({"block": [0, 0, 1, 1], "role": ["q", "k"] * 2, "bits": [4, 2, 3, 8]})
    heat = layer_heatmap(layers, LIGHT, "bits", "Bits a weight").data[0]
    assert heat.z.tolist() == [[4, 3], [2, 8]] and "%{z:.0f}" in heat.hovertemplate


def test_missing_points_of_a_series_are_the_offered_factors():
    rows = tidy([result("tensor-train", 90.0, pattern="2x"), result("dense", 20.0)])
    found = points.collapse(rows[rows["metric"] == "perplexity"])
    (wanted,) = missing.of_methods(found, ["tensor-train"]).values()
    assert wanted == ["tensor-train@1.5x", "tensor-train@3x", "tensor-train@4x"]
    assert not is_hollow("2x") and is_hollow("2:4")


def test_a_factor_does_not_change_the_cumulative_pruning_ratio():
    whole = chained("wanda@0.3+tensor-train@2x+wanda@0.5", 70.0)
    layers = tuple(layer for layer in whole.layers if layer.stage != 1)  # it reports on none
    table = stage_table(whole.model_copy(update={"layers": layers}))
    assert list(table["Cumulative pruning ratio (%)"].round()) == [30.0, 30.0, 50.0] and table["Amount"][1] == "2x"
    assert stage_table(result("rtn", 30.0, pattern="3bit"))["Cumulative pruning ratio (%)"].isna().all()
