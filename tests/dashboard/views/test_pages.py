"""Each page run through Streamlit's own tester, on a store of made-up results and a queue that starts no process."""

import json
from types import SimpleNamespace

import pytest
from sqlalchemy import update

from core.engine.variants import describe
from core.request.baseline import baseline
from core.request.complete import complete
from core.specs import Perplexity, RunSpec, Stage, VariantSpec
from core.store.tables import jobs
from core.words import variant_name
from dashboard import data
from dashboard.charts import points
from dashboard.panels import joblist
from tests.core.made import make, perplexity
from tests.dashboard.opened import open_app
from tests.dashboard.synthetic import TRAINING, curve, result


def charts(app):
    return app.get("plotly_chart")


def read(app) -> str:
    """Return the page's Markdown as a reader sees it: signs that are no markup stand behind a backslash."""
    return " ".join(text.value for text in app.markdown).replace("\\", "")


def test_explore_opens_with_a_curve_and_accuracies(filled):
    app = open_app()
    assert [title.value for title in app.title] == ["Explore"]
    assert len(charts(app)) == 2
    assert "passages-eval: window 2048" in " ".join(caption.value for caption in app.caption)
    assert len(app.dataframe[0].value) == len(curve())
    assert not app.error


def test_one_family_is_shown_at_first_and_others_where_they_are_picked(filled):
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


def test_what_was_trained_stands_beside_what_it_came_from_with_its_losses(filled):
    filled.put(result("sparsegpt", 25.0, 0.5, recovery="lora"))
    app = open_app(explore_point="SparseGPT + LoRA, 50 %")
    assert "SparseGPT + LoRA" in set(app.dataframe[0].value["Method"])
    assert len(charts(app)) == 4  # curve, accuracies, losses, layers
    said = " ".join(caption.value for caption in app.caption)
    assert "trained on passages-calibration:512x256. 40 steps, 163,840 tokens; the weights of step 32 were kept" in said
    assert "--recover lora --train passages-calibration:512x256" in app.code[0].value
    assert not app.exception


def test_a_chain_is_shown_with_all_its_stages(filled):
    one = result("magnitude", 25.0, 0.5, recovery="lora")
    stages = (*one.variant.stages, Stage(method="wanda", ratio=0.7))
    again = [layer.model_copy(update={"stage": 2, "sparsity": 0.7}) for layer in one.layers[:7]]
    update = {"key": "c" * 64, "stages": stages, "made": (*one.variant.made, {"seconds": 30.0, "device": "cpu"})}
    variant = one.variant.model_copy(update=update)
    filled.put(one.model_copy(update={"variant": variant, "layers": (*one.layers, *again)}))
    app = open_app(explore_point="Magnitude 50 % + LoRA + Wanda, 70 %")
    assert "Magnitude 50 % + LoRA + Wanda" in set(app.dataframe[0].value["Method"])
    assert "made in 90 s" in " ".join(text.value for text in app.markdown)
    said = " ".join(caption.value for caption in app.caption)
    assert "losses while it was trained on passages-calibration:512x256" in said
    assert "Make it again" not in said and not app.code  # the command line has no words for it
    assert len(json.loads(charts(app)[-1].proto.spec)["data"][0]["x"]) == 1  # of the last stage that has layers
    assert not app.exception
    name = variant_name(VariantSpec(model="m", revision="r", stages=stages))
    assert name == "Magnitude, 50 %, then LoRA, then Wanda, 70 %, m"


def test_explore_without_results_says_what_to_do(store):
    app = open_app()
    assert "no results yet" in app.info[0].value
    assert app.page_link[0].value == "Run a model"


def test_explore_restores_a_view_from_its_address(filled):
    app = open_app(explore_methods="Wanda", explore_x="packed size", explore_at="30 %")
    assert app.multiselect(key="explore_methods").value == ["wanda"]
    assert app.selectbox(key="explore_x").value == "packed size"
    assert app.select_slider(key="explore_at").value == "30 %"
    assert set(app.dataframe[0].value["Method"]) == {"Dense", "Wanda"}


def test_an_address_with_nonsense_falls_back_to_the_defaults(filled):
    app = open_app(
        explore_model="nonsense", explore_methods="nonsense", explore_text="x", explore_at="y", explore_x="z"
    )
    assert app.selectbox(key="explore_model").value == "smollm2-135m"
    assert len(charts(app)) == 2


