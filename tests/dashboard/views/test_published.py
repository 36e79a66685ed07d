"""The papers' tables, and ours beside them."""

import pytest

from tests.dashboard.opened import charts, open_app
from tests.dashboard.synthetic import result


@pytest.mark.parametrize("title", [None, "SparseGPT: OPT-175B, zero-shot", "SlimLLM: LLaMA-7B", "SlimLLM: LLaMA-2-7B"])
def test_published_shows_each_table_with_its_protocol(store, title):
    app = open_app("views/published.py")
    if title:
        app.selectbox(key="published_table_name").set_value(title).run()
    assert not app.exception and charts(app) and len(app.dataframe) == 1
    said = " ".join(caption.value for caption in app.caption)
    assert ("windows of 2048" if title is None else "0-shot" if "Slim" in title else "Zero-shot") in said
    if title and "Slim" in title:
        app.segmented_control(key="published_tuned").set_value("after LoRA tuning").run()
        assert not app.exception and "after LoRA tuning" in app.caption[0].value


def test_published_shows_ours_apart_where_methods_text_and_window_agree(store):
    store.put(result("dense", 20.0, corpus="wikitext2"))
    store.put(result("wanda", 25.0, 0.3, corpus="wikitext2"))
    app = open_app("views/published.py")
    assert len(charts(app)) == 1 and "None of them was measured here" in app.caption[-1].value
    store.put(result("sparsegpt", 24.0, 0.3, corpus="wikitext2"))
    app.run()
    assert len(charts(app)) == 2
    drawn = charts(app)[1].proto.spec
    assert "SparseGPT" in drawn and "Wanda" not in drawn
    assert "Another model than the paper's" in " ".join(caption.value for caption in app.caption)
    app.segmented_control(key="published_text").set_value("c4").run()
    assert len(charts(app)) == 1 and not app.exception
