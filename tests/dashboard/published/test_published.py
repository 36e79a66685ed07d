"""Published tables, and our results under the same protocol."""

import json

from core.results import Measurement
from tests.dashboard.opened import charts, open_app
from tests.synthetic import chained, result


def test_published_shows_each_table_with_its_protocol(store):
    app = open_app("published/view.py")
    for title, protocol in (
        (None, "windows of 2048"),
        ("SparseGPT: OPT-175B, zero-shot", "Zero-shot"),
        ("SlimLLM: LLaMA-7B", "0-shot"),
        ("SlimLLM: LLaMA-2-7B", "0-shot"),
    ):
        if title:
            app.selectbox(key="published_table_name").set_value(title).run()
        assert not app.exception and charts(app) and len(app.dataframe) == 1
        assert protocol in " ".join(caption.value for caption in app.caption)
        if title and "Slim" in title:
            app.segmented_control(key="published_tuned").set_value("after LoRA tuning").run()
            assert not app.exception and "after LoRA tuning" in app.caption[0].value


def test_published_shows_our_results_under_the_same_protocol(store):
    store.put(result("dense", 20.0, corpus="wikitext2"))
    store.put(result("wanda", 25.0, 0.3, corpus="wikitext2"))
    app = open_app("published/view.py")
    assert len(charts(app)) == 1 and "These methods have no own results" in app.caption[-1].value
    store.put(result("sparsegpt", 24.0, 0.3, corpus="wikitext2"))
    store.put(chained("sparsegpt@0.3,bits=4", 26.0, corpus="wikitext2"))
    app.run()
    assert len(charts(app)) == 2
    drawn = charts(app)[1].proto.spec
    assert "SparseGPT" in drawn and "Wanda" not in drawn and "bits" not in drawn
    assert "not on the paper's model" in " ".join(caption.value for caption in app.caption)
    assert [one.value for one in app.header] == ["Measured here"]  # one common method has no order
    app.segmented_control(key="published_text").set_value("c4").run()
    assert len(charts(app)) == 1 and not app.exception


def test_published_opens_with_the_best_of_the_methods_that_both_sides_have(store):
    for one in (with_tasks("dense", 0.6), with_tasks("sparsegpt", 0.5, 0.5), with_tasks("magnitude", 0.3, 0.5)):
        store.put(one)
    for method, value in (("dense", 20.0), ("magnitude", 24.0), ("sparsegpt", 26.0)):
        store.put(result(method, value, None if method == "dense" else 0.5, corpus="wikitext2"))
    app = open_app("published/view.py")
    best = r"At 50 \%\, SparseGPT is the best of 2 methods in the paper \(OPT\-"
    assert app.header[0].value == rf"{best}125M\)\, Magnitude here \(smollm2\-135m\)"
    assert app.caption[0].value.startswith("The order of 0 of 1 pair of methods is the same.")
    app.selectbox(key="published_table_name").set_value("SparseGPT: OPT-175B, zero-shot").run()
    assert app.header[0].value == rf"{best}175B\) and here \(smollm2\-135m\)"


def test_published_shows_our_accuracies_and_names_unavailable_tasks(store):
    title = "SparseGPT: OPT-175B, zero-shot"
    store.put(with_tasks("dense", 0.6))
    app = open_app("published/view.py")
    app.selectbox(key="published_table_name").set_value(title).run()
    assert "These methods have no own results on these tasks yet." in app.caption[-1].value
    store.put(with_tasks("sparsegpt", 0.5, 0.5))
    store.put(with_tasks("wanda", 0.4, 0.5))  # the table has no Wanda
    store.put(with_tasks("magnitude", 0.3, 0.5, tasks=("piqa",)))
    app.run()
    assert not app.exception
    drawn = charts(app)[1].proto.spec
    assert "SparseGPT, 50 %" in drawn and "Wanda" not in drawn and "Magnitude" not in drawn
    assert json.loads(drawn)["layout"]["yaxis"]["ticktext"] == ["LAMBADA", "PIQA", "Mean of 2 tasks"]  # as printed
    captions = " ".join(caption.value for caption in app.caption)
    assert "first 500 documents" in captions and "StoryCloze is not freely available" in captions


def with_tasks(method, accuracy, ratio=None, tasks=("piqa", "lambada_openai")):
    protocol = {"limit": 500, "fewshot": 0, "version": 1.0, "dtype": "float32"}
    numbers = [Measurement(metric="acc", dataset=name, value=accuracy, n=500, protocol=protocol) for name in tasks]
    return result(method, 20.0, ratio).model_copy(update={"measurements": tuple(numbers)})
