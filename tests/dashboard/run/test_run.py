"""The Run page: its fields, the runs that it queues, and its errors."""

import os
import re

from sqlalchemy import update

from core.base.paths import cached_variant
from core.engine.variants import describe
from core.request.baseline import baseline
from core.request.complete import complete
from core.request.expected import estimate
from core.request.settings import RunSettings
from core.request.stages import DEFAULT_LIMIT
from core.specs import Perplexity
from core.store.tables import jobs
from dashboard import data
from dashboard.run.chain_form import first_chain
from tests.core.factories import make, perplexity
from tests.dashboard.opened import chain_field, open_app, read

TEXT = [Perplexity.parse("passages-eval@2048:16")]


def test_run_estimates_and_queues_the_requested_run(store):
    app = open_app("run/view.py")
    app.selectbox(key="run_card0_method").set_value("wanda").run()
    app.number_input(key="run_card0_ratio").set_value(0.3).run()
    app.multiselect(key="run_tasks").set_value(["piqa"]).run()
    limit = app.number_input(key="run_limit")
    assert limit.value == DEFAULT_LIMIT
    limit.set_value(20).run()
    app.selectbox(key="run_scoring").set_value("bf16").run()
    assert "Takes" in page_text(app) and "GB of memory" in page_text(app)
    assert "The packed size is 219 MB, 81 % of the dense model's 269 MB." in page_text(app)
    app.button(key="run_start").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.variant.stages[0].method == "wanda" and job.spec.variant.stages[0].ratio == 0.3
    assert [str(task) for task in job.spec.tasks] == ["piqa:20"] and job.spec.scoring == "bfloat16"
    assert "Wanda 30 %, passages, smollm2-135m" in read(app)
    assert app.toast[0].value.replace("\\", "") == "Queued Wanda 30 %, passages, smollm2-135m."
    assert "This run is in the queue." in page_text(app) and app.button(key="run_start").disabled


def test_fields_for_texts_and_seed_appear_if_a_stage_needs_them(store):
    app = open_app("run/view.py")

    def shown(chain):
        chain_field(app).set_value(chain).run()
        keys = {field.key for kind in (app.number_input, app.selectbox) for field in kind}
        return keys & {"run_calibration_corpus", "run_train_corpus", "run_seed"}

    assert shown("magnitude@0.5") == set()
    assert shown("wanda@0.5") == {"run_calibration_corpus", "run_seed"}
    assert shown("magnitude@0.5+lora") == {"run_train_corpus", "run_seed"}
    assert shown("wanda@0.5+lora") == {"run_calibration_corpus", "run_train_corpus", "run_seed"}
    assert shown("magnitude@0.5+lora,text=c4-sample:64x128,seed=1") == set()


def test_settings_of_one_stage_override_those_of_all_stages(store):
    app = open_app("run/view.py", chain="wanda@0.4+sparsegpt@0.6,text=passages-calibration:4x128+lora")
    app.number_input(key="run_seed").set_value(3).run()
    app.number_input(key="run_calibration_windows").set_value(8).run()
    app.number_input(key="run_train_windows").set_value(64).run()
    assert app.text_input(key="run_card1_text").value == "passages-calibration:4x128"
    assert app.text_input(key="run_card0_text").placeholder == "passages-calibration:8x2048"
    assert app.text_input(key="run_card2_text").placeholder == "passages-calibration:64x256"
    app.number_input(key="run_card2_seed").set_value(5).run()
    app.button(key="run_start").click().run()
    (job,) = data.queue().jobs()
    stages = job.spec.variant.stages
    assert [stage.calibration.windows for stage in stages] == [8, 4, 64]
    assert [stage.seed for stage in stages] == [3, 3, 5]


def page_text(app):
    """Return the Markdown and the captions of the page."""
    return " ".join(text.value for text in (*app.markdown, *app.caption))


def stored(store, spec):
    """Store a perplexity for the variant of a run."""
    made = make(perplexity(30.0, "passages-eval"))
    store.put(made.model_copy(update={"variant": describe(spec.variant)}))