def test_no_method_chosen_is_said(filled):
    app = open_app()
    app.multiselect(key="explore_methods").set_value([]).run()
    assert "at least one method" in app.info[0].value and not app.exception


def test_an_amount_without_accuracies_is_said(filled):
    app = open_app(explore_at="40 %")
    assert "No zero-shot numbers at 40 %" in app.info[0].value


@pytest.fixture
def two_calibrations(store):
    """A curve on passages without accuracies of what was calibrated, and a shorter one on WikiText-2 with them."""
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
    (chart,) = [one.proto.spec for one in charts(app) if "Zero-shot accuracy (" in one.proto.spec]
    return chart


def test_the_first_view_has_curve_accuracies_and_table_of_the_same_models(two_calibrations):
    app = open_app()
    assert app.selectbox(key="explore_text").value == "wikitext2, 16 x 2048 tokens"
    assert "Wanda" in drawn_accuracies(app)
    table = app.dataframe[0].value.set_index("Method")
    assert table["Mean accuracy (%)"].notna().all() and set(table.index) == {"Dense", "Wanda"}
    captions = [caption.value for caption in app.caption if "where a method reads data" in caption.value]
    assert len(captions) >= 2 and all("c4-sample:16x2048" in caption for caption in captions)


def test_the_first_view_of_a_fresh_machine_is_the_readme_s(fresh, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    app = open_app()
    assert app.selectbox(key="explore_text").value == "wikitext2, 16 x 2048 tokens"
    curve_drawn = charts(app)[0].proto.spec
    assert curve_drawn.count('"previous"') == 4  # arrows: SparseGPT at two ratios, trained in two ways
    table = app.dataframe[0].value.set_index(["Method", "Removed"])
    assert table.loc[("Wanda", "50 %"), "Mean accuracy (%)"] == pytest.approx(44.1, abs=0.05)
    for amount in ("30 %", "70 %", "4:8", "2:4"):
        assert not app.info and "SparseGPT" in drawn_accuracies(app)
        app.select_slider(key="explore_at").set_value(amount).run()
    assert not app.info and not app.exception


def test_accuracies_of_another_calibration_never_stand_in_for_those_that_are_missing(two_calibrations):
    app = open_app(explore_text="passages-eval, 16 x 2048 tokens")
    assert "Wanda" not in drawn_accuracies(app) and "Magnitude" in drawn_accuracies(app)
    said = app.info[0].value
    assert "No zero-shot numbers at 50 % yet of Wanda. Calibrated on passages-calibration:16x2048" in said
    assert app.button(key="explore_run_tasks").label.startswith("Run the seven tasks at 50 % with Wanda (")
    table = app.dataframe[0].value
    assert table.loc[table["Method"] == "Wanda", "Mean accuracy (%)"].isna().all()


def test_accuracies_of_fewer_documents_are_said_to_be_missing_among_those_of_more(filled):
    other = result("lorap", 70.0, 0.5)
    few = [one.model_copy(update={"protocol": one.protocol | {"limit": 20}}) for one in other.measurements[1:]]
    filled.put(other.model_copy(update={"measurements": (other.measurements[0], *few)}))
    app = open_app(explore_methods=["Wanda", "LoRAP"], explore_families=["Unstructured", "Structured"])
    assert "LoRAP" not in drawn_accuracies(app) and "Wanda" in drawn_accuracies(app)
    assert "No zero-shot numbers at 50 % yet of LoRAP." in app.info[0].value


def test_one_training_text_is_shown_at_a_time(filled):
    for value, text in ((25.0, "passages-calibration:512x256"), (26.0, "c4-sample:512x256")):
        filled.put(result("sparsegpt", value, 0.5, recovery="lora", training=text))
    app = open_app(explore_training="passages-calibration:512x256")
    assert list(app.dataframe[0].value["Perplexity"]).count(25.0) == 1
    app.selectbox(key="explore_training").set_value("c4-sample:512x256").run()
    assert {25.0, 26.0} & set(app.dataframe[0].value["Perplexity"]) == {26.0}
    assert "passages-calibration:512x256" not in drawn_accuracies(app) and not app.exception


def test_the_seven_tasks_are_offered_where_they_are_missing(filled):
    app = open_app(explore_at="40 %", explore_methods=["SparseGPT"])
    button = app.button(key="explore_run_tasks")
    assert button.label.startswith("Run the seven tasks at 40 % with SparseGPT (")
    button.click().run()
    (job,) = data.queue().jobs()
    assert [str(task) for task in job.spec.tasks][:2] == ["boolq:100", "piqa:100"] and len(job.spec.tasks) == 7
    assert job.spec.variant.stages[0].ratio == 0.4 and not app.exception


def test_a_text_that_is_not_here_is_said_instead_of_offered(store, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    monkeypatch.setattr("core.data.files.find", lambda name: None)
    store.put(result("dense", 20.0, corpus="wikitext2"))
    store.put(result("wanda", 25.0, 0.3, corpus="wikitext2"))
    app = open_app()
    assert "wikitext2 is not here and cannot be fetched" in " ".join(caption.value for caption in app.caption)
    assert not app.button


def test_latency_that_nobody_measured_is_said(filled):
    app = open_app(explore_x="time to write a token")
    assert "No latency" in app.info[0].value


def test_changing_the_model_keeps_the_page_whole(filled):
    filled.put(result("dense", 30.0, model="other", corpus="wikitext2"))
    filled.put(result("wanda", 31.0, 0.2, model="other", corpus="wikitext2"))
    app = open_app(explore_at="60 %", explore_methods=["SparseGPT"])
    app.selectbox(key="explore_model").set_value("other").run()
    assert not app.exception
    assert "wikitext2" in app.selectbox(key="explore_text").value


def test_a_new_result_shows_at_the_next_rerun(filled):
    app = open_app()
    before = len(app.dataframe[0].value)
    filled.put(result("wanda", 22.0, 0.25))
    app.run()
    assert len(app.dataframe[0].value) == before + 1


def test_missing_points_are_offered_and_queued_once(filled, monkeypatch):
    missing = next(one for one in curve() if one.variant.method == "magnitude" and one.variant.ratio == 0.2)
    filled.delete(missing.variant.key)
    app = open_app()
    button = app.button(key="explore_run_missing")
    assert button.label.startswith("Run the missing point (") and "20 %" in " ".join(
        caption.value for caption in app.caption
    )
    button.click().run()
    (job,) = data.queue().jobs()
    stage = job.spec.variant.stages[0]
    assert (stage.method, stage.ratio, job.spec.variant.model) == ("magnitude", 0.2, "smollm2-135m")
    assert [str(text) for text in job.spec.perplexity] == ["passages-eval@2048:16"]
    assert not app.exception
    assert "explore_run_missing" not in [button.key for button in app.button]


def test_points_that_cannot_run_here_say_why(store):
    for one in (result("dense", 20.0, model="no-such-model"), result("wanda", 25.0, 0.3, model="no-such-model")):
        store.put(one)
    app = open_app()
    said = " ".join(caption.value for caption in app.caption)
    assert "cannot add points here: Unknown model 'no-such-model'" in said


def test_details_show_layers_and_the_command_and_delete_what_is_mine(filled):
    app = open_app(explore_point="SparseGPT, 50 %")
    assert len(charts(app)) == 3
    command = app.code[0].value
    assert command.startswith("python -m core run smollm2-135m sparsegpt --ratio 0.5")
    assert "--calibration passages-calibration:16x2048" in command
    assert "--perplexity passages-eval@2048:16" in command and "piqa:100" in command
    before = len(filled.results())
    app.button(key="explore_delete").click().run()
    assert len(filled.results()) == before - 1 and not app.exception


def test_what_was_reached_is_told_on_the_point_and_on_its_job(store):
    spec = complete("smollm2-135m", "magnitude", ratio=0.9, perplexity=[Perplexity.parse("passages-eval@2048:16")])
    reached = make(perplexity(30.0, "passages-eval"), zeros=80)
    store.put(reached.model_copy(update={"variant": describe(spec.variant)}))
    told = "80.0% of the block weights were removed, not the 90.0% that were asked for."
    assert told in [caption.value for caption in open_app(explore_point="Magnitude, 90 %").caption]
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == data.queue().submit(spec)).values(state="done"))
    assert told in [caption.value for caption in open_app("views/run.py").caption]


