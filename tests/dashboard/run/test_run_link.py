"""The address of the Run page: it contains the whole form, and invalid values in it raise no exception."""

import pytest

from core.cache import hub
from core.request.complete import complete
from core.specs import Fewshot, Perplexity, Task, TextWindows
from dashboard import data
from tests.dashboard.opened import chain_field, open_app

pytestmark = pytest.mark.usefixtures("store")
LINK = {
    "run_model": "smollm2-360m",
    "chain": "wanda@0.3+lora,minutes=5",
    "run_calibration_corpus": "c4-sample",
    "run_calibration_windows": "8",
    "run_calibration_window": "1024",
    "run_train_corpus": "alpaca",
    "run_train_windows": "64",
    "run_train_window": "128",
    "run_seed": "3",
    "run_perplexity": ["WikiText-2", "PTB (test)"],
    "run_window": "512",
    "run_windows": "0",
    "run_tasks": ["PIQA", "BoolQ"],
    "run_limit": "20",
    "run_scoring": "bf16",
    "run_shots": "4",
    "run_selector": "most like the question",
    "run_order": "most similar last",
    "run_template": "as turns of a chat",
    "run_fidelity": "true",
    "run_latency": "true",
    "run_dtype": "float16",
    "run_device": "cuda:1",
    "run_memory": "20GB",
    "run_threads": "3",
}

SHOTS = Fewshot.parse("4,selector=nearest,order=similar-last,template=chat")


def address(app):
    return {name: values if len(values) > 1 else values[0] for name, values in app.query_params.items()}


@pytest.mark.parametrize("texts", [LINK["run_perplexity"], ["wikitext2", "ptb"]], ids=["names", "ids of older links"])
def test_a_link_restores_the_whole_form(texts, monkeypatch, typing):
    monkeypatch.setattr(hub, "revision", lambda *_: 40 * "0")
    app = open_app("run/view.py", **LINK | {"run_perplexity": texts})
    assert not app.error
    app.button(key="run_start").click().run()
    (job,) = data.queue().active()
    assert job.spec == complete(
        "smollm2-360m",
        "wanda@0.3+lora,minutes=5",
        calibration=TextWindows.parse("c4-sample:8x1024"),
        train=TextWindows.parse("alpaca:64x128"),
        seed=3,
        perplexity=[Perplexity.parse("wikitext2@512"), Perplexity.parse("ptb@512")],
        tasks=[Task(task=name, limit=20, fewshot=SHOTS) for name in ("piqa", "boolq")],
        scoring="bfloat16",
        fidelity=True,
        latency=True,
        dtype="float16",
        device="cuda:1",
        memory=20 * 10**9,
        threads=3,
    )
    assert address(app) == LINK


def test_default_values_are_omitted_from_the_address():
    app = open_app("run/view.py", chain="wanda@0.3")
    app.number_input(key="run_seed").set_value(0).run()
    assert address(app) == {"chain": "wanda@0.3"}


def test_a_link_restores_a_grid():
    link = {
        "run_mode": "Grid",
        "run_chains": "wanda@\nmagnitude@+lora",
        "run_amounts": ["0.35", "2:4"],
        "run_seeds": ["0", "7"],
    }
    app = open_app("run/view.py", **link)
    assert not app.error
    assert app.text_area(key="run_chains").value == link["run_chains"]
    assert app.multiselect(key="run_amounts").value == link["run_amounts"]
    assert app.multiselect(key="run_seeds").value == link["run_seeds"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("run_windows", "many"), ("run_windows", "-1"), ("run_limit", "x"), ("run_latency", "maybe")),
        *(("run_tasks", "nonsense"), ("run_dtype", "float8"), ("run_scoring", "fp8"), ("run_mode", "Nothing")),
        *(("run_seed", "99999999999999"), ("run_window", "1")),
    ],
)
def test_an_invalid_value_in_a_link_is_ignored(field, value):
    app = open_app("run/view.py", chain="wanda@0.3", **{field: value})
    assert not app.error and not app.exception
    assert not app.button(key="run_start").disabled and chain_field(app).value == "wanda@0.3"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("run_model", "nonsense", "Unknown model 'nonsense'"),
        ("run_device", "gpu", "Unknown device 'gpu'"),
        ("run_calibration_corpus", "nonsense", "Unknown corpus 'nonsense'"),
        ("run_perplexity", "nonsense", "Unknown corpus 'nonsense'"),
    ],
)
def test_an_unknown_name_in_a_link_shows_one_error(field, value, sentence):
    app = open_app("run/view.py", chain="wanda@0.3", **{field: value})
    (error,) = app.error
    assert sentence in error.value and not app.exception and app.button(key="run_start").disabled


def test_the_form_is_kept_while_another_page_is_open():
    app = open_app("run/view.py", chain="wanda@0.3", run_windows="8", run_spread="true", run_tasks="PIQA")
    app.switch_page("published/view.py").run()
    app.switch_page("run/view.py").run()
    assert app.number_input(key="run_windows").value == 8
    assert app.checkbox(key="run_spread").value
    assert app.multiselect(key="run_tasks").value == ["piqa"]
