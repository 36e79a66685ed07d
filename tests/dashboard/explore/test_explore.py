"""Explore run through Streamlit's own tester, on a store of made-up results."""

import pytest

from core.notation.chain import format_chain
from dashboard import data
from dashboard.explore import missing, offers
from dashboard.shared import widgets
from tests.dashboard.opened import charts, open_app, read
from tests.dashboard.synthetic import chained, curve, result


def test_explore_opens_with_a_curve_and_accuracies(filled):
    app = open_app()
    assert [title.value for title in app.title] == ["Explore"]
    assert len(charts(app)) == 2
    assert "passages-eval: window 2048" in " ".join(caption.value for caption in app.caption)
    assert len(app.dataframe[0].value) == len(curve())
    assert not app.error


def test_explore_shows_one_family_until_others_are_selected(filled):
    for method, value in (("slimllm", 60.0), ("lorap", 70.0)):
        filled.put(result(method, value, 0.5))
    app = open_app()
    assert app.multiselect(key="explore_methods").value == ["magnitude", "wanda", "sparsegpt"]
    assert {"GMACs", "Peak memory (MB)"}.isdisjoint(app.dataframe[0].value.columns)  # nobody counted them
    (families,) = (group for group in app.get("button_group") if group.key == "explore_families")
    families.set_value(["unstructured", "structured"]).run()
    assert app.multiselect(key="explore_methods").value == ["magnitude", "wanda", "sparsegpt", "lorap", "slimllm"]
    families.set_value(["structured"]).run()
    assert app.multiselect(key="explore_methods").value == ["lorap", "slimllm"]
    assert set(app.dataframe[0].value["Method"]) == {"Dense", "LoRAP", "SlimLLM"}
    assert not app.exception


def test_a_fine_tuned_variant_is_shown_with_its_losses(filled):
    filled.put(result("sparsegpt", 25.0, 0.5, recovery="lora"))
    app = open_app(explore_point="sparsegpt@0.5+lora")
    assert "SparseGPT + LoRA" in set(app.dataframe[0].value["Method"])
    assert len(charts(app)) == 4  # curve, accuracies, losses, layers
    captions = " ".join(caption.value for caption in app.caption)
    assert (
        "losses on passages-calibration:512x256. 40 steps, 163,840 tokens; the variant has the weights of step 32"
        in captions
    )
    assert "run smollm2-135m sparsegpt@0.5+lora" in app.code[0].value
    assert "--train passages-calibration:512x256" in app.code[0].value
    assert not app.exception


CHAIN = "magnitude@0.5+lora+wanda@0.7"


def drawer(app) -> str:
    """Return the title of the open dialog."""
    (dialog,) = app.get("dialog")
    return dialog.proto.dialog.title


def control(app, key):
    (found,) = (group for group in app.get("button_group") if group.key == key)
    return found


def test_a_chain_is_shown_with_all_its_stages(filled):
    filled.put(chained(CHAIN, 25.0))
    app = open_app(explore_point=CHAIN)
    table = app.dataframe[0].value.set_index("Method")
    assert table.loc["Magnitude 50 % + LoRA + Wanda", "Chain"] == CHAIN
    assert "Computed in 180 s" in " ".join(text.value for text in app.markdown)
    stages = app.dataframe[1].value
    assert list(stages["Stage"]) == ["Magnitude", "LoRA", "Wanda"]
    assert list(stages["Cumulative pruning ratio (%)"]) == [50.0, 50.0, pytest.approx(70.0)]
    assert list(stages["Worst error"].round(4))[::2] == [0.08, 0.0267] and set(stages["Seconds"]) == {60.0}
    captions = " ".join(caption.value for caption in app.caption)
    assert "training and held-out losses on passages-calibration:512x256" in captions
    assert f"(`{CHAIN}`): relative output error of each linear layer, by block, after stage 3, Wanda." in captions
    assert f"run smollm2-135m {CHAIN} " in app.code[0].value
    (stage,) = (group for group in app.get("button_group") if group.key.startswith("explore_stage_"))
    stage.set_value(0).run()
    assert "relative weight error of each linear layer, by block, after stage 1, Magnitude." in " ".join(
        caption.value for caption in app.caption
    )
    assert not app.exception