@pytest.fixture
def two_points(store):
    """The specs of two points that this version can make, with the dense model's numbers beside them."""
    text = [Perplexity.parse("passages-eval@2048:16")]
    dense, *specs = (
        complete("smollm2-135m", method, ratio=ratio, perplexity=text)
        for method, ratio in (("dense", None), ("magnitude", 0.5), ("svd", 0.3))
    )
    for spec in (dense, *specs):
        made = make(perplexity(30.0, "passages-eval"))
        footprint = made.footprint.model_copy(update={"model_parameters": 134_500_000})
        store.put(made.model_copy(update={"variant": describe(spec.variant), "footprint": footprint}))
    return specs


def save_inputs(app, spec):
    """The folder and the precision that a point is saved with, and the button."""
    key = spec.variant.key[:8]
    return (
        app.text_input(key=f"explore_folder_{key}"),
        app.radio(key=f"explore_precision_{key}"),
        app.button(key="explore_save"),
    )


def test_a_checkpoint_goes_into_the_folder_that_was_typed_just_before(two_points, tmp_path):
    spec = two_points[0]
    app = open_app(explore_point="Magnitude, 50 %")
    folder, precision, save = save_inputs(app, spec)
    assert precision.options == ["538 MB, fp32", "269 MB, bf16", "269 MB, fp16"] and precision.value == "float32"
    folder.set_value("model")
    save.click().run()
    assert not data.queue().jobs() and "Give the whole path" in app.toast[0].value
    folder, precision, save = save_inputs(app, spec)
    folder.set_value(str(tmp_path / "model"))  # no rerun between these and the click
    precision.set_value("float16")
    save.click().run()
    (job,) = data.queue().jobs()
    assert (job.spec.save, job.spec.precision) == (str(tmp_path / "model"), "float16")
    assert job.spec.variant == spec.variant and not job.spec.perplexity
    assert f"It will be in {tmp_path / 'model'}, 269 MB, fp16." in app.toast[0].value


