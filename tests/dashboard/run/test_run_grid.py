"""A grid on the Run page: its fields, its messages and the runs that it queues."""

import pytest

from core.engine.variants import describe
from core.notation.chain import format_chain
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity
from dashboard import data
from dashboard.run.grid_form import grid_amounts, opened
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
    spec = complete("smollm2-135m", "wanda@0.3", RunSettings(perplexity=TEXT))
    store.put(make(perplexity(30.0, "passages-eval")).model_copy(update={"variant": describe(spec.variant)}))
    dense = complete("smollm2-135m", "dense", RunSettings(perplexity=TEXT))
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


def test_a_grid_proposes_amounts_that_its_stage_takes_without_results(store):
    assert grid_amounts("wanda@+lora") == grid_amounts("wandaa@") == ["0.3", "0.5", "0.7"]
    assert grid_amounts("gptq@") == ["2bit", "3bit", "4bit"]
    for chain in ("dense", "sparsegpt@0.3", "sparsegpt@0.7"):
        spec = complete("smollm2-135m", chain, RunSettings(perplexity=TEXT))
        store.put(make(perplexity(30.0, "passages-eval")).model_copy(update={"variant": describe(spec.variant)}))
    amounts = set(grid_amounts("sparsegpt@"))
    assert len(amounts) == 3 and "0.5" in amounts and not amounts & {"0.3", "0.7"}


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


def test_a_mistake_in_a_grid_shows_one_error(store):
    app = open_grid("wanda@")
    good = {"run_chains": "wanda@", "run_amounts": ["0.3", "2:4"], "run_seeds": ["0"]}
    for key, value, named in (
        ("run_chains", "wanda@\nwandaa@", "'wandaa'"),
        ("run_chains", "shortgpt@", "ShortGPT"),
        ("run_chains", "tensor-train@", "tensor-train@2x"),
        ("run_amounts", ["half"], "'half'"),
        ("run_amounts", [], "at least one amount"),
        ("run_seeds", ["-1"], "'-1'"),
        ("run_seeds", [], "no seed"),
        ("run_seeds", [str(seed) for seed in range(101)], "203 runs; the maximum is 200"),
    ):
        for field, its in (good | {key: value}).items():
            app.session_state[field] = its
        app.run()
        (error,) = app.error
        assert named in error.value and app.button(key="run_start").disabled and not app.exception, key


def test_a_grid_offers_bits_and_factors_if_a_stage_takes_them(store):
    app = open_grid("wanda@\ngptq@")
    for chains, offered, others in (
        ("wanda@\ngptq@", {"2bit", "4bit"}, {"2x"}),
        ("wanda@", {"0.5"}, {"4bit"}),
        ("slimllm@0.2+tensor-train@", {"1.5x", "2x"}, {"4bit"}),
    ):
        app.text_area(key="run_chains").set_value(chains).run()
        options = set(app.multiselect(key="run_amounts").options)
        assert offered <= options and not options & others