def test_an_address_with_spaces_instead_of_plus_opens_the_point(filled):
    filled.put(chained(CHAIN, 25.0))
    app = open_app(explore_point=CHAIN.replace("+", " "))
    assert app.selectbox(key="explore_point").value == chained(CHAIN, 25.0).variant.key
    assert drawer(app) == "Magnitude 50 % + LoRA + Wanda, 70 %"
    app = open_app(explore_point="nothing like it")
    assert app.selectbox(key="explore_point").value is None and not app.exception


def test_a_point_without_a_command_shows_the_reason(filled):
    one = result("wanda", 25.0, 0.5, model="smollm2-135m", corpus="passages-eval")
    old = one.variant.stages[0].model_copy(update={"version": 99})
    filled.put(one.model_copy(update={"variant": one.variant.model_copy(update={"stages": (old,), "key": "c" * 64})}))
    filled.delete(one.variant.key)
    app = open_app(explore_point="wanda@0.5")
    captions = " ".join(caption.value for caption in app.caption)
    assert "This variant cannot be reproduced: Variant cccccccccccc was made by version 99 of Wanda" in captions
    assert not app.code and not app.exception


def opened(app):
    """Open the list of unmeasured points."""
    app.session_state[missing.OPEN] = True
    return app.run()


def test_explore_offers_the_other_amounts_of_a_chain(filled):
    filled.put(chained("magnitude@0.5+adaprune", 100.0))
    filled.put(chained("sparsegpt@0.5+lora", 30.0))
    app = open_app(explore_methods=["Magnitude"])
    assert "8 points are not measured yet" in [box.label for box in app.expander]
    assert "explore_run_missing" not in {button.key for button in app.button}  # nothing is estimated before it is asked
    opened(app)
    boxes = control(app, "explore_missing_AdaPrune")
    assert boxes.value == [] and len(boxes.options) == 8 and "2:4" in boxes.options
    boxes.set_value(["10 %", "2:4"]).run()
    button = app.button(key="explore_run_missing")
    assert button.label.startswith("Run these 2 points (")
    button.click().run()
    chains = [format_chain(job.spec.variant.stages) for job in data.queue().jobs()]
    assert sorted(chains) == ["magnitude@0.1+adaprune", "magnitude@2:4+adaprune"]
    app = opened(open_app(explore_methods=["SparseGPT"]))  # a training takes too long to offer many
    assert "explore_run_missing" not in {button.key for button in app.button}
    assert not app.exception


def test_exports_of_one_point_are_named_by_its_chain(filled, monkeypatch):
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.append(page()))
    filled.put(chained("wanda@2:4+adaprune", 30.0))
    assert not open_app(explore_point="wanda@2:4+adaprune").exception
    mine = "slimscope-smollm2-135m-wanda-2of4-adaprune"
    point, whole = items
    assert [item.name for item in point] == [f"{mine}-stages", f"{mine}-layers", f"{mine}-beside"]
    start = "slimscope-smollm2-135m-passages-eval-16x2048"
    assert [item.name for item in whole] == [f"{start}-perplexity", f"{start}-accuracy-50pct", f"{start}-points"]
    assert all("(`wanda@2:4+adaprune`)" in item.caption for item in point)


def test_a_fine_tuned_dense_model_is_a_separate_point(filled):
    filled.put(chained("lora", 19.0))
    app = open_app(explore_point="lora")
    table = app.dataframe[0].value.set_index("Method")
    assert table.loc["Dense", "Perplexity"] == 20.1 and table.loc["Dense + LoRA", "Perplexity"] == 19.0
    assert drawer(app) == "Dense + LoRA"
    assert not app.exception


def test_explore_without_results_links_the_run_page(store):
    app = open_app()
    assert "no results yet" in app.info[0].value
    assert "Run a model" in [link.value for link in app.page_link]


def test_explore_restores_a_view_from_its_address(filled):
    app = open_app(explore_methods="Wanda", explore_x="packed size", explore_at="30 %")
    assert app.multiselect(key="explore_methods").value == ["wanda"]
    assert app.selectbox(key="explore_x").value == "packed size"
    assert control(app, "explore_at").value == "30 %"
    assert set(app.dataframe[0].value["Method"]) == {"Dense", "Wanda"}


def test_invalid_values_in_an_address_fall_back_to_defaults(filled):
    app = open_app(
        explore_model="nonsense", explore_methods="nonsense", explore_text="x", explore_at="y", explore_x="z"
    )
    assert app.selectbox(key="explore_model").value == "smollm2-135m"
    assert len(charts(app)) == 2