def test_each_point_is_proposed_a_folder_of_its_own(two_points):
    app = open_app(explore_point="Magnitude, 50 %", explore_families=["Unstructured", "Low rank"])
    first = save_inputs(app, two_points[0])[0].value
    app.selectbox(key="explore_point").set_value(two_points[1].variant.key).run()
    second = save_inputs(app, two_points[1])[0].value
    assert first.endswith(f"smollm2-135m-magnitude-{two_points[0].variant.key[:8]}")
    assert second.endswith(f"smollm2-135m-svd-{two_points[1].variant.key[:8]}")


def test_the_card_of_a_save_says_what_is_saved_where(two_points, store, tmp_path):
    folder = tmp_path / "_my_model"
    app = open_app("views/run.py")
    data.queue().submit(RunSpec(variant=two_points[0].variant, save=str(folder), precision="bfloat16"))

    def said():
        return " ".join(caption.value.replace("\\", "") for caption in app.run().caption)

    assert f"To be saved to {folder} as bf16" in said()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"0" * 12_345_678)
    with store.begin() as connection:
        connection.execute(update(jobs).values(state="done", finished=2.0))
    assert f"Saved to {folder}, 12 MB, bf16" in said() and not app.exception


def test_run_has_a_field_for_every_declared_parameter(store):
    app = open_app("views/run.py", run_method="SparseGPT")
    assert app.number_input(key="run_sparsegpt_damping").value == 0.01
    assert app.number_input(key="run_sparsegpt_block_size").min == 1
    assert app.toggle(key="run_sparsegpt_true_sequential").value is True
    app.selectbox(key="run_method").set_value("magnitude").run()
    assert app.selectbox(key="run_magnitude_scope").options == ["layer", "global"]
    assert not [field for field in app.number_input if field.key == "run_calibration_windows"]
    assert not app.exception


def test_a_recovery_is_asked_for_with_its_own_parameters_and_text(store):
    app = open_app("views/run.py", run_method="SparseGPT", run_recovery="White-box distillation")
    app.number_input(key="run_distill-white_temperature").set_value(2.0).run()
    minutes = app.number_input(key="run_distill-white_minutes")
    assert minutes.value is None and minutes.placeholder == "auto"
    minutes.set_value(5.0).run()
    app.number_input(key="run_recovery_windows").set_value(64).run()
    app.selectbox(key="run_method").set_value("magnitude").run()
    app.number_input(key="run_seed").set_value(3).run()
    app.button(key="run_start").click().run()
    (job,) = data.queue().jobs()
    recovery = job.spec.variant.stages[1]
    assert (recovery.method, recovery.parameters) == ("distill-white", {"temperature": 2.0, "minutes": 5.0})
    assert str(recovery.calibration) == "passages-calibration:64x256"
    assert (recovery.seed, job.spec.variant.stages[0].seed) == (3, None)
    assert "Magnitude, 50 %, then White-box distillation" in read(app)
    rank = app.number_input(key="run_distill-white_rank")
    assert (rank.value, rank.min, rank.max, rank.step) == (None, 1, 1024, 1)
    rank.set_value(4).run()
    app.number_input(key="run_distill-white_minutes").set_value(None).run()
    app.button(key="run_start").click().run()
    assert data.queue().jobs()[0].spec.variant.stages[1].parameters == {"temperature": 2.0, "rank": 4}
    app.number_input(key="run_distill-white_minutes").set_value(0.0).run()
    assert "minutes = 0.0 does not fit" in app.error[0].value and not app.exception


