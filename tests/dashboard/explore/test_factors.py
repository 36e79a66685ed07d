"""Embeddings in factors on the pages: the form has a field for the factor, and charts show them by size."""

from core.analysis.frame import tidy
from dashboard.charts.elements.marks import is_hollow
from dashboard.charts.frames import missing, points
from dashboard.charts.frames.stages import stage_table
from tests.dashboard.opened import chain_field, open_app, read
from tests.dashboard.synthetic import chained, result

TEXT = "passages-eval, 16 x 2048 tokens"


def test_the_form_has_a_field_for_the_factor(store):
    app = open_app("run/view.py", chain="slimllm@0.2+tensor-train@3x,shape=8x8x9")
    field = next(one for one in app.selectbox if one.label == "Compression factor")
    assert field.value == "3x" and chain_field(app).value == "slimllm@0.2+tensor-train@3x,shape=8x8x9"
    field.set_value("2x").run()
    assert not app.exception and chain_field(app).value == "slimllm@0.2+tensor-train@2x,shape=8x8x9"
    app.selectbox(key="run_card1_of_tensor-train_head").set_value("explicit").run()
    assert chain_field(app).value == "slimllm@0.2+tensor-train@2x,head=explicit,shape=8x8x9"


def test_an_invalid_factor_shows_an_error(store):
    app = open_app("run/view.py")
    chain_field(app).set_value("tensor-train@0.5x").run()
    assert any("give a factor above 1, such as 2x" in error.value for error in app.error) and not app.exception


def test_factors_have_a_curve_by_size_but_none_by_pruning_ratio(store):
    for one in (result("dense", 20.0), result("wanda", 40.0, 0.5), result("rtn", 25.0, pattern="8bit")):
        store.put(one)
    for factor, value in (("2x", 90.0), ("3x", 200.0)):
        store.put(result("tensor-train", value, pattern=factor))
    store.put(chained("wanda@0.3+tensor-train@2x", 70.0))
    app = open_app(explore_text=TEXT)
    assert app.multiselect(key="explore_methods").options == ["Wanda"] and not app.exception
    app = open_app(explore_x="packed size", explore_families="Embedding", explore_text=TEXT)
    amounts = next(one for one in app.segmented_control if "2x" in one.options)
    assert amounts.options == ["3x", "2x"] and amounts.value == "2x"
    assert "smollm2-135m with the embedding 2 times smaller: **Tensor train** is the only variant" in read(app)
    there = open_app(explore_mode="Trade-off", explore_text=TEXT).dataframe[0].value
    assert {("Tensor train", "2x"), ("RTN", "8 bit")} <= set(map(tuple, there[["Method", "Amount"]].to_numpy()))
    (link,) = (
        one.proto.query_string
        for one in open_app("methods/view.py").get("page_link")
        if one.proto.label == "Show curve" and "Tensor" in one.proto.query_string
    )
    assert "packed+size" in link or "packed%20size" in link


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
