"""Quantised weights on the pages: the form has a field for bits, and charts show them by size."""

import pandas as pd

from core.engine.variants import describe
from core.request.complete import complete
from core.specs import Perplexity
from dashboard.charts.elements.style import LIGHT
from dashboard.charts.frames import points
from dashboard.charts.layers.heatmap import layer_heatmap
from tests.core.factories import LAYER, make, perplexity
from tests.dashboard.opened import chain_field, open_app, read
from tests.dashboard.synthetic import chained, result


def test_the_form_has_a_field_for_bits(fresh):
    app = open_app("run/view.py", chain="gptq@3bit,group_size=32")
    control = next(one for one in app.segmented_control if one.label == "Bits per weight")
    assert control.value == "3bit" and chain_field(app).value == "gptq@3bit,group_size=32"
    control.set_value("2bit").run()
    assert not app.exception and chain_field(app).value == "gptq@2bit,group_size=32"


def test_a_mean_bit_width_is_among_the_choices(fresh):
    app = open_app("run/view.py", chain="gptq@3.5bit")
    control = next(one for one in app.segmented_control if one.label == "Bits per weight")
    assert not app.exception and control.value == "3.5bit" and chain_field(app).value == "gptq@3.5bit"
    assert control.options[-1] == "3.5 bit"


def test_the_heat_map_shows_bits_as_whole_numbers():
    layers = pd.DataFrame({"block": [0, 0, 1, 1], "role": ["q", "k"] * 2, "bits": [4, 2, 3, 8]})
    heat = layer_heatmap(layers, LIGHT, "bits", "Bits a weight").data[0]
    assert heat.z.tolist() == [[4, 3], [2, 8]] and "%{z:.0f}" in heat.hovertemplate


def test_fields_for_groups_appear_only_with_bits(fresh):
    """Pruning without quantisation has no fields for groups."""
    labels = {one.label for one in open_app("run/view.py", chain="sparsegpt@0.5").number_input}
    assert "Bits of a kept weight" in labels and "Group size" not in labels
    app = open_app("run/view.py", chain="sparsegpt@0.5,bits=4")
    size = next(one for one in app.number_input if one.label == "Group size")
    size.set_value(32).run()
    assert not app.exception and chain_field(app).value == "sparsegpt@0.5,bits=4,group_size=32"


def test_bits_have_curves_by_size_and_bits_per_weight(fresh):
    fresh.put(result("rtn", 25.0, None, pattern="4bit"))
    for bits, value in (("3bit", 30.0), ("4bit", 24.0)):
        fresh.put(result("gptq", value, None, pattern=bits))
    fresh.put(chained("sparsegpt@0.5,bits=4", 27.0))
    app = open_app()
    assert "RTN" not in app.multiselect(key="explore_methods").options
    assert not any("bits" in name for name in app.pills(key="explore_series").options)
    app = open_app(explore_x="packed size", explore_text="passages-eval, 16 x 2048 tokens")
    assert "Quantisation" in app.pills(key="explore_families").options and not app.exception
    app = open_app(
        explore_x="bits per weight", explore_families="Quantisation", explore_text="passages-eval, 16 x 2048 tokens"
    )
    assert app.pills(key="explore_series").options == ["RTN", "GPTQ"]
    bits = next(one for one in app.segmented_control if one.label == "Bits")
    assert bits.options == ["4 bit", "3 bit"] and bits.value == "4 bit"
    bits.set_value("3 bit").run()
    assert "at 3 bits per weight: **GPTQ** is the only variant" in read(app)
    trade_off = open_app(explore_mode="Trade-off", explore_text="passages-eval, 16 x 2048 tokens")
    there = set(map(tuple, trade_off.dataframe[0].value[["Method", "Amount"]].to_numpy()))
    assert {("RTN", "4 bit"), ("SparseGPT (bits 4)", "50 %")} <= there


def test_a_quantised_point_shows_bits_and_no_pruning_ratio(store):
    text = [Perplexity.parse("passages-eval@2048:16")]
    spec = complete("smollm2-135m", "rtn@3bit", perplexity=text)
    layers = tuple(LAYER.model_copy(update={"name": name, "role": name, "bits": 3}) for name in ("q", "k"))
    made = make(perplexity(30.0, "passages-eval"), layers=layers, zeros=80)
    store.put(made.model_copy(update={"variant": describe(spec.variant)}))
    app = open_app(
        explore_x="bits per weight", explore_text="passages-eval, 16 x 2048 tokens", explore_point="rtn@3bit"
    )
    assert not app.exception
    facts = " ".join(text.value for text in app.markdown)
    assert "9.00 bits per block weight" in facts.lower() and "zero or removed" not in facts
    points, stages = (table.value for table in app.dataframe[:2])
    assert points["Model removed (%)"].isna().all() and list(points["Amount"]) == ["3 bit"]
    assert stages["Cumulative pruning ratio (%)"].isna().all()
    (by,) = (group for group in app.get("button_group") if group.key == "explore_by")
    assert list(by.options) == ["relative output error", "bits per weight"]


def test_amounts_are_sorted():
    rows = pd.DataFrame({"ratio": [0.5, 0.75, 0.5, 0.875], "pattern": [None, "4bit", "2:4", "2bit"]})
    assert points.amounts(rows) == ["50 %", "4 bit", "2:4", "2 bit"]
