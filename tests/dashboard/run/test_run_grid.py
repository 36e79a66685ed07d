"""A grid on the Run page: its fields, its messages and the runs that it queues."""

import pytest

from core.engine.variants import describe
from core.notation.chain import format_chain
from core.request.complete import complete
from core.specs import Perplexity
from dashboard import data
from dashboard.run.grid_form import opened
from dashboard.run.proposals import grid_amounts
from tests.core.factories import make, perplexity
from tests.dashboard.opened import chain_field, open_app

TEXT = [Perplexity.parse("passages-eval@2048:16")]


def open_grid(chains, amounts=("0.3", "2:4"), **query):
    app = open_app("run/view.py", run_mode="Grid", run_chains=chains, run_amounts=list(amounts), **query)
    assert not app.exception
    return app


def page_text(app):
    return " ".join(text.value for text in (*app.markdown, *app.caption))


def queued():
    return [(format_chain(job.spec.variant.stages), job.spec.variant.stages[-1].seed) for job in data.queue().active()]


def test_a_grid_queues_unmeasured_runs(store):
    spec = complete("smollm2-135m", "wanda@0.3", perplexity=TEXT)
    store.put(make(perplexity(30.0, "passages-eval")).model_copy(update={"variant": describe(spec.variant)}))
    dense = complete("smollm2-135m", "dense", perplexity=TEXT)
    app = open_grid("wanda@\nmagnitude@+adaprune", run_seeds=["0", "1"])
    assert "9 runs including the dense model: 9 to start" in page_text(app)  # wanda@0.3 lacks its baseline
    store.put(make(perplexity(20.0, "passages-eval")).model_copy(update={"variant": describe(dense.variant)}))
    app.run()
    assert "9 runs including the dense model: 2 already measured; 7 to start" in page_text(app)
    app.button(key="run_start").click().run()
    message = app.toast[0].value.replace("\\", "")
    assert message == "Queued 7 runs of wanda@ and 1 more."
    assert queued() == [
        *(("wanda@0.3", 1), ("wanda@2:4", 0), ("wanda@2:4", 1)),
        *(("magnitude@0.3+adaprune", 0), ("magnitude@0.3+adaprune", 1)),
        *(("magnitude@2:4+adaprune", 0), ("magnitude@2:4+adaprune", 1)),
    ]
    assert "7 in the queue" in page_text(app) and app.button(key="run_start").disabled


def test_a_grid_begins_with_the_chain_of_the_form(store):
    app = open_app("run/view.py", chain="wanda@0.4+lora,minutes=5")
    app.segmented_control(key="run_mode").set_value("Grid").run()
    assert app.text_area(key="run_chains").value == "wanda@+lora,minutes=5"
    assert "4 runs" in page_text(app)
    assert {field.key for field in app.selectbox} >= {"run_calibration_corpus", "run_train_corpus"}
    app.segmented_control(key="run_mode").set_value("One run").run()
    assert chain_field(app).value == "wanda@0.4+lora,minutes=5"
    chain_field(app).set_value("magnitude@2:4").run()
    app.segmented_control(key="run_mode").set_value("Grid").run()
    assert app.text_area(key="run_chains").value == "magnitude@"  # it was not edited
    assert "run_seeds" not in {field.key for field in app.multiselect}  # nothing draws


def test_a_grid_opens_with_amounts_that_have_no_results(fresh, monkeypatch):
    monkeypatch.setattr(data, "corpora_here", lambda: ("passages-eval", "passages-calibration"))
    bundled = {"0.3", "0.5", "0.7"}  # of SparseGPT on passages-eval
    amounts = set(grid_amounts("sparsegpt@"))
    assert len(amounts) == 3 and not amounts & bundled
    app = open_app("run/view.py", chain="sparsegpt@0.5")
    app.segmented_control(key="run_mode").set_value("Grid").run()
    assert set(app.multiselect(key="run_amounts").value) == amounts
    assert "All results are stored already." not in page_text(app) and not app.button(key="run_start").disabled


@pytest.mark.parametrize(
    ("chain", "amounts"),
    [("wanda@+lora", ["0.3", "0.5", "0.7"]), ("gptq@", ["2bit", "3bit", "4bit"]), ("wandaa@", ["0.3", "0.5", "0.7"])],
)
def test_a_grid_proposes_amounts_that_its_stage_takes(store, chain, amounts):
    assert grid_amounts(chain) == amounts


@pytest.mark.parametrize(
    ("chain", "with_open"),
    [
        ("wanda@0.5", "wanda@"),
        ("wanda@2:4,layers=0:9+lora", "wanda@,layers=0:9+lora"),
        ("magnitude@0.3+lora+wanda@0.6,seed=2", "magnitude@0.3+lora+wanda@,seed=2"),
        ("dense", "dense"),
        ("wanda@0.5+", "wanda@0.5+"),
    ],
)
def test_a_grid_opens_the_last_amount_of_a_chain(chain, with_open):
    assert opened(chain) == with_open


def test_a_grid_offers_bits_and_factors_if_a_stage_takes_them(store):
    def offered(chains):
        (amounts,) = (field for field in open_grid(chains).multiselect if field.key == "run_amounts")
        return set(amounts.options)

    assert {"2bit", "4bit"} <= offered("wanda@\ngptq@") and "4bit" not in offered("wanda@")
    assert {"1.5x", "2x"} <= offered("slimllm@0.2+tensor-train@") and "2x" not in offered("wanda@\ngptq@")


@pytest.mark.parametrize(
    ("chains", "more", "sentence"),
    [
        ("wanda@\nwandaa@", {}, "Unknown stage 'wandaa'"),
        ("wanda@", {"run_amounts": ["half"]}, "'half' is not an amount; give a ratio (0.5), N:M"),
        ("wanda@", {"run_amounts": ["1.5"]}, "Ratio 1.5 is outside [0, 1)"),
        ("wanda@", {"run_amounts": []}, "choose at least one amount"),
        ("wanda@", {"run_seeds": ["-1"]}, "Seed '-1' is not a whole number"),
        ("wanda@", {"run_seeds": []}, "The grid has no seed"),
        ("shortgpt@", {}, "ShortGPT does not support N:M sparsity"),
        ("gptq@", {}, "GPTQ takes no ratio; give bits per weight"),
        ("tensor-train@", {}, "Tensor train takes no ratio; give a factor, such as tensor-train@2x."),
        ("wanda@@", {}, "expected + or ,name=value"),
    ],
)
def test_a_mistake_in_a_grid_shows_one_error(store, chains, more, sentence):
    app = open_grid(chains)
    for key, value in more.items():
        app.session_state[key] = value
    app.run()
    (error,) = app.error
    assert sentence in error.value and app.button(key="run_start").disabled and not app.exception


def test_a_grid_of_too_many_runs_is_rejected(store):
    app = open_grid("wanda@", ["0.1", "0.2"], run_seeds=[str(seed) for seed in range(101)])
    (error,) = app.error
    assert error.value == "The grid has 203 runs; the maximum is 200. Remove chains, amounts or seeds."
    assert app.button(key="run_start").disabled
