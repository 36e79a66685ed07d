"""The Run page with folders, text files and invalid models that an address names."""

import pytest

from core.engine.runs import run
from core.models.kinds import folder
from core.request.complete import complete
from tests.core.encoders import encoder
from tests.core.tiny import tiny
from tests.dashboard.opened import open_app

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def model_folder(tmp_path, monkeypatch, typing):
    """A folder with a model, and an empty cache."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    tiny().save_pretrained(tmp_path / "$my$ model")
    return tmp_path / "$my$ model"


def test_a_folder_in_a_link_is_read_after_confirmation(model_folder, monkeypatch):
    read, real = [], folder.folder_source
    monkeypatch.setattr(folder, "folder_source", lambda path: (read.append(path), real(path))[1])
    app = open_app("run/view.py", run_model=str(model_folder))
    assert not read and not list(model_folder.parent.glob("cache/folders/*"))
    assert str(model_folder) in [text.value for text in app.text]
    assert app.button(key="run_start").disabled and not app.error
    app.number_input(key="run_card0_ratio").set_value(0.3).run()
    assert not read
    app.button(key="run_model_read").click().run()
    assert read and "run_model_read" not in [button.key for button in app.button]
    assert app.number_input(key="run_window").placeholder == "auto (128)"  # the model's longest
    assert not app.error and not app.button(key="run_start").disabled
    app.selectbox(key="run_model").set_value("smollm2-135m").run()
    app.selectbox(key="run_model").set_value(str(model_folder)).run()
    assert "run_model_read" not in [button.key for button in app.button]


def test_a_typed_folder_is_read_at_once(model_folder):
    app = open_app("run/view.py")
    app.selectbox(key="run_model").set_value(str(model_folder)).run()
    assert "run_model_read" not in [button.key for button in app.button]
    assert not app.error
    app.number_input(key="run_calibration_window").set_value(2048).run()
    (error,) = app.error
    assert "the model has only 128" in error.value


@pytest.mark.parametrize(
    ("config", "sentence"),
    [("[]", "contains no JSON"), ('{"hidden_size": "64"}', "has hidden_size = '64'"), ("{", "not readable JSON")],
)
def test_an_invalid_model_in_a_link_shows_an_error(model_folder, config, sentence):
    (model_folder / "config.json").write_text(config)
    app = open_app("run/view.py", run_model=str(model_folder))
    app.button(key="run_model_read").click().run()
    assert sentence in app.error[0].value and not app.exception


@pytest.mark.parametrize("name", ["~nouser/x", "n" * 300, "no/" + "n" * 300])
def test_an_invalid_path_in_a_link_shows_an_error(name):
    app = open_app("run/view.py", run_model=name)
    assert name[:20] in app.error[0].value and not app.exception  # a long one is shortened


@pytest.mark.parametrize("field", ["run_perplexity", "run_calibration_corpus"])
def test_a_text_file_in_a_link_is_read_after_confirmation(tmp_path, monkeypatch, typing, field):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "own text.txt"
    file.write_text("Some words of a text. " * 20000)
    app = open_app("run/view.py", chain="wanda@0.5", **{field: str(file)})
    assert str(file) in [text.value for text in app.text] and app.button(key="run_start").disabled
    assert not list((tmp_path / "cache").glob("texts/*")) and not app.error
    (button,) = (button for button in app.button if button.label == "Read this file")
    button.click().run()
    assert list((tmp_path / "cache").glob("texts/*")) and not app.error
    assert not app.button(key="run_start").disabled


@pytest.fixture
def encoder_folder(tmp_path, monkeypatch, typing):
    """A folder with a convolutional model that reads no text."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    encoder().save_pretrained(tmp_path / "resnet")
    return tmp_path / "resnet"


def test_methods_for_convolutions_reject_language_models(encoder_folder):
    app = open_app("run/view.py", chain="conv-lowrank@0.5")
    (error,) = app.error
    assert "a language model has none; choose one of audio and vision encoders, such as Whisper" in error.value
    assert app.button(key="run_start").disabled
    app.selectbox(key="run_model").set_value(str(encoder_folder)).run()
    assert not app.error and not app.exception and not app.button(key="run_start").disabled
    assert "run_window" not in [field.key for field in app.number_input]  # there is nothing to measure
    app.selectbox(key="run_card0_method").set_value("wanda").run()
    (error,) = app.error
    assert "Wanda is for language models" in error.value and app.button(key="run_start").disabled


def test_pages_open_with_a_model_that_has_no_perplexity(encoder_folder, store):
    spec = complete(str(encoder_folder), "conv-lowrank@0.5")
    for wanted in (spec, complete(str(encoder_folder), "dense")):
        run(wanted, store)
    for mode in ("Curve", "Trade-off", "Several models"):
        app = open_app(explore_model="resnet", explore_mode=mode)
        assert app.selectbox(key="explore_model").value == "resnet" and not app.error
    assert not open_app("methods/view.py").error
    assert not open_app("run/view.py").error
