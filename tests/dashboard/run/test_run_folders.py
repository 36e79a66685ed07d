"""The Run page with folders, text files and invalid models that an address or a field names."""

import pytest

from core.models.kinds import folder
from tests.core.tiny import tiny
from tests.core.tiny_folder import edit, write_tiny_folder
from tests.dashboard.opened import open_app, read
from tools.architectures.models import tiny_model

pytestmark = pytest.mark.usefixtures("store", "typing")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def opened(tmp_path):
    """Open the Run page with a model, whose folder is typed."""

    def open_with(model):
        model.save_pretrained(tmp_path / "mine")
        app = open_app("run/view.py")
        assert "run_found" not in [one.key for one in app.toggle]  # of a catalogue model
        app.selectbox(key="run_model").set_value(str(tmp_path / "mine")).run()
        assert not app.exception and "run_model_read" not in keys(app)
        return app

    return open_with


def keys(app):
    return [button.key for button in app.button]


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


@pytest.fixture
def model_folder(tmp_path):
    tiny().save_pretrained(tmp_path / "$my$ model")
    return tmp_path / "$my$ model"


def test_a_folder_in_a_link_is_read_after_confirmation(model_folder, cache, monkeypatch):
    seen, real = [], folder.folder_source
    monkeypatch.setattr(folder, "folder_source", lambda path, *more: (seen.append(path), real(path, *more))[1])
    app = open_app("run/view.py", run_model=str(model_folder))
    assert not seen and not list(cache.glob("folders/*"))
    assert str(model_folder) in [text.value for text in app.text]
    assert app.button(key="run_start").disabled and not app.error
    app.number_input(key="run_card0_ratio").set_value(0.3).run()
    assert not seen
    app.button(key="run_model_read").click().run()
    assert seen and "run_model_read" not in keys(app)
    assert app.number_input(key="run_window").placeholder == "auto (128)"  # the model's longest
    assert not app.error and not app.button(key="run_start").disabled
    app.selectbox(key="run_model").set_value("smollm2-135m").run()
    app.selectbox(key="run_model").set_value(str(model_folder)).run()
    assert "run_model_read" not in keys(app)
    app.number_input(key="run_calibration_window").set_value(2048).run()
    (error,) = app.error
    assert "the model has only 128" in error.value


def test_an_invalid_model_or_path_in_a_link_shows_an_error(model_folder):
    (model_folder / "config.json").write_text('{"hidden_size": "64"}')
    app = open_app("run/view.py", run_model=str(model_folder))
    app.button(key="run_model_read").click().run()
    assert "hidden_size = '64'" in app.error[0].value and not app.exception
    for name in ("~nouser/x", "n" * 300, "no/" + "n" * 300):
        app = open_app("run/view.py", run_model=name)
        assert name[:20] in app.error[0].value  # a long one is shortened


@pytest.mark.matrix(field=None)
@pytest.mark.parametrize("field", ["run_perplexity", "run_calibration_corpus"])
def test_a_text_file_in_a_link_is_read_after_confirmation(tmp_path, cache, field):
    file = tmp_path / "own text.txt"
    file.write_text("Some words of a text. " * 20000)
    app = open_app("run/view.py", chain="wanda@0.5", **{field: str(file)})
    assert str(file) in [text.value for text in app.text] and app.button(key="run_start").disabled
    assert not list(cache.glob("texts/*")) and not app.error
    (button,) = (button for button in app.button if button.label == "Read this file")
    button.click().run()
    assert list(cache.glob("texts/*")) and not app.error
    assert not app.button(key="run_start").disabled


def test_a_model_of_another_kind_is_refused(tmp_path):
    write_tiny_folder(tmp_path)
    edit(tmp_path / "tiny", architectures=["ViTModel"])
    app = open_app("run/view.py", chain="wanda@0.5")
    app.selectbox(key="run_model").set_value(str(tmp_path / "tiny")).run()
    (error,) = app.error
    assert "is a ViTModel, not a causal language model" in error.value and app.button(key="run_start").disabled
