"""The Laws page: its series, its largest pruning ratio, its links, and models without a law."""

import re
from urllib.parse import parse_qs

import pytest

from core.findings.laws.fit import fits
from core.findings.laws.law import law
from core.findings.laws.limit import Limit
from core.findings.laws.measured import of_perplexities
from core.findings.laws.report import TOO_FEW
from dashboard import data
from dashboard.shared import widgets
from tests.dashboard.explore.given import open_tradeoff
from tests.dashboard.opened import charts, open_app, read
from tests.synthetic import result

VIEW, ACCURACY = "laws/view.py", "Accuracy above chance"


def open_laws(**query):
    return open_app(VIEW, **{f"laws_{name}": str(value) for name, value in query.items()})


def answered(name, limit):
    rows = data.frame("smollm2-135m")
    groups = of_perplexities(rows[rows["metric"] == "perplexity"])
    return law(fits(next(one for one in groups if one.name == name)), limit)


def slider(app, label):
    (found,) = [one for one in app.slider if one.label == label]
    return found


@pytest.mark.usefixtures("example")
def test_the_law_follows_the_series_and_the_limit(monkeypatch):
    kept = []
    monkeypatch.setattr(widgets, "export_page", lambda name, items: kept.append(items))
    app = open_laws()
    (of,) = [field for field in app.selectbox if field.label == "Fitted to"]
    assert of.options == ["Unstructured", "Magnitude", "Wanda", "SparseGPT"] and of.value == "Unstructured"
    (papers,) = [part for part in app.expander if part.label == "Findings of the papers"]
    assert all(f"https://arxiv.org/abs/{paper}" in papers.markdown[0].value for paper in ("2411.10272", "2504.04342"))
    of.select("Wanda").run()
    slider(app, "Highest perplexity (times dense)").set_value(1.25).run()
    assert str(answered("Wanda", Limit(times=1.25))) in read(app)
    table = app.dataframe[-1].value
    assert list(table["Form"]) == ["1 + r", "1 - r", "P2"] and list(table["Predicts best"]).count("yes") == 1
    assert "Below 1.25 x dense up to" in table and table["Leave-one-ratio-out error"].str.contains("%").all()
    chart, table = kept[-1]()
    assert chart.name.endswith("-law") and list(chart.table["series_label"].unique()) == ["dense", "Wanda"]
    assert table.name.endswith("-laws") and "Accuracies are above chance" in table.caption


@pytest.mark.usefixtures("example")
def test_a_link_opens_a_law_with_its_error_and_its_use():
    app = open_laws(of="SparseGPT", times=1.5)
    found = answered("SparseGPT", Limit(times=1.5))
    assert f"**{found}**" in read(app) and "% of 1 / ln" not in read(app)
    assert f"the form {found.best.form.name}, which predicts best here. {found.error_sentence}" in read(app)
    assert "up to 70 %, the largest measured one" in read(app) and len(charts(app)) == 1
    shown = read(open_laws(quality=ACCURACY, keep=80))
    assert re.search("To keep 80 % of the accuracy above chance, remove at most .+ % \\(95 % interval: ", shown)


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ("Perplexity", "times the dense perplexity"),
        (ACCURACY, "of the accuracy above chance"),
    ],
)
def test_the_tradeoff_has_a_link_to_the_laws_and_no_law(quality, words):
    app = open_tradeoff(quality=quality)
    assert not any("law" in header.value.lower() for header in app.header) and len(charts(app)) == 1
    (link,) = [one.proto for one in app.get("page_link") if "compression law" in one.proto.label]
    assert link.page == "laws"
    query = {name: values for name, values in parse_qs(link.query_string).items() if name != "alone"}
    assert words in read(open_app(VIEW, **query))


def test_dropped_values_are_counted_if_too_few_ratios_remain(store):
    store.put(result("dense", 20.0))
    assert [note.value for note in open_laws().info] == [TOO_FEW]
    for ratio, value in ((0.1, 25.0), (0.3, 2e4), (0.5, 3e4)):
        store.put(result("wanda", value, ratio))
    (note,) = open_laws().info
    assert note.value.startswith(
        "Too few ratios are left for a law of Unstructured (2 of 3 values dropped) and Wanda (2 of 3 values dropped)."
    )
