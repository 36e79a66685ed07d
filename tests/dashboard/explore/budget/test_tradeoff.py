"""The trade-off on Explore: its limits, filters, links and offers, on a store of made-up results."""

import pandas as pd
import pytest

from core.data.cards import SEVEN
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.explore import missing
from tests.dashboard.explore.given import open_tradeoff, ranked, table
from tests.dashboard.opened import captions, charts, control, open_app, read
from tests.synthetic import chained, curve, result


def test_a_link_sets_limits_and_invalid_values_fall_back_to_defaults(filled):
    app = open_tradeoff(
        limit_packed_mb="much", limit_times_dense=-3, limit_above_chance=200, quality="KL divergence", cost="y"
    )
    assert [field.value for field in app.number_input] == [None] * len(app.number_input)
    assert app.selectbox(key="explore_cost").value == "packed size"
    assert control(app, "explore_quality").options == ["Perplexity", "Accuracy above chance"]
    notice = "This link asks for a quality that is not here: KL divergence. Shown: Perplexity."
    assert notice in " ".join(one.value for one in app.info).replace("\\", "")
    assert len(table(app)) == len(curve())
    assert "Set a limit to find the best variant within it." in read(app)
    app.selectbox(key="explore_cost").set_value("decode latency").run()
    assert f"Not drawn: {len(curve())} (latency not measured)." in captions(app)
    app.number_input(key="explore_limit_decode_ms").set_value(40.0).run()
    assert set(table(app)["Misses by"]) == {"latency not measured"} and not app.exception
    app = open_tradeoff(limit_packed_mb="nan", limit_memory_mb="inf", only_family="nonsense", only_method="Wanda")
    assert {name.partition(" ")[0] for name in table(app)["Variant"]} == {"Wanda"}


def test_the_view_starts_with_a_third_of_the_dense_size_until_the_visitor_clears_it(filled):
    app = open_app(explore_mode="By size")
    assert app.number_input(key="explore_limit_packed_mb").value == 90
    assert app.title[0].value == "No variant of smollm2-135m fits in 90 MB"
    app.number_input(key="explore_limit_packed_mb").set_value(None).run()
    assert app.title[0].value == "smollm2-135m, by size"
    assert app.number_input(key="explore_limit_packed_mb").value is None and not app.exception
    assert open_tradeoff(limit_decode_ms=40).number_input(key="explore_limit_packed_mb").value is None


def test_filters_keep_matching_variants(filled):
    filled.put(result("sparsegpt", 25.0, 0.5, recovery="lora"))
    filled.put(result("slimllm", 60.0, 0.5))
    filled.put(result("wanda", 43.0, 0.5, calibration="c4-sample:16x2048"))
    assert set(ranked(filters={"method": ["slimllm", "dense"]}).table["Chain"]) == {"slimllm@0.5", "dense"}
    shown = ranked(filters={"method": ["wanda"]}).table
    twins = shown[shown["Chain"] == "wanda@0.5"].set_index("Variant")
    assert set(twins.index) == {"Wanda 50 %, passages", "Wanda 50 %"}
    assert sorted(twins["Perplexity"]) == [43.0, 44.0]
    app = open_tradeoff()
    for field, value, left in (
        ("family", "structured", "slimllm@0.5"),
        ("training", "trained", "sparsegpt@0.5+lora"),
        ("calibrated", "c4-sample:16x2048", "wanda@0.5"),
    ):
        app.multiselect(key=f"explore_only_{field}").set_value([value]).run()
        assert list(table(app)["Chain"]) == [left]
        assert '"Dense"' in charts(app)[0].proto.spec  # the baseline is always drawn
        app.multiselect(key=f"explore_only_{field}").set_value([]).run()
    app.multiselect(key="explore_only_family").set_value(["structured"])
    app.multiselect(key="explore_only_training").set_value(["trained"]).run()
    assert [info.value for info in app.info] == ["No variant passes the filters. Remove a filter."]


