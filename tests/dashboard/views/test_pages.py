"""Each page run through Streamlit's own tester, on a store of made-up results and a queue that starts no process."""

import pytest
import streamlit as st
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from core import paths
from core.engine.variants import describe
from core.jobs.queue import Queue
from core.request.complete import complete
from core.specs import Perplexity
from core.store.database import database_url
from core.store.store import Store
from core.store.tables import jobs
from dashboard import data
from dashboard.panels import offers
from tests.core.made import make, perplexity
from tests.dashboard.synthetic import TRAINING, curve, result

APP = str(paths.PROJECT / "dashboard" / "app.py")


@pytest.fixture
def store(results_dir, monkeypatch, tmp_path):
    """An empty store; no shipped rows beside it."""
    monkeypatch.setattr(paths, "SHIPPED_MEASURED", tmp_path / "shipped")
    monkeypatch.delenv("SLIMSCOPE_DATA", raising=False)
    st.cache_data.clear()
    st.cache_resource.clear()
    store = Store(database_url(None))
    queue = Queue(store)
    monkeypatch.setattr(data, "queue", lambda: queue)
    return store


@pytest.fixture
def filled(store):
    for one in curve():
        store.put(one)
    return store


def open_app(page=None, typed=None, **query) -> AppTest:
    """Open a page by an address with `query`; `typed` are values that inputs hold already."""
    app = AppTest.from_file(APP, default_timeout=30)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    for key, value in (typed or {}).items():
        app.session_state[key] = value
    if page:
        app.switch_page(page).run()
    assert not app.exception
    return app


def charts(app):
    return app.get("plotly_chart")


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
    spec = complete("smollm2-135m", "magnitude", 0.9, perplexity=[Perplexity.parse("passages-eval@2048:16")])
    reached = make(perplexity(30.0, "passages-eval"), zeros=80)
    store.put(reached.model_copy(update={"variant": describe(spec.variant, {})}))
    told = "80.0% of the block weights were removed, not the 90.0% that were asked for."
    assert told in [caption.value for caption in open_app(explore_point="Magnitude, 90 %").caption]
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == data.queue().submit(spec)).values(state="done"))
    assert told in [caption.value for caption in open_app("views/run.py").caption]


def test_a_checkpoint_is_asked_for_in_a_folder_that_is_new(store, tmp_path):
    spec = complete("smollm2-135m", "magnitude", 0.5, perplexity=[Perplexity.parse("passages-eval@2048:16")])
    dense = complete("smollm2-135m", "dense", perplexity=list(spec.perplexity))
    for one in (dense, spec):
        made = make(perplexity(30.0, "passages-eval"))
        store.put(made.model_copy(update={"variant": describe(one.variant, {})}))
    app = open_app(explore_point="Magnitude, 50 %")
    app.text_input(key="explore_folder").set_value("model").run()
    app.button(key="explore_save").click().run()
    assert not data.queue().jobs()
    app.text_input(key="explore_folder").set_value(str(tmp_path / "model")).run()
    app.button(key="explore_save").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.save == str(tmp_path / "model")
    assert job.spec.variant == spec.variant and not job.spec.perplexity


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
    app.text_input(key="run_distill-white_minutes").set_value("5").run()
    app.number_input(key="run_recovery_windows").set_value(64).run()
    app.selectbox(key="run_method").set_value("magnitude").run()
    app.number_input(key="run_seed").set_value(3).run()
    app.button(key="run_start").click().run()
    (job,) = data.queue().jobs()
    recovery = job.spec.variant.stages[1]
    assert (recovery.method, recovery.parameters) == ("distill-white", {"temperature": 2.0, "minutes": 5.0})
    assert str(recovery.calibration) == "passages-calibration:64x256"
    assert (recovery.seed, job.spec.variant.stages[0].seed) == (3, None)
    assert "Magnitude, 50 %, then White-box distillation" in " ".join(text.value for text in app.markdown)
    app.text_input(key="run_distill-white_rank").set_value("many").run()
    assert "rank = 'many' does not fit" in app.error[0].value and not app.exception


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
    assert "Wanda, 30 %, smollm2-135m" in " ".join(text.value for text in app.markdown)


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
    recovered = complete("smollm2-135m", "magnitude", 0.5, recovery="lora")
    kept = result("magnitude", 30.0, 0.5)
    details = {"training": TRAINING | {"ended": "cancelled"}}
    variant = kept.variant.model_copy(update={"key": recovered.variant.key, "details": details})
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


def test_durations_are_words():
    assert offers.duration(20) == "under 1 min"
    assert offers.duration(372) == "about 6 min"
    assert offers.duration(9000) == "about 2.5 h"
