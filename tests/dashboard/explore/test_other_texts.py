"""Own and imported results beside bundled ones: by their link, hollow if their text differs, as multiples of dense."""

import json

import pandas as pd
import pytest

from core.findings.axes import RATIO
from core.findings.numbers.frame import tidy
from core.findings.rows.other_texts import other_texts
from core.imports.files import read_imports, store_imports
from core.request.baseline import baseline
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity
from dashboard.shared import links
from tests.core.imports.given import sheet
from tests.dashboard.opened import captions, charts, decoded, open_app, read
from tests.dashboard.run.test_run import stored
from tests.synthetic import chained, result

MODEL, OTHER = "smollm2-135m", "ptb-train"
IMPORTED = "smollm2-135m,my-pruner,{ratio},,perplexity,{text},{value},0.9,16,2048,16,,,{dtype},,"


def traces(app) -> list:
    return json.loads(charts(app)[0].proto.spec)["data"]


def points_of(app, series: str) -> dict[float, float]:
    """Return the drawn points of a series, by amount, and check that each has a hollow marker."""
    found = {}
    for trace in traces(app):
        if trace.get("legendgroup") == series and trace.get("customdata"):
            symbols = trace["marker"]["symbol"]
            assert all(symbol.endswith("-open") for symbol in symbols)
            found |= dict(zip(decoded(trace["x"]), decoded(trace["y"]), strict=True))
    return found


def test_a_run_on_another_text_is_hollow_on_the_bundled_chart(fresh):
    mine, quantised = chained("wanda@0.33", 30.0, corpus=OTHER), chained("gptq@4bit", 24.0, corpus=OTHER)
    for one in (mine, quantised, result("dense", 20.0, corpus=OTHER)):
        fresh.put(one)
    app = open_app(**links.own(MODEL, [quantised.variant.key]))
    assert app.selectbox(key="explore_x").value == "packed size"
    assert list(points_of(app, f"GPTQ, {OTHER}").values()) == pytest.approx([1.2])
    app = open_app(**links.own(MODEL, [mine.variant.key]))
    assert app.toggle(key="explore_elsewhere").value
    assert app.selectbox(key="explore_text").value == "WikiText-2, 16 x 2048 tokens"
    assert {"Wanda", "SparseGPT", f"Wanda, {OTHER}"} <= set(app.pills(key="explore_series").value)
    assert points_of(app, f"Wanda, {OTHER}") == pytest.approx({0.33: 1.5})
    assert {trace["name"] for trace in traces(app) if trace.get("customdata")} > {"Wanda", "SparseGPT", "Dense"}
    assert f"relative to their own dense model: **Wanda, {OTHER}**, 1.50 times dense" in read(app)
    assert "Hollow markers on dotted lines: other texts" in captions(app)
    app.selectbox(key="explore_point").set_value(mine.variant.key).run()
    (metric,) = (one for one in app.metric if one.label == "Perplexity")
    assert (metric.value, metric.delta) == ("30", "dense 20")  # of its own text
    app.toggle(key="explore_elsewhere").set_value(False).run()
    assert not app.exception and not points_of(app, f"Wanda, {OTHER}")
    assert "other texts" not in read(app)


def test_a_run_on_a_text_with_bundled_variants_is_on_their_curves(fresh):
    spec = complete(MODEL, "wanda@0.33", RunSettings(perplexity=[Perplexity.parse("passages-eval@2048:16")]))
    for one in (spec, baseline(spec)):
        stored(fresh, one)
    address = links.own(MODEL, [spec.variant.key])
    assert address["explore_text"] == "passages-eval, 16 x 2048 tokens" and "explore_elsewhere" not in address
    app = open_app(**address)
    assert {"Wanda", "SparseGPT"} <= set(app.pills(key="explore_series").value)
    assert "33 %" in app.segmented_control(key="explore_at").options


@pytest.mark.parametrize(
    ("rows", "label", "multiple"),
    [
        ([(0.5, "wikitext2", 44.0, "")], "my-pruner (imported), unknown precision", None),
        ([(0.5, OTHER, 44.0, "float32"), (0, OTHER, 20.0, "float32")], f"my-pruner (imported), {OTHER}", 2.2),
    ],
)
def test_an_import_is_hollow_with_its_own_dense_or_ours(fresh, rows, label, multiple):
    text = [IMPORTED.format(ratio=ratio, text=text, value=value, dtype=dtype) for ratio, text, value, dtype in rows]
    found = read_imports([sheet(*text)], None, fresh)
    store_imports(found, fresh)
    app = open_app(**links.own(MODEL, [one.variant.key for one in found.results]))
    (drawn,) = points_of(app, label).values()
    ours = next(trace for trace in traces(app) if trace.get("name") == "Dense")
    assert decoded(ours["y"]) == [1.0]
    assert drawn == pytest.approx(multiple) if multiple else 1.5 < drawn < 3


def test_a_model_without_bundled_results_shows_its_own(store):
    mine = chained("wanda@0.33", 30.0, corpus=OTHER, model="toy")
    for one in (mine, result("dense", 20.0, corpus=OTHER, model="toy")):
        store.put(one)
    app = open_app(**links.own("toy", [mine.variant.key]))
    assert list(app.dataframe[0].value["Variant"]) == ["Dense", "Wanda 33 %, passages"]
    dense = result("dense", 20.0, model="toy")
    assert links.own("toy", [dense.variant.key]) == {"alone": "true", "explore_model": "toy"}


def test_texts_of_one_series_have_different_names(fresh):
    made = [result("dense", 20.0), result("wanda", 30.0, 0.5), result("wanda", 25.0, 0.3), result("ria", 26.0, 0.3)]
    frame = tidy(made)
    frame = frame[frame["metric"] == "perplexity"]
    fewer = frame["series_label"].eq("Wanda") & frame["ratio"].eq(0.3)
    other = frame[fewer | frame["method"].eq("dense")].assign(windows=4.0, protocol_id="other")
    frame = pd.concat([frame[~fewer], other], ignore_index=True)
    found = other_texts(frame, frame[:0], ["wanda", "ria"], RATIO)
    names = dict(zip(found["series_label"], found["amount_label"], strict=True))
    assert names == {
        "Wanda, passages-eval, 16 x 2048 tokens": "50 %",
        "Wanda, passages-eval, 4 x 2048 tokens": "30 %",
        "RIA, passages-eval": "30 %",
    }