def test_a_measured_run_links_its_results_instead_of_starting(store):
    spec = complete("smollm2-135m", "sparsegpt@0.5", RunSettings(perplexity=TEXT))
    stored(store, spec)
    app = open_app("run/view.py", chain="sparsegpt@0.5")
    assert "also measures the dense model under the same protocol" in page_text(app)
    assert "This variant has results" in page_text(app)
    assert not app.button(key="run_start").disabled
    stored(store, baseline(spec))
    app.run()
    assert "All results are stored already." in page_text(app)
    assert app.button(key="run_start").disabled
    (way,) = (link for link in app.page_link if link.value == "Show on Explore")
    assert "explore_series=SparseGPT" in way.proto.query_string
    job = data.queue().submit(spec)
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job).values(state="done", finished=1.0))
    app.run()
    assert [link.value for link in app.page_link].count("Show on Explore") == 1  # that of the job
    app.number_input(key="run_card0_ratio").set_value(0.3).run()
    assert "Takes" in page_text(app) and not app.button(key="run_start").disabled


def test_the_form_proposes_an_unmeasured_run(store):
    assert first_chain() == "wanda@0.5"
    for chain in ("wanda@0.5", "wanda@0.45"):
        spec = complete("smollm2-135m", chain, RunSettings(perplexity=TEXT))
        stored(store, spec)
        stored(store, baseline(spec))
    assert first_chain() == "wanda@0.55"


def test_the_time_is_a_range_while_other_programs_run(store, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "LOADS", tmp_path / "loads")
    app = open_app("run/view.py", chain="wanda@0.5")
    for load, now, busy in ((0.1, 3.0, False), (3.0, 0.0, False), (3.0, 3.0, True)):
        (tmp_path / "loads").write_text(f"9.9 9.9 9.9 {int(now * os.cpu_count()) + 1}/900 1")
        monkeypatch.setattr("psutil.getloadavg", lambda load=load: (load * os.cpu_count(), 0.0, 0.0))
        text = page_text(app.run())
        assert (re.search(r"Takes \*\*about \d+( s| min)? to \d+ (s|min|h)\*\*", text) is not None) is busy
        assert ("because this machine is busy" in text) is busy


def test_the_estimate_names_a_cached_variant(store, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    app = open_app("run/view.py", chain="wanda@0.5+lora,minutes=7")
    assert "starts from a cached variant" not in page_text(app)
    cached_variant(complete("smollm2-135m", "wanda@0.5").variant.key).mkdir(parents=True)
    assert "The run starts from a cached variant with 1 of 2 stages." in page_text(app.run())


def test_a_mistake_shows_one_error_and_keeps_the_form(store, typing):
    app = open_app("run/view.py", chain="sparsegpt@0.35+lora")
    for key, value, named in (
        ("run_model", "smolm2-135m", "'smollm2-135m'"),
        ("run_model", "", "No model"),
        ("run_calibration_corpus", "wikitext3", "wikitext"),
        ("run_card0_layers", "99:100", "blocks 0 to 29"),
        ("run_card0_ratio", 1.5, "Ratio 1.5"),
        ("run_window", 99_999, "99999"),
        ("run_memory", "much", "'much'"),
        ("run_perplexity", [], "No measurement"),
        ("run_train_corpus", "/no/such/file.txt", "/no/such/file.txt"),
    ):
        before = app.session_state[key]
        app.session_state[key] = value
        app.run()
        (error,) = app.error
        assert named in error.value and "Traceback" not in error.value and not app.exception, key
        assert app.button(key="run_start").disabled and app.session_state[key] == value
        assert key == "run_card0_ratio" or app.number_input(key="run_card0_ratio").value == 0.35
        app.session_state[key] = before
    app.run()
    assert not app.error and not app.button(key="run_start").disabled


def test_a_run_that_exceeds_its_memory_and_cannot_stream_is_refused(store):
    app = open_app("run/view.py", chain="slicegpt@0.3", run_memory="600MB")
    (error,) = app.error
    assert "SliceGPT" in error.value and app.button(key="run_start").disabled
    app.text_input(key="run_memory").set_value("50GB").run()
    assert not app.error and not app.button(key="run_start").disabled


def test_few_shot_fields_appear_with_tasks_and_limit_the_examples(store):
    app = open_app("run/view.py", run_tasks="MMLU")
    keys = {field.key for field in app.selectbox}
    assert "run_template" in keys and not {"run_selector", "run_order"} & keys
    app.number_input(key="run_shots").set_value(4).run()
    assert {"run_selector", "run_order"} <= {field.key for field in app.selectbox}
    app.number_input(key="run_limit").set_value(10).run()
    assert not app.button(key="run_start").disabled
    app.number_input(key="run_shots").set_value(6).run()
    assert "MMLU has 5" in app.error[0].value and app.button(key="run_start").disabled
