"""Explore with the bundled rows: its first view, published models, several models in one chart, and points."""

from urllib.parse import parse_qs

import pytest

from core.findings.rows.points import is_dense
from core.notation.formatting import format_number
from core.request.reproduce import reproduce
from core.store.bundled import read_measured
from dashboard import data
from dashboard.explore.details import POINT
from tests.dashboard.opened import captions, charts, control, open_app, read

pytestmark = pytest.mark.usefixtures("bundled")
COMMAND = "slimscope run smollm2-135m sparsegpt@0.5 --calibration c4-sample:16x2048"
BETTER = "GPTQ 4.25+distill,emb 8#0b3e"


def samples(app, key):
    """Return the number of series in the sidebar's list, and that of the samples of their styles."""
    (there,) = (group for group in app.sidebar.get("button_group") if group.key == key)
    (css,) = (one.proto.body for one in app.get("html") if f".st-key-{key}" in one.proto.body)
    return len(there.options), css.count("data:image/svg+xml")


def linked_by_size(app):
    """Return the address of the link to a better family by size; None without one."""
    links = [one.proto for one in app.get("page_link") if " of its size: " in one.proto.label]
    return parse_qs(links[0].query_string) if links else None


def test_the_first_view_matches_the_readme(monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    app = open_app()
    assert app.selectbox(key="explore_text").value == "WikiText-2, 16 x 2048 tokens"
    assert charts(app)[0].proto.spec.count('"previous"') == 2  # arrows: SparseGPT at 50 %, by two trainings
    table = app.dataframe[0].value.set_index("Variant")
    assert table.loc["Wanda 50 %", "Above chance (points)"] == pytest.approx(10.5, abs=0.05)
    (differences,) = [one.proto.spec for one in charts(app) if "zero-shot minus dense" in one.proto.spec]
    assert all(name in differences for name in ("Magnitude", "Wanda", "RIA", "SparseGPT"))
    assert not app.info  # nothing is missing
    assert '"size":26' in charts(app)[0].proto.spec and "smollm2-135m at a pruning ratio of 50 %" in read(app)
    assert f"Smaller and better: **{BETTER}** (quantisation), 90 MB, 1.018 times dense" in read(app)
    query = linked_by_size(app)
    assert query["explore_families"] == ["Unstructured", "Quantisation"] and query["explore_x"] == ["packed size"]
    options, styles = samples(app, "explore_series")
    assert 5 < styles <= options
    control(app, "explore_at").set_value("30 %").run()
    assert "No zero-shot accuracy at 30 % yet on the first 500 documents" in app.info[0].value
    app.selectbox(key="explore_documents").set_value("First 100 documents of each task, float32").run()
    control(app, "explore_at").set_value("50 %").run()
    assert not app.exception  # the mean of the only variant that was scored has no pair
    for amount in ("70 %", "2:4"):
        control(app, "explore_at").set_value(amount).run()
        (scores,) = [one.proto.spec for one in charts(app) if "Mean above chance, zero-shot" in one.proto.spec]
        assert "SparseGPT" in scores
        assert all("yet of ALPS" in one.value or "yet of RIA + AdaPrune" in one.value for one in app.info)
    assert not app.exception


def test_the_headline_shows_dense_values_and_the_curve_of_the_series():
    app = open_app(**{POINT: "sparsegpt@0.5"})
    results = [one for one in read_measured().results.values() if reproduce(one).startswith(COMMAND)]
    (result,) = (one for one in results if one.variant.stages[0].seed == 0)
    metrics = {metric.label: metric for metric in app.metric}
    assert set(metrics) == {"Perplexity", "Packed size (MB)", "Bits per weight"}
    assert float(metrics["Packed size (MB)"].value) == pytest.approx(result.footprint.packed_bytes / 1e6, rel=5e-3)
    assert metrics["Perplexity"].delta == "dense 20.7"
    along = metrics["Perplexity"].proto.chart_data
    assert len(along) == 7 and list(along) == sorted(along)  # 10 % to 70 %
    values = [
        row.value
        for one in results
        for row in one.measurements
        if row.of_text and (row.dataset, row.protocol["window"], row.n) == ("wikitext2", 2048, 16)
    ]
    ends = f"from {format_number(min(values))} to {format_number(max(values))}"
    seeds = f"Means of {len(values)} seeds with perplexities {ends}. The details below are of seed 0."
    assert seeds in [caption.value for caption in app.caption]


def test_a_published_model_is_shown_like_a_measured_one():
    app = open_app(explore_model="llama-7b", explore_text="wikitext2, all x 128 tokens")
    notes = captions(app)
    assert "This model has published results only" in notes and "Bars:" not in notes
    assert "paper SlimLLM, main table, unknown precision" in notes and len(charts(app)) == 2
    assert "**SlimLLM + LoRA (paper)** has the lowest perplexity of 8 variants, 2.12 times dense" in read(app)
    assert [field.key for field in app.multiselect] == ["explore_compared"]
    app = open_app(explore_model="llama-7b", **{POINT: "published@0.5,label=SlimLLM"})
    assert "ublished in [SlimLLM, main table](https://arxiv.org/abs/" in read(app)
    assert "Command to reproduce it" not in read(app)
    assert {metric.label for metric in app.metric} == {"Perplexity"}  # it has no size


def test_several_models_are_shown_relative_to_their_dense_model():
    app = open_app(explore_mode="Several models")
    assert "explore_documents" not in {field.key for field in app.selectbox}  # each model has its own
    assert set(app.dataframe[0].value["Model"]) == {"smollm2-135m", "gemma3-270m"}
    options, styles = samples(app, "explore_multiples_shown")
    assert 5 < styles <= options
    app.pills(key="explore_models_shown").set_value(["gemma3-270m", "opt-125m"]).run()
    table = app.dataframe[0].value
    assert set(table["Model"]) == {"gemma3-270m", "opt-125m"}
    row = table[(table["Model"] == "opt-125m") & (table["Method"] == "SparseGPT")].squeeze()
    assert round(row["Times dense"], 3) == round(36.85 / 27.66, 3)
    app.pills(key="explore_models_shown").set_value(["opt-125m", "opt-175b"]).run()
    app.segmented_control(key="explore_against").set_value("model size").run()
    assert not app.exception and set(app.dataframe[0].value["Amount"]) == {"50 %"}
    app.pills(key="explore_models_shown").set_value([]).run()
    assert "Choose at least one model." in [one.value for one in app.info]
    app.pills(key="explore_models_shown").set_value(["gemma3-270m"]).run()
    app.segmented_control(key="explore_against").set_value("pruning ratio").run()
    app.multiselect(key="explore_methods").set_value(["gptq"]).run()
    assert not app.dataframe and "No compressed smollm2-135m fits this chart" in app.info[0].value


def test_points_of_several_models_open_with_their_own_dense_model_and_are_compared():
    app = open_app(explore_mode="Several models")
    for model in ("smollm2-135m", "gemma3-270m"):
        wanted = {"model": model, "series_label": "SparseGPT", "ratio": 0.5, "metric": "perplexity"}
        rows = data.frame(model)
        mine = rows[(rows[list(wanted)] == list(wanted.values())).all(axis=1) & rows["pattern"].isna()]
        app.selectbox(key=POINT).set_value(mine["key"].iloc[0]).run()
        assert not app.exception
        dense = rows[is_dense(rows) & (rows["dataset"] == "wikitext2") & (rows["window"] == 2048)]
        assert f"dense {format_number(dense['value'].iloc[0])}" in [one.delta for one in app.metric]
    first = "SparseGPT 50 %, smollm2-135m"
    for other, text in (
        (
            "Wanda 50 %, smollm2-135m",
            f"**{first}** is better than Wanda 50 %, smollm2-135m in perplexity on WikiText-2",
        ),
        ("SparseGPT 50 %, gemma3-270m", "cannot be paired in any number"),
    ):
        field = app.multiselect(key="explore_compared")
        names = [next(name for name in field.options if name.startswith(of)) for of in (first, other)]
        field.set_value(names).run()
        assert not app.exception and text in read(app)
