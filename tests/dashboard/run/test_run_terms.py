"""The Run page on a model that is fetched only once its terms are agreed to."""

import pytest

from core.base.errors import UserError
from core.models import terms
from dashboard.run import fields
from tests.dashboard.opened import open_app

GEMMA = "gemma3-270m"


@pytest.fixture(autouse=True)
def shown(store, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(terms, "terms_text", lambda *_: "## Duties")


def opened():
    return open_app("run/view.py", typed={fields.KEY: GEMMA})


def infos(app):
    return " ".join(box.value for box in app.info)


def keys(app):
    return [button.key for button in app.button]


def test_accepted_terms_enable_the_run(monkeypatch):
    def fail(*_):
        raise UserError("No network.")

    app = opened()
    assert "To download it (238 MB), accept the Gemma Terms of Use" in infos(app)
    assert app.button(key="run_start").disabled and not app.error
    with monkeypatch.context() as patch:
        patch.setattr(terms, "terms_text", fail)
        app.button(key="terms_read").click().run()
    assert [box.value for box in app.error] == ["No network."] and "terms_True" not in keys(app)
    app.button(key="terms_read").click().run()
    (dialog,) = app.get("dialog")
    assert dialog.proto.dialog.title == "Gemma Terms of Use"
    assert "## Duties" in [text.value for text in app.markdown]
    app.button(key="terms_True").click().run()
    assert terms.answer(GEMMA)
    app = opened()
    assert "the first run downloads the model (238 MB)" in " ".join(text.value for text in app.caption)
    assert not app.button(key="run_start").disabled and not app.info


def test_rejected_terms_are_not_offered_again():
    app = opened()
    app.button(key="terms_read").click().run()
    app.button(key="terms_False").click().run()
    app = opened()
    assert "You rejected the Gemma Terms of Use" in infos(app) and app.button(key="run_start").disabled
    assert "terms_read" not in keys(app)
