"""Pages with unreadable rows: they open, name those rows, and can delete an unreadable job."""

import time

import pytest
from sqlalchemy import insert, update

from core.base import paths
from core.request.complete import complete
from core.store.tables import jobs, variants
from dashboard import data
from tests.dashboard.opened import open_app
from tests.synthetic import curve, result


@pytest.fixture
def unreadable(filled):
    """A filled store with an unreadable variant, bundled line and job."""
    key = curve()[3].variant.key
    spec = complete("smollm2-135m", "wanda@0.5").model_dump_json().replace('"force"', '"colour":1,"force"')
    with filled.begin() as connection:
        connection.execute(update(variants).where(variants.c.key == key).values(footprint="{}"))
        connection.execute(insert(jobs).values(spec=spec, state="done", created=time.time()))
    paths.SHIPPED_MEASURED.mkdir()
    (paths.SHIPPED_MEASURED / "![a](x).jsonl").write_text("{half a li")
    return key


def test_explore_opens_and_names_the_skipped_rows(unreadable):
    app = open_app()
    assert len(app.dataframe[0].value) == len(curve()) - 1
    (message,) = (text.value for text in app.text)  # not as markup
    first, second = message.splitlines()
    assert first == "![a](x).jsonl, line 1 is skipped: it is not JSON."
    assert second.startswith(f"The footprint of the stored variant {unreadable[:12]} is skipped (")
    assert not app.error and not app.warning


def test_explore_opens_with_a_task_that_has_a_perplexity_and_an_unknown_metric(filled):
    unknown = result("magnitude", 30.0, 0.5)
    row = unknown.measurements[0].model_copy(update={"metric": "agreement", "value": 0.9})
    filled.put(unknown.model_copy(update={"measurements": (row,)}))
    one = curve()[0]
    lambada = one.measurements[1].model_copy(update={"metric": "perplexity", "dataset": "lambada_openai"})
    filled.put(one.model_copy(update={"measurements": (lambada,)}))
    app = open_app(explore_point="dense")
    assert app.selectbox(key="explore_text").options == ["passages-eval, 16 x 2048 tokens"]
    assert app.code[0].value.count("--perplexity") == 1 and not app.exception


def test_run_opens_and_can_cancel_and_delete_the_unreadable_job(unreadable, filled):
    app = open_app("run/view.py")
    assert [text.value for text in app.text] == [data.queue().unreadable()[0].reason]
    with filled.begin() as connection:
        connection.execute(update(jobs).values(state="queued"))
    app.run()
    app.button(key="run_cancel_1").click().run()
    app.button(key="run_start").click().run()
    assert len(data.queue().jobs()) == 1
    app.button(key="run_delete_1").click().run()
    assert not data.queue().unreadable() and len(data.queue().jobs()) == 1
    assert not app.exception and not app.text
