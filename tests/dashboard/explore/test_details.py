"""The drawer of a point on Explore, on a store of made-up results."""

import pytest

from dashboard.shared import widgets
from tests.dashboard.opened import charts, open_app
from tests.dashboard.synthetic import chained, result

CHAIN = "magnitude@0.5+lora+wanda@0.7"


def captions(app) -> str:
    return " ".join(caption.value for caption in app.caption)


def drawer(app) -> str:
    """Return the title of the open dialog."""
    (dialog,) = app.get("dialog")
    return dialog.proto.dialog.title


def test_points_are_shown_with_their_stages_losses_and_command(filled):
    """An address with spaces in place of each plus opens its point, as do the field and the notation of links."""
    filled.put(chained(CHAIN, 25.0))
    filled.put(chained("lora", 19.0))
    for text in ("passages-calibration:512x256", "passages-calibration:512x32"):
        filled.put(chained("wanda@0.3+lora+wanda@0.5", 30.0, training=text))
    app = open_app(explore_point=CHAIN.replace("+", " "), explore_training="passages-calibration:512x256")
    point = app.selectbox(key="explore_point")
    assert point.value == chained(CHAIN, 25.0).variant.key and drawer(app) == "Magnitude 50 % + LoRA + Wanda, 70 %"
    assert "sparsegpt@0.5" in {name.rpartition(" · ")[2] for name in point.options}
    table = app.dataframe[0].value.set_index("Method")
    assert table.loc["Magnitude 50 % + LoRA + Wanda", "Chain"] == CHAIN
    assert table.loc["Dense", "Perplexity"] == 20.1 and table.loc["Dense + LoRA", "Perplexity"] == 19.0
    assert "Computed in 180 s" in " ".join(text.value for text in app.markdown)
    stages = app.dataframe[1].value
    assert list(stages["Stage"]) == ["Magnitude", "LoRA", "Wanda"]
    assert list(stages["Cumulative pruning ratio (%)"]) == [50.0, 50.0, pytest.approx(70.0)]
    assert list(stages["Worst error"].round(4))[::2] == [0.08, 0.0267] and set(stages["Seconds"]) == {60.0}
    losses = "losses on passages-calibration:512x256. 40 steps, 163,840 tokens; the variant has the weights of step 32"
    assert f"training and held-out {losses}" in captions(app) and len(charts(app)) == 4
    assert f"(`{CHAIN}`): relative output error of each linear layer, by block, after stage 3, Wanda." in captions(app)
    assert f"run smollm2-135m {CHAIN} " in app.code[0].value
    assert "--train passages-calibration:512x256" in app.code[0].value
    (stage,) = (group for group in app.get("button_group") if group.key.startswith("explore_stage_"))
    stage.set_value(0).run()
    assert "relative weight error of each linear layer, by block, after stage 1, Magnitude." in captions(app)
    point.set_value(chained("lora", 19.0).variant.key).run()
    assert drawer(app) == "Dense + LoRA" and not app.exception
    app = open_app(explore_point="wanda@0.3+lora+wanda@0.5", explore_training="passages-calibration:512x32")
    assert app.selectbox(key="explore_training").value == "passages-calibration:512x32"
    assert "training and held-out losses on passages-calibration:512x32" in captions(app)
    assert open_app(explore_point="nothing like it").selectbox(key="explore_point").value is None


def test_a_point_without_a_command_shows_the_reason(filled):
    one = result("wanda", 25.0, 0.5, model="smollm2-135m", corpus="passages-eval")
    old = one.variant.stages[0].model_copy(update={"version": 99})
    filled.put(one.model_copy(update={"variant": one.variant.model_copy(update={"stages": (old,), "key": "c" * 64})}))
    filled.delete(one.variant.key)
    app = open_app(explore_point="wanda@0.5")
    captions = " ".join(caption.value for caption in app.caption)
    assert "This variant cannot be reproduced: Variant cccccccccccc uses version 99 of Wanda" in captions
    assert not app.code and not app.exception


def test_exports_of_one_point_are_named_by_its_chain(filled, monkeypatch):
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.append(page()))
    filled.put(chained("wanda@2:4+adaprune", 30.0))
    assert not open_app(explore_point="wanda@2:4+adaprune").exception
    mine = "slimscope-smollm2-135m-wanda-2of4-adaprune"
    point, whole = items
    assert [item.name for item in point] == [f"{mine}-stages", f"{mine}-layers", f"{mine}-paired"]
    start = "slimscope-smollm2-135m-passages-eval-16x2048"
    assert [item.name for item in whole] == [f"{start}-perplexity", f"{start}-accuracy-50pct", f"{start}-points"]
    assert all("(`wanda@2:4+adaprune`)" in item.caption for item in point)


def test_details_show_layers_and_the_command_and_delete_the_result(filled):
    app = open_app(explore_point="sparsegpt@0.5")
    assert len(charts(app)) == 3
    command = app.code[0].value
    assert command.startswith("slimscope run smollm2-135m sparsegpt@0.5")
    assert "--calibration passages-calibration:16x2048" in command
    assert "--perplexity passages-eval@2048:16" in command and "piqa:100" in command
    before = len(filled.results())
    app.button(key="explore_delete").click().run()
    assert len(filled.results()) == before - 1 and not app.exception
