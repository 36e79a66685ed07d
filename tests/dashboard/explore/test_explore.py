"""Explore run through Streamlit's own tester, on a store of made-up results."""

import pytest

from tests.dashboard.opened import charts, control, open_app, read
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
