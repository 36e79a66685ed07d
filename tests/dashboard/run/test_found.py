"""The Run page says what is in a folder's model before anything is computed, and asks before a partial compression."""

import pytest

from tests.core.tiny import tiny
from tests.dashboard.opened import open_app, read
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("store", "typing")


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Return the Run page with a model that is saved in a folder."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))

    def open_with(model):
        model.save_pretrained(tmp_path / "mine")
        app = open_app("run/view.py")
        app.selectbox(key="run_model").set_value(str(tmp_path / "mine")).run()
        assert not app.exception
        return app

    return open_with


def test_the_experts_and_what_does_not_run_are_shown(opened):
    app = opened(tiny("mixtral"))
    assert "Experts" not in read(app)
    app.toggle(key="run_found").set_value(True).run()
    assert "**Experts**: 8 in a layer, 2 for each token" in read(app) and not app.error
    refused = next(text.value for text in app.markdown if "one FFN in every block" in text.value)
    assert "`slimllm`" in refused and "`reap`" not in refused
    (sweep,) = app.table
    assert [*sweep.value.index] == ["dense", "rtn@4bit", "gptq@4bit", "wanda@0.5", "sparsegpt@2:4", "reap@0.25"]
    assert all("GB" in memory for memory in sweep.value["memory"])
    next(one for one in app.button if one.label == "Fill the grid with this sweep").click().run()
    assert app.text_area(key="run_chains").value == "\n".join(sweep.value.index[1:])
    assert not app.error and not app.button(key="run_start").disabled


def test_a_model_with_many_weights_outside_of_linears_asks_for_consent(opened):
    app = opened(tiny_model("llama4_text"))
    (error,) = app.error
    assert "of the block weights of mine are in no linear" in error.value
    assert app.button(key="run_start").disabled
    app.toggle(key="run_found").set_value(True).run()
    assert "**Experts**: some in a layout that is not taken apart" in read(app)
    app.checkbox(key="run_partial").set_value(True).run()
    assert not app.error and not app.button(key="run_start").disabled


def test_a_catalogue_model_has_no_switch(opened):
    app = open_app("run/view.py")
    assert "run_found" not in [one.key for one in app.toggle]
