"""Which results Explore shows, on a store of made-up results."""

from core.findings.curve import default_series
from core.findings.numbers.frame import tidy
from core.findings.rows import points
from tests.dashboard.explore.given import chosen, shown
from tests.dashboard.opened import captions, charts, control, open_app
from tests.synthetic import chained, result


def series_in(app, store):
    """Return the series of the first table."""
    rows = tidy(store.results())
    series = dict(zip(rows["name"], rows["series_label"], strict=True))
    return {series[name] for name in app.dataframe[0].value["Variant"]}


def test_explore_shows_one_family_and_quantisation_switches_the_axis(filled):
    for one in (result("slimllm", 60.0, 0.5), result("lorap", 70.0, 0.5), result("gptq", 24.0, pattern="4bit")):
        filled.put(one)
    app = open_app()
    assert app.multiselect(key="explore_methods").value == ["magnitude", "wanda", "sparsegpt"]
    families = control(app, "explore_families")
    families.set_value(["unstructured", "structured"]).run()
    assert app.multiselect(key="explore_methods").value == ["magnitude", "wanda", "sparsegpt", "lorap", "slimllm"]
    families.set_value(["structured"]).run()
    assert app.multiselect(key="explore_methods").value == ["lorap", "slimllm"]
    assert series_in(app, filled) == {"Dense", "LoRAP", "SlimLLM"}
    assert not app.error and app.selectbox(key="explore_x").value == "pruning ratio"
    families.set_value(["unstructured", "quantisation"]).run()
    assert app.selectbox(key="explore_x").value == "packed size"
    assert app.multiselect(key="explore_methods").value == ["magnitude", "wanda", "sparsegpt", "gptq"]
    app.selectbox(key="explore_x").set_value("pruning ratio").run()
    assert "Quantisation: no place on this axis." in [one.value for one in app.caption]
    app.button(key="explore_by_size").click().run()
    assert app.selectbox(key="explore_x").value == "packed size"
    assert "gptq" in app.multiselect(key="explore_methods").value and not app.exception


def test_explore_without_results_links_the_run_page(store):
    app = open_app()
    assert "no results yet" in app.info[0].value
    assert "Run a model" in [link.value for link in app.page_link]


def test_charts_and_table_show_the_same_models_whose_gaps_other_calibration_data_never_fill(store):
    store.put(result("dense", 20.1))  # on passages, where calibrated variants have no accuracies
    for ratio in (0.1, 0.3, 0.5, 0.7):
        store.put(result("wanda", 40.0 + ratio, ratio, scored=False))
    store.put(result("magnitude", 90.0, 0.5))
    wikitext = {"corpus": "wikitext2", "calibration": "c4-sample:16x2048"}
    store.put(result("dense", 20.1, corpus="wikitext2"))
    for ratio in (0.3, 0.5):
        store.put(result("wanda", 40.0 + ratio, ratio, **wikitext))
    one = chosen()
    assert (one.corpus, one.calibration) == ("wikitext2", "c4-sample:16x2048")
    assert set(one.measured["series_label"]) == {"Dense", "Wanda"} < set(one.scores["series_label"])
    assert set(one.scores["calibration"].dropna()) == {"c4-sample:16x2048"}
    app = open_app(explore_text="passages-eval, 16 x 2048 tokens")
    (drawn,) = [one.proto.spec for one in charts(app) if "Mean above chance, zero-shot" in one.proto.spec]
    assert "Wanda" not in drawn and "Magnitude" in drawn
    assert "No zero-shot accuracy at 50 % yet of Wanda." in app.info[0].value
    table = app.dataframe[0].value
    assert table.loc[table["Variant"].str.startswith("Wanda "), "Above chance (points)"].isna().all()


def test_changing_the_model_raises_no_error_and_a_missing_one_has_its_command(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    filled.put(result("dense", 30.0, model="gemma3-270m", corpus="wikitext2"))
    filled.put(result("wanda", 31.0, 0.3, model="gemma3-270m", corpus="wikitext2"))
    app = open_app(explore_at="60 %", explore_methods=["SparseGPT"])
    assert "is not on this machine" not in captions(app)
    app.selectbox(key="explore_model").set_value("gemma3-270m").run()
    assert not app.exception
    assert "WikiText-2" in app.selectbox(key="explore_text").value
    assert "`slimscope fetch gemma3-270m`" in captions(app)
    assert len(charts(open_app(explore_model="gemma3-270m"))) == 2


def test_few_series_are_highlighted_and_the_others_are_context(filled):
    def default():
        return set(default_series(points.split_points(chosen().measured)[1]))

    for chain in ("magnitude@0.5+adaprune", "wanda@0.5+lora", "magnitude@0.5+lora+wanda@0.6"):
        filled.put(chained(chain, 30.0))
    assert {"AdaPrune", "Wanda + LoRA", "Magnitude 50 %+LoRA+Wanda"} < default()
    for chain in ("wanda@0.5+adaprune", "sparsegpt@0.5+adaprune", "magnitude@0.2+adaprune+wanda@0.5+adaprune"):
        filled.put(chained(chain, 30.0))
    assert len(default()) <= 6 and {"Magnitude", "Wanda", "SparseGPT"} < default()
    app = open_app()
    assert series_in(app, filled) == {"Dense", *default()}
    assert "SparseGPT + AdaPrune" not in default() and "SparseGPT + AdaPrune" in charts(app)[0].proto.spec
    app.toggle(key="explore_others").set_value(False).run()
    assert "SparseGPT + AdaPrune" not in charts(app)[0].proto.spec
    control(app, "explore_series").set_value(["Wanda", "SparseGPT + AdaPrune"]).run()
    assert series_in(app, filled) == {"Dense", "Wanda", "SparseGPT + AdaPrune"}
    assert '"Magnitude"' not in charts(app)[0].proto.spec and not app.exception
    assert set(shown(["Wanda"]).highlighted["series_label"]) == {"Wanda"}