def test_an_empty_choice_of_methods_shows_a_message(filled):
    app = open_app()
    app.multiselect(key="explore_methods").set_value([]).run()
    assert "at least one method" in app.info[0].value and not app.exception


def test_an_amount_without_accuracies_shows_a_message(filled):
    app = open_app(explore_at="40 %")
    assert "No zero-shot accuracy at 40 %" in app.info[0].value


@pytest.fixture
def two_calibrations(store):
    """A curve on passages whose calibrated variants have no accuracies, and a shorter one on WikiText-2 with them."""
    store.put(result("dense", 20.1))
    for ratio in (0.1, 0.3, 0.5, 0.7):
        store.put(result("wanda", 40.0 + ratio, ratio, scored=False))
    store.put(result("magnitude", 90.0, 0.5))
    wikitext = {"corpus": "wikitext2", "calibration": "c4-sample:16x2048"}
    for one in (
        result("dense", 20.1, corpus="wikitext2"),
        *(result("wanda", 40.0 + ratio, ratio, **wikitext) for ratio in (0.3, 0.5)),
    ):
        store.put(one)
    return store


def drawn_accuracies(app) -> str:
    (chart,) = [one.proto.spec for one in charts(app) if "Mean of seven, zero-shot" in one.proto.spec]
    return chart


def test_the_first_view_shows_the_same_models_in_charts_and_table(two_calibrations):
    app = open_app()
    assert app.selectbox(key="explore_text").value == "WikiText-2, 16 x 2048 tokens"
    assert "Wanda" in drawn_accuracies(app)
    table = app.dataframe[0].value.set_index("Method")
    assert table["Mean accuracy (%)"].notna().all() and set(table.index) == {"Dense", "Wanda"}
    captions = [caption.value for caption in app.caption if "Calibration data: " in caption.value]
    assert len(captions) >= 2 and all("c4-sample:16x2048" in caption for caption in captions)