def test_run_estimates_then_queues_what_was_asked(store):
    app = open_app("views/run.py")
    app.selectbox(key="run_method").set_value("wanda").run()
    app.number_input(key="run_ratio").set_value(0.3).run()
    app.multiselect(key="run_tasks").set_value(["piqa"]).run()
    app.number_input(key="run_limit").set_value(20).run()
    assert "Takes" in app.info[0].value and "GB of memory" in app.info[0].value
    app.button(key="run_start").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.variant.stages[0].method == "wanda" and job.spec.variant.stages[0].ratio == 0.3
    assert [str(task) for task in job.spec.tasks] == ["piqa:20"]
    assert "Wanda, 30 %, smollm2-135m" in read(app)


def stored(store, spec):
    """Store a number that answers what a run asks for."""
    made = make(perplexity(30.0, "passages-eval"))
    store.put(made.model_copy(update={"variant": describe(spec.variant)}))


def test_what_is_measured_already_is_not_started_but_shown(store):
    spec = complete("smollm2-135m", "sparsegpt", ratio=0.5, perplexity=[Perplexity.parse("passages-eval@2048:16")])
    stored(store, spec)
    app = open_app("views/run.py")
    said = app.info[0].value
    assert "with the dense model measured in the same way" in said and "This model is known already" in said
    assert not app.button(key="run_start").disabled
    stored(store, baseline(spec))
    app.run()
    assert app.info[0].value.startswith("All of this is measured already.")
    assert app.button(key="run_start").disabled
    (way,) = app.page_link
    assert way.value == "See it on Explore" and "explore_point=SparseGPT" in way.proto.query_string
    app.number_input(key="run_ratio").set_value(0.3).run()
    assert "Takes" in app.info[0].value and not app.button(key="run_start").disabled


