"""The address of the Run page: it contains the whole form, and invalid values in it raise no exception."""

import pytest

from core.cache import hub
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Fewshot, Perplexity, Task, TextWindows
from dashboard import data
from tests.dashboard.opened import chain_field, open_app

pytestmark = pytest.mark.usefixtures("store")
LINK = {
    **{"run_model": "smollm2-360m", "chain": "wanda@0.3+lora,minutes=5", "run_seed": "3"},
    **{"run_calibration_corpus": "c4-sample", "run_calibration_windows": "8", "run_calibration_window": "1024"},
    **{"run_train_corpus": "alpaca", "run_train_windows": "64", "run_train_window": "128"},
    **{"run_perplexity": ["WikiText-2", "PTB (test)"], "run_window": "512", "run_windows": "0"},
    **{"run_tasks": ["PIQA", "BoolQ"], "run_limit": "20", "run_scoring": "bf16", "run_shots": "4"},
    **{"run_selector": "most like the question", "run_order": "most similar last"},
    **{"run_template": "as turns of a chat", "run_fidelity": "true", "run_latency": "true"},
    **{"run_dtype": "float16", "run_device": "cuda:1", "run_memory": "20GB", "run_threads": "3"},
}
SHOTS = Fewshot.parse("4,selector=nearest,order=similar-last,template=chat")


def address(app):
    return {name: values if len(values) > 1 else values[0] for name, values in app.query_params.items()}


def test_a_link_restores_the_whole_form(monkeypatch, typing):
    monkeypatch.setattr(hub, "revision", lambda *_: 40 * "0")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    app = open_app("run/view.py", **LINK | {"run_perplexity": ["WikiText-2", "ptb"]})  # an older link has ids
    assert not app.error
    app.button(key="run_start").click().run()
    (job,) = data.queue().active()
    machine = {"dtype": "float16", "device": "cuda:1", "memory": 20 * 10**9, "threads": 3}
    assert job.spec == complete(
        *("smollm2-360m", "wanda@0.3+lora,minutes=5"),
        RunSettings(
            calibration=TextWindows.parse("c4-sample:8x1024"),
            train=TextWindows.parse("alpaca:64x128"),
            perplexity=[Perplexity.parse("wikitext2@512"), Perplexity.parse("ptb@512")],
            tasks=[Task(task=name, limit=20, fewshot=SHOTS) for name in ("piqa", "boolq")],
            **{"seed": 3, "scoring": "bfloat16", "fidelity": True, "latency": True} | machine,
        ),
    )
    assert address(app) == LINK


def test_invalid_and_default_values_of_a_link_are_ignored():
    invalid = {
        **{"run_windows": "many", "run_limit": "x", "run_latency": "maybe", "run_tasks": "nonsense"},
        **{"run_dtype": "float8", "run_scoring": "fp8", "run_mode": "Nothing", "run_seed": "99999999999999"},
        **{"run_window": "1", "run_calibration_windows": "-1"},
    }
    app = open_app("run/view.py", chain="wanda@0.3", **invalid)
    assert not app.error and not app.button(key="run_start").disabled and chain_field(app).value == "wanda@0.3"
    app = open_app("run/view.py", chain="wanda@0.3")
    app.number_input(key="run_seed").set_value(0).run()
    assert address(app) == {"chain": "wanda@0.3"}


def test_each_unknown_name_in_a_link_has_an_error():
    unknown = {"run_device": "gpu", "run_calibration_corpus": "nonsense", "run_perplexity": "noise"}
    app = open_app("run/view.py", chain="wanda@0.3", **unknown)
    errors = " ".join(error.value for error in app.error)
    assert len(app.error) == 3 and all(f"'{name}'" in errors for name in unknown.values())
    assert app.button(key="run_start").disabled
