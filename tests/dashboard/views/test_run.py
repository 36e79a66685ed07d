"""The form of the Run page: what it asks for, what it queues, and what it says of a mistake."""

import pytest

from core.engine.variants import describe
from core.request.baseline import baseline
from core.request.complete import complete
from core.specs import Perplexity
from dashboard import data
from dashboard.charts import points
from tests.core.made import make, perplexity
from tests.dashboard.opened import open_app, read


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
