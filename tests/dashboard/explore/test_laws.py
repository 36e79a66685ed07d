"""The compression law on Explore: its series, its largest pruning ratio, and its links."""

import pytest

from core.analysis.laws.fit import best_of, fits
from core.analysis.laws.measured import of_perplexities
from core.analysis.laws.report import sentence
from dashboard import data
from dashboard.shared import widgets
from tests.dashboard.explore.given import open_tradeoff
from tests.dashboard.opened import charts, read
from tests.dashboard.synthetic import result


def groups():
    rows = data.frame("smollm2-135m")
    return {one.name: one for one in of_perplexities(rows[rows["metric"] == "perplexity"])}


@pytest.mark.usefixtures("example")
def test_the_law_follows_the_series_and_the_quality_to_keep(monkeypatch):
    kept = []
    monkeypatch.setattr(widgets, "export_page", lambda name, items: kept.append(items))
    app = open_tradeoff()
    (of,) = [field for field in app.selectbox if field.label == "Fitted to"]
    assert of.options == ["Unstructured", "Magnitude", "Wanda", "SparseGPT"] and of.value == "Unstructured"
    (papers,) = [part for part in app.expander if part.label == "Findings of the papers"]
    assert all(f"https://arxiv.org/abs/{paper}" in papers.markdown[0].value for paper in ("2411.10272", "2504.04342"))
    of.select("Wanda").run()
    (keep,) = [slider for slider in app.slider if slider.label == "Quality to keep (%)"]
    keep.set_value(95).run()
    assert sentence(best_of(fits(groups()["Wanda"])), 0.95) in read(app)
    table = app.dataframe[-1].value
    assert list(table["Form"]) == ["1 + r", "1 - r", "P2"] and list(table["Predicts best"]).count("yes") == 1
    assert "Keeps 95 % up to" in table and table["Leave-one-ratio-out error"].str.contains("%").all()
    *_, chart, table = kept[-1]()
    assert chart.name.endswith("-law") and list(chart.table["series_label"].unique()) == ["dense", "Wanda"]
    assert table.name.endswith("-laws") and "Accuracies are above chance" in table.caption
    app = open_tradeoff(law_of="SparseGPT", law_keep="80")
    best = best_of(fits(groups()["SparseGPT"]))
    assert sentence(best, 0.8) in read(app) and len(charts(app)) == 2
    assert f"This is the form {best.form.name}, which predicts best here. Its error at ratios" in read(app)
    assert f"is {best.by_ratio.percent:.1f} % of ln(perplexity)" in read(app)
    assert "To keep 90 % of the accuracy above chance, remove at most" in read(
        open_tradeoff(quality="Accuracy above chance")
    )


def test_dropped_values_are_counted_if_too_few_ratios_remain(store):
    store.put(result("dense", 20.0))
    app = open_tradeoff()
    assert not [header for header in app.header if header.value == "Compression law"]
    for ratio, value in ((0.1, 25.0), (0.3, 2e4), (0.5, 3e4)):
        store.put(result("wanda", value, ratio))
    expected = (
        "Too few ratios are left for a law of Unstructured (2 of 3 values dropped) and Wanda (2 of 3 values dropped)."
    )
    app = open_tradeoff()
    assert any(caption.value.startswith(expected) for caption in app.caption)
    assert [header.value for header in app.header].count("Compression law") == 1