def test_an_open_point_shows_its_command_checkpoint_sizes_and_seeds(filled):
    app = open_tradeoff(limit_packed_mb=200, point="sparsegpt@0.5")
    assert "run smollm2-135m sparsegpt@0.5" in app.code[-1].value
    row = table(app).set_index("Chain").loc["sparsegpt@0.5"]
    assert row["Hugging Face (MB)"] == pytest.approx((4 * 134_500_000 + 106_000_000 // 8) / 1e6, rel=0.01)
    assert row["GGUF (MB)"] < row["Hugging Face (MB)"] / 1.9 and pd.isna(row["compressed-tensors (MB)"])
    filled.put(result("wanda", 46.0, 0.5, seed=1))
    app = open_tradeoff(point="wanda@0.5", only_method="Wanda")
    assert "Means of 2 seeds" in captions(app) and not app.exception
    assert table(app).set_index("Amount").loc["50 %", "Perplexity"] == 45.0


def test_a_model_without_perplexities_shows_a_message(filled):
    one = result("wanda", 43.0, 0.5, model="other")
    filled.put(one.model_copy(update={"measurements": one.measurements[1:]}))
    app = open_tradeoff(model="other")
    assert "This model has no perplexity yet" in app.info[0].value and not app.exception


def test_without_dense_results_the_ratio_to_dense_is_unknown(store):
    store.put(result("wanda", float("inf"), 0.5, scored=False))
    store.put(result("magnitude", float("nan"), 0.7, scored=False))
    assert set(ranked(times_dense=2).table["Misses by"]) == {"unknown ratio to dense"}
    start = "2 variants of smollm2-135m with at most 250 MB packed fit, but none can be ranked."
    assert ranked(packed_mb=250).answer == f"{start} 2 variants fit: perplexity diverged."
    app = open_tradeoff()
    assert len(table(app)) == 2 and len(charts(app)) == 1
    control(app, "explore_quality").set_value("Accuracy above chance").run()
    assert "Not drawn: 2 (mean above chance not measured)." in captions(app)
    assert not app.exception


def test_settings_of_the_curve_are_hidden_elsewhere_and_kept(filled):
    filled.put(result("slimllm", 60.0, 0.5))  # another family
    app = open_app(explore_methods="Wanda", explore_x="packed size")

    def asked() -> set[str]:
        return {field.key for kind in ("multiselect", "selectbox", "button_group") for field in app.get(kind)}

    def turn(to: str) -> None:
        next(group for group in app.get("button_group") if group.key == "explore_mode").set_value(to).run()

    of_curve = {"explore_families", "explore_methods", "explore_x"}
    assert of_curve <= asked()
    turn("By size")
    app.number_input(key="explore_limit_packed_mb").set_value(None).run()
    assert of_curve.isdisjoint(asked()) and len(table(app)) > len(curve())  # the curve's methods do not filter it
    turn("By amount")
    assert app.multiselect(key="explore_methods").value == ["wanda"]
    assert app.selectbox(key="explore_x").value == "packed size" and not app.exception


def test_variants_without_the_quality_are_listed_last_and_offered(filled):
    filled.put(chained("wanda@0.45", 21.0, corpus="passages-calibration"))
    app = open_tradeoff(text="BoolQ passages, 16 x 2048 tokens", quality="Accuracy above chance", limit_packed_mb=200)
    shown = table(app)
    lacking = shown["Above chance (points)"].isna()
    assert lacking.any() and not lacking.all() and list(lacking) == sorted(lacking)
    titles = [box.label for box in app.expander]
    assert any(title.endswith("not ranked: mean above chance not measured") for title in titles)
    assert "explore_run_unscored" not in {button.key for button in app.button}  # nothing is estimated before
    app.session_state[missing.UNSCORED] = True
    app.run()
    assert len(app.multiselect(key="explore_unscored_above_chance").options) == lacking.sum()
    known = data.frame(DEFAULT_MODEL).drop_duplicates("chain").set_index("chain")["key"]
    app.multiselect(key="explore_unscored_above_chance").set_value([known["wanda@0.6"]]).run()
    app.button(key="explore_run_unscored").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.variant.key == known["wanda@0.6"] and {task.task for task in job.spec.tasks} == set(SEVEN)
    control(app, "explore_quality").set_value("Perplexity").run()
    app.session_state[missing.UNSCORED] = True
    shown = table(app.run())
    assert shown["Chain"].iloc[-1] == "wanda@0.45" and pd.isna(shown["Perplexity"].iloc[-1])
    app.button(key="explore_run_unscored").click().run()
    job = max(data.queue().jobs(), key=lambda one: one.id)
    assert [text.corpus for text in job.spec.perplexity] == ["passages-eval"] and not job.spec.tasks