def test_the_first_view_of_bundled_results_matches_the_readme(fresh, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    app = open_app()
    assert app.selectbox(key="explore_text").value == "WikiText-2, 16 x 2048 tokens"
    curve_drawn = charts(app)[0].proto.spec
    assert curve_drawn.count('"previous"') == 4  # arrows: SparseGPT at two ratios, trained by LoRA and by distillation
    table = app.dataframe[0].value.set_index(["Method", "Amount"])
    assert table.loc[("Wanda", "50 %"), "Mean accuracy (%)"] == pytest.approx(42.6, abs=0.05)
    (differences,) = [one.proto.spec for one in charts(app) if "zero-shot minus dense" in one.proto.spec]
    assert all(name in differences for name in ("Magnitude", "Wanda", "RIA", "SparseGPT"))
    assert not app.info  # of which nothing lacks
    control(app, "explore_at").set_value("30 %").run()
    assert "No zero-shot accuracy at 30 % yet on the first 500 documents" in app.info[0].value
    app.selectbox(key="explore_documents").set_value("First 100 documents of each task, float32").run()
    control(app, "explore_at").set_value("50 %").run()
    assert not app.exception  # the mean of the only variant that was scored has no pair
    for amount in ("30 %", "70 %", "4:8", "2:4"):
        control(app, "explore_at").set_value(amount).run()
        assert "SparseGPT" in drawn_accuracies(app)
        assert all("yet of ALPS" in one.value or "yet of RIA + AdaPrune" in one.value for one in app.info)
    assert not app.exception


def test_accuracies_of_other_calibration_data_never_fill_gaps(two_calibrations):
    app = open_app(explore_text="passages-eval, 16 x 2048 tokens")
    assert "Wanda" not in drawn_accuracies(app) and "Magnitude" in drawn_accuracies(app)
    message = app.info[0].value
    assert "No zero-shot accuracy at 50 % yet of Wanda." in message
    assert app.button(key="explore_run_tasks").label.startswith("Run the seven tasks at 50 % with Wanda (")
    table = app.dataframe[0].value
    assert table.loc[table["Method"] == "Wanda", "Mean accuracy (%)"].isna().all()


def test_accuracies_on_fewer_documents_count_as_missing(filled):
    other = result("lorap", 70.0, 0.5)
    few = [one.model_copy(update={"protocol": one.protocol | {"limit": 20}}) for one in other.measurements[1:]]
    filled.put(other.model_copy(update={"measurements": (other.measurements[0], *few)}))
    app = open_app(explore_methods=["Wanda", "LoRAP"], explore_families=["Unstructured", "Structured"])
    assert "LoRAP" not in drawn_accuracies(app) and "Wanda" in drawn_accuracies(app)
    message = app.info[0].value
    assert "No zero-shot accuracy at 50 % yet of LoRAP on the first 100 documents of each task, float32." in message


def test_explore_shows_one_choice_of_training_data(filled):
    for value, text in ((25.0, "passages-calibration:512x256"), (26.0, "c4-sample:512x256")):
        filled.put(result("sparsegpt", value, 0.5, recovery="lora", training=text))
    app = open_app(explore_training="passages-calibration:512x256")
    assert list(app.dataframe[0].value["Perplexity"]).count(25.0) == 1
    app.selectbox(key="explore_training").set_value("c4-sample:512x256").run()
    assert {25.0, 26.0} & set(app.dataframe[0].value["Perplexity"]) == {26.0}
    assert "passages-calibration:512x256" not in drawn_accuracies(app) and not app.exception


def test_explore_offers_to_run_the_missing_seven_tasks(filled):
    app = open_app(explore_at="40 %", explore_methods=["SparseGPT"])
    button = app.button(key="explore_run_tasks")
    assert button.label.startswith("Run the seven tasks at 40 % with SparseGPT (")
    button.click().run()
    (job,) = data.queue().jobs()
    assert [str(task) for task in job.spec.tasks][:2] == ["boolq:100", "piqa:100"] and len(job.spec.tasks) == 7
    assert job.spec.variant.stages[0].ratio == 0.4 and not app.exception


def test_points_on_a_missing_text_run_on_one_that_is_here(store, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    monkeypatch.setattr("core.data.files.find", lambda name: None)
    for one in (result("dense", 20.0, corpus="wikitext2"), result("wanda", 25.0, 0.3, corpus="wikitext2")):
        store.put(one)
    for one in (result("dense", 20.0), result("wanda", 25.0, 0.4)):  # on passages-eval
        store.put(one)
    app = opened(open_app(explore_text="WikiText-2, 16 x 2048 tokens"))
    assert "not available for download: WikiText-2." in " ".join(caption.value for caption in app.caption)
    there = control(app, "explore_missing_Wanda")
    assert "50 %" in there.options and "40 %" not in there.options  # which is measured on passages-eval
    there.set_value(["50 %"]).run()
    button = app.button(key="explore_run_missing")
    assert button.label.startswith("Run this point on passages-eval (")
    button.click().run()
    (job,) = data.queue().jobs()
    assert [str(text) for text in job.spec.perplexity] == ["passages-eval@2048:16"]
    assert app.toggle(key="explore_elsewhere").value and not app.exception


def test_points_that_are_measured_on_the_text_that_is_here_are_shown(store, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    monkeypatch.setattr("core.data.files.find", lambda name: None)
    for one in (result("dense", 20.0, corpus="wikitext2"), result("wanda", 25.0, 0.3, corpus="wikitext2")):
        store.put(one)
    for one in (result("dense", 20.0), *(result("wanda", 25.0, at) for at in (0.1, 0.2, 0.4, 0.5, 0.6, 0.7))):
        store.put(one)
    app = opened(open_app(explore_text="WikiText-2, 16 x 2048 tokens"))
    app.button(key="explore_show_elsewhere").click().run()
    assert app.toggle(key="explore_elsewhere").value and not app.exception


def test_an_offer_needs_every_text_of_the_chain(store, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    texts = ("passages-calibration:16x2048", "c4-sample:16x2048")
    own = "wanda@0.5,text={}+adaprune,text={}".format(*texts)
    monkeypatch.setattr("core.data.files.find", lambda name: None)
    assert "c4-sample is not on this machine" in offers.offer("smollm2-135m", [own], None, None).error
    assert offers.offer("smollm2-135m", [own.replace(texts[1], texts[0])], None, None).error is None


def test_unmeasured_latency_shows_a_message(filled):
    app = open_app(explore_x="decode latency")
    assert "have no latency" in app.info[0].value


def test_changing_the_model_raises_no_error(filled):
    filled.put(result("dense", 30.0, model="other", corpus="wikitext2"))
    filled.put(result("wanda", 31.0, 0.2, model="other", corpus="wikitext2"))
    app = open_app(explore_at="60 %", explore_methods=["SparseGPT"])
    app.selectbox(key="explore_model").set_value("other").run()
    assert not app.exception
    assert "WikiText-2" in app.selectbox(key="explore_text").value


def test_a_new_result_shows_at_the_next_rerun(filled):
    app = open_app()
    before = len(app.dataframe[0].value)
    filled.put(result("wanda", 22.0, 0.25))
    app.run()
    assert len(app.dataframe[0].value) == before + 1


def test_missing_points_are_offered_and_queued_once(filled, monkeypatch):
    lacking = next(one for one in curve() if one.variant.method == "magnitude" and one.variant.ratio == 0.2)
    filled.delete(lacking.variant.key)
    app = opened(open_app())
    button = app.button(key="explore_run_missing")
    assert button.label.startswith("Run this point (") and control(app, "explore_missing_Magnitude").value == ["20 %"]
    button.click().run()
    (job,) = data.queue().jobs()
    stage = job.spec.variant.stages[0]
    assert (stage.method, stage.ratio, job.spec.variant.model) == ("magnitude", 0.2, "smollm2-135m")
    assert [str(text) for text in job.spec.perplexity] == ["passages-eval@2048:16"]
    assert not app.exception
    assert "explore_run_missing" not in [button.key for button in app.button]


def test_points_that_cannot_run_show_the_reason(store):
    for one in (result("dense", 20.0, model="no-such-model"), result("wanda", 25.0, 0.3, model="no-such-model")):
        store.put(one)
    app = opened(open_app())
    captions = " ".join(caption.value for caption in app.caption)
    assert "cannot run the missing points: Unknown model 'no-such-model'" in captions


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


def test_explore_highlights_few_series_and_shows_others_as_context(filled):
    for chain in ("magnitude@0.5+adaprune", "wanda@0.5+lora", "magnitude@0.5+lora+wanda@0.6"):
        filled.put(chained(chain, 30.0))
    app = open_app()
    shown = set(app.dataframe[0].value["Method"])
    assert {"AdaPrune", "Wanda + LoRA", "Magnitude 50 % + LoRA + Wanda"} < shown
    assert "explore_others" not in {toggle.key for toggle in app.toggle}
    for chain in ("wanda@0.5+adaprune", "sparsegpt@0.5+adaprune", "magnitude@0.2+adaprune+wanda@0.5+adaprune"):
        filled.put(chained(chain, 30.0))
    app = open_app()
    shown = set(app.dataframe[0].value["Method"])
    assert len(shown) <= 7 and {"Magnitude", "Wanda", "SparseGPT"} < shown
    assert "SparseGPT + AdaPrune" not in shown and "SparseGPT + AdaPrune" in charts(app)[0].proto.spec
    app.toggle(key="explore_others").set_value(False).run()
    assert "SparseGPT + AdaPrune" not in charts(app)[0].proto.spec
    control(app, "explore_series").set_value(["Wanda", "SparseGPT + AdaPrune"]).run()
    assert set(app.dataframe[0].value["Method"]) == {"Dense", "Wanda", "SparseGPT + AdaPrune"}
    assert '"Magnitude"' not in charts(app)[0].proto.spec and not app.exception
    app = open_app(explore_series=["Wanda"])
    assert set(app.dataframe[0].value["Method"]) == {"Dense", "Wanda"}


def test_the_answer_names_the_best_variant_and_its_size(filled):
    app = open_app(explore_at="30 %")
    (answer,) = [text.value.replace("\\", "") for text in app.markdown if "has the lowest perplexity" in text.value]
    start = "smollm2-135m at a pruning ratio of 30 %, without training: **SparseGPT** has the lowest perplexity of 3 "
    assert answer.startswith(start)
    assert " times dense" in answer and " MB (dense: " in answer and "No variant with training is measured" in answer
    control(app, "explore_at").set_value("2:4").run()
    assert "smollm2-135m with 2:4 sparsity, without training: **SparseGPT** has" in read(app)


def test_a_point_shows_its_losses_and_the_selected_training_data(filled):
    for text in ("passages-calibration:512x256", "passages-calibration:512x32"):
        filled.put(chained("wanda@0.3+lora+wanda@0.5", 30.0, training=text))
    app = open_app(explore_point="wanda@0.3+lora+wanda@0.5", explore_training="passages-calibration:512x32")
    assert not app.exception
    assert app.selectbox(key="explore_training").value == "passages-calibration:512x32"
    assert any("training and held-out losses on" in caption.value for caption in app.caption)