def test_a_finished_run_is_shown_beside_the_dense_model(store):
    spec = complete("smollm2-135m", "wanda", ratio=0.3, perplexity=[Perplexity.parse("passages-eval@2048:16")])
    for one in (spec, baseline(spec)):
        stored(store, one)
    app = open_app(**points.link(data.frame(), spec))
    assert list(app.dataframe[0].value["Method"]) == ["Dense", "Wanda"]
    assert list(app.dataframe[0].value["vs dense"].dropna()) == [0.0, 0.0]
    assert "dense" not in " ".join(caption.value for caption in app.caption if "Not measured" in caption.value)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("run_model", "smolm2-135m", "did you mean 'smollm2-135m'?"),
        ("run_model", "/no/such/folder", "There is no folder"),
        ("run_calibration_corpus", "wikitext3", "wikitext"),
        ("run_layers", "99:100", "selects none of the model's blocks"),
        ("run_layers", "(", "neither FIRST:LAST nor a regular expression"),
        ("run_window", 99_999, "this model was made for"),
        ("run_device", "gpu", "Unknown device 'gpu'"),
        ("run_perplexity", [], "at least one thing to measure"),
        ("run_perplexity", ["c4-sample"], "only to calibrate on"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_typed_is_lost(store, key, value, sentence):
    app = open_app("views/run.py", typed={"run_ratio": 0.35, key: value})
    (error,) = app.error
    assert sentence in error.value and "Traceback" not in error.value and not app.exception
    assert app.button(key="run_start").disabled
    assert app.number_input(key="run_ratio").value == 0.35 and app.session_state[key] == value


def test_a_pattern_that_does_not_fit_is_refused(store):
    app = open_app("views/run.py", typed={"run_kind": "pattern", "run_pattern": "2:7"})
    assert "Pattern 2:7 does not divide a layer" in app.error[0].value


def test_jobs_show_their_state_and_can_be_cancelled_and_repeated(filled):
    app = open_app("views/run.py")
    app.button(key="run_start").click().run()
    app.button(key="run_Cancel_1").click().run()
    assert [job.state for job in data.queue().jobs()] == ["cancelled"]
    app.button(key="run_Try again_1").click().run()
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled"]
    app.button(key="run_Forget_1").click().run()
    assert [job.id for job in data.queue().jobs()] == [2]
    assert not app.exception


def test_a_training_that_was_cancelled_is_measured_as_it_is_or_goes_on(filled):
    recovered = complete("smollm2-135m", "magnitude", ratio=0.5, recovery="lora")
    kept = result("magnitude", 30.0, 0.5)
    variant = describe(recovered.variant, ({}, {"training": TRAINING | {"ended": "cancelled"}}))
    filled.put(kept.model_copy(update={"variant": variant}))
    data.queue().cancel(data.queue().submit(recovered))
    app = open_app("views/run.py")
    app.button(key="run_Measure what was trained_1").click().run()
    data.queue().cancel(2)
    app.button(key="run_Go on training_1").click().run()
    assert not app.exception
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled", "cancelled"]
    assert data.result(recovered.variant.key) is None  # so that it is trained, and not only measured


def test_running_failed_and_finished_jobs_say_so(filled):
    app = open_app("views/run.py")
    app.button(key="run_start").click().run()

    def become(**values):
        with filled.begin() as connection:
            connection.execute(update(jobs).values(**values))
        app.run()
        assert not app.exception

    become(state="running", stage="compress", done=50, total=210, detail="model.layers.7.mlp.up_proj", started=1.0)
    bar = app.progress[0]
    assert bar.value == 23 and "Compressing · model.layers.7.mlp.up_proj" in bar.text
    become(state="failed", error="The disk is full.", finished=2.0)
    assert app.error[0].value == "The disk is full."
    become(state="done", error=None)
    assert app.page_link[-1].value == "See it on Explore"


def test_the_time_left_of_a_job_only_falls(filled, monkeypatch):
    clock = {"now": 1000.0}
    monkeypatch.setattr(joblist, "time", SimpleNamespace(time=lambda: clock["now"]))
    app = open_app("views/run.py")
    app.button(key="run_start").click().run()
    row = {"state": "running", "started": 995.0, "stage": "", "stage_started": None}

    def left(after, **values):
        """The last words on the bar, so many seconds later, the job's row changed."""
        clock["now"] += after
        if values:
            with filled.begin() as connection:
                connection.execute(update(jobs).values(**values))
        app.run()
        assert not app.exception
        return app.progress[0].text.rpartition(" · ")[2]

    assert left(0, **row) == "about 5 s left"  # as estimated for the start
    assert left(9) == "longer than expected"
    reading = {"stage": "perplexity", "total": 2}
    words = left(0, **reading, done=0, stage_started=1009.0)
    assert words.startswith("about") and words.endswith("left")
    assert left(30, done=1) == "about 30 s left"
    assert left(12) == "about 18 s left"
    assert left(40) == "longer than expected"
    assert left(0, detail="done", done=2) == "done"


@pytest.mark.parametrize("title", [None, "SparseGPT: OPT-175B, zero-shot", "SlimLLM: LLaMA-7B", "SlimLLM: LLaMA-2-7B"])
def test_published_shows_each_table_with_its_protocol(store, title):
    app = open_app("views/published.py")
    if title:
        app.selectbox(key="published_table_name").set_value(title).run()
    assert not app.exception and charts(app) and len(app.dataframe) == 1
    said = " ".join(caption.value for caption in app.caption)
    assert ("windows of 2048" if title is None else "0-shot" if "Slim" in title else "Zero-shot") in said
    if title and "Slim" in title:
        app.segmented_control(key="published_tuned").set_value("after LoRA tuning").run()
        assert not app.exception and "after LoRA tuning" in app.caption[0].value


def test_published_shows_ours_apart_where_methods_text_and_window_agree(store):
    store.put(result("dense", 20.0, corpus="wikitext2"))
    store.put(result("wanda", 25.0, 0.3, corpus="wikitext2"))
    app = open_app("views/published.py")
    assert len(charts(app)) == 1 and "None of them was measured here" in app.caption[-1].value
    store.put(result("sparsegpt", 24.0, 0.3, corpus="wikitext2"))
    app.run()
    assert len(charts(app)) == 2
    drawn = charts(app)[1].proto.spec
    assert "SparseGPT" in drawn and "Wanda" not in drawn
    assert "Another model than the paper's" in " ".join(caption.value for caption in app.caption)
    app.segmented_control(key="published_text").set_value("c4").run()
    assert len(charts(app)) == 1 and not app.exception
