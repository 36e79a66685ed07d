"""The tab of documents of Inside: its counts on the bundled rows, its filters, and one document with its text."""

import json
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest

from core.base.errors import UserError
from core.cli.best import ask
from core.data import files
from core.data.cards import SEVEN, TASKS
from core.data.tasks import identify_task
from core.findings.inside.documents import DIRECTIONS, TO_RIGHT, TO_WRONG, answered
from core.findings.numbers.reporting import in_points, p_words
from core.findings.numbers.seven import MEAN
from core.findings.rows.points import dense_key
from core.request.complete import identified_task
from core.results import Measurement
from core.specs import Task
from dashboard import data
from dashboard.charts.documents import margin_chart
from dashboard.charts.elements.style import LIGHT
from dashboard.exports import print_figures
from dashboard.exports.files import WIDTHS
from dashboard.inside.documents import tab
from dashboard.inside.documents.one import DOCUMENT
from dashboard.inside.documents.tab import SPACE, measuring_address
from dashboard.inside.selection import OTHER, VARIANT
from dashboard.shared import widgets
from tests.bundled import bundled_rows
from tests.dashboard.opened import charts, decoded, open_app, read
from tests.synthetic import result

PAGE = "inside/view.py"
MODEL = "smollm2-135m"
ABOVE_CHANCE = ("piqa", "hellaswag", "arc_easy", "openbookqa")  # tasks on which the dense model shows knowledge
LIKELIHOODS = ([[-1, -2], [-2, -1], [-1, -2], [-3, -1]], [[-4, -2], [-1, -4], [-1, -3], [-3, -2]])
RIGHT = [0, 0, 0, 0]  # so right to wrong, wrong to right, both right, both wrong


def documents_tab(**query):
    return open_app(PAGE, inside_tab="Documents", **query)


def bundled_pair():
    """Return the results of the dense model and of a bundled variant whose seven tasks both have 500 documents."""
    rows = bundled_rows()
    wide = rows[(rows["limit"] == 500) & (rows["dataset"] == "piqa")]
    one = wide[wide["chain"] == "sparsegpt@0.5"].iloc[0]
    dense = wide[wide["chain"] == "dense"].iloc[0]
    return data.result(dense["key"]), data.result(one["key"])


def answers(one, task):
    wanted = (task, metric := TASKS[task].metric, 500)
    (row,) = (row for row in one.measurements if (row.dataset, row.metric, row.protocol.get("limit")) == wanted)
    return data.store().samples(one.variant.key, row)[metric].to_numpy()


def table(app):
    return next(one.value for one in app.dataframe).droplevel(0, axis=1)


def test_counts_and_tests_agree_with_the_stored_answers_and_with_the_comparison(bundled):
    dense, one = bundled_pair()
    pairs = data.paired([(one.variant.key,)], dense.variant.key).set_index(["dataset", "metric", "n"])
    app = documents_tab(inside_variant="sparsegpt@0.5", inside_doc_task="All tasks")
    text, flips = read(app), {}
    for task in SEVEN:
        before, after = answers(dense, task), answers(one, task)
        flips[task] = int((before > after).sum()), int((before < after).sum())
        row = pairs.loc[(task, TASKS[task].metric, 500)].to_dict()
        points, p = in_points(row["difference"], row["low"], row["high"]), p_words(row["p"]).replace(" ", SPACE)
        counts = (
            f"**{TASKS[task].label}**: {flips[task][0]} of 500 documents flip to wrong and {flips[task][1]} to right"
        )
        assert f"{counts}: {points} points of accuracy, p{SPACE}{p}." in text
    lost, gained = map(sum, zip(*flips.values(), strict=True))
    assert app.header[0].value == headline_of({task: flips[task] for task in ABOVE_CHANCE})
    mean = pairs.loc[(MEAN, "acc", 3500)].to_dict()
    assert f"**All tasks**: {lost} of 3,500 documents flip to wrong and {gained} to right: " in text
    assert f"{in_points(mean['difference'], mean['low'], mean['high'])} points of mean accuracy, p{SPACE}" in text
    assert tab.compare(MODEL, dense.variant.key, one.variant.key).overall.p == pytest.approx(mean["p"])
    assert len(table(app)) == lost + gained
    check_chart(app, 3500, lost, gained)
    app.selectbox(key=tab.TASK).set_value("BoolQ").run()
    assert len(table(app)) == sum(flips["boolq"])
    assert set(table(app)["Direction"]) == {"Right to wrong", "Wrong to right"}
    check_chart(app, 500, *flips["boolq"])
    assert any("0-shot, first 500 documents, float32" in one.value for one in app.caption)
    assert any("LAMBADA has one continuation per document" in one.value for one in app.caption)


def headline_of(flips):
    lost, gained = map(sum, zip(*flips.values(), strict=True))
    counts = f"loses {lost} right answers and gains {gained}, of {500 * len(flips):,} documents in tasks above chance"
    return rf"SparseGPT 50 \% {counts}"


def test_the_tab_opens_with_the_best_variant_of_a_third_of_the_size_that_has_answers(bundled):
    app = documents_tab()
    first, second = (data.result(app.selectbox(key=key).value) for key in (VARIANT, OTHER))
    rows = data.frame(MODEL)
    limit = rows.loc[rows["key"] == second.variant.key, "packed_mb"].iloc[0] / 3
    asked = ask(data.store(), MODEL, {"max_mb": float(f"{limit:.2g}")}).within.rows
    having = [key for key in asked.loc[asked["fits"], "key"] if answered(data.result(key), data.store().samples)]
    assert first.variant.key == having[0] and second.variant.key == dense_key(rows)


def check_chart(app, documents, lost, gained):
    (chart,) = charts(app)
    traces = json.loads(chart.proto.spec)["data"]
    counts = {trace["name"].rpartition(" (")[0]: len(decoded(trace["x"])) for trace in traces if trace.get("name")}
    assert counts == {"hidden by the filters": documents - lost - gained, TO_RIGHT: gained, TO_WRONG: lost}


def test_a_link_sets_every_filter(bundled):
    dense, one = bundled_pair()
    query = {"task": "PIQA", "direction": "Right to wrong", "change": "3"}
    app = documents_tab(
        inside_variant="sparsegpt@0.5", **{f"inside_doc_{kind}": value for kind, value in query.items()}
    )
    found = tab.compare(MODEL, dense.variant.key, one.variant.key).documents["PIQA"]
    large = found[found["margin_change"].abs() >= 3]
    assert set(table(app)["Document"]) == set(large.loc[large["direction"] == TO_WRONG, "label"])
    for group, directions in tab.GROUPS.items():
        wanted = large[large["direction"].isin(directions)]
        app.selectbox(key=tab.DIRECTION).set_value(group).run()
        if wanted.empty:  # a second choice cannot be another wrong one
            assert group == "Both wrong, choice changed" and no_match(app)
            continue
        assert len(wanted) < 500 and set(table(app)["Document"]) == set(wanted["label"])
        changes = table(app)["Change"].abs().tolist()
        assert changes == sorted(changes, reverse=True) and not app.exception


def no_match(app):
    return any(one.value.startswith("No document matches the filters.") for one in app.info)


def test_missing_answers_give_a_sentence_and_a_link_that_measures_them(bundled):
    app = documents_tab(inside_variant="wanda@0.1")
    (sentence,) = (one.value for one in app.info)
    assert "has no stored answers to tasks with choices" in sentence and not charts(app)
    (link,) = (one.proto for one in app.get("page_link") if one.proto.label.startswith("Measure "))
    query = parse_qs(link.query_string)
    assert query["chain"] == ["wanda@0.1"] and query["run_limit"] == ["500"]
    assert set(query["run_tasks"]) == {TASKS[name].label for name in SEVEN}


def test_the_link_measures_the_same_variant_under_the_protocol_of_the_other(store, monkeypatch):
    dense, one = result("dense", 20.0), result("wanda", 40.0, 0.5, seed=3)
    wanted = [row for row in dense.measurements if row.dataset in ("piqa", "arc_easy")]
    assert len(wanted) == 2
    app = open_app("run/view.py", **measuring_address(one, wanted))
    assert not app.error and not app.exception
    app.button(key="run_start").click().run()
    (job,) = data.queue().active()
    assert job.spec.variant.key == one.variant.key
    assert list(job.spec.tasks) == [identified_task(Task(task=name, limit=100)) for name in ("piqa", "arc_easy")]


def measured(store, task="piqa", likelihoods=LIKELIHOODS, **protocol):
    """Store four answers of the dense model and of a variant."""
    kept = {"limit": 4, "fewshot": 0, "version": 1, "source": "a test", "dtype": "float32"} | protocol
    for one, lists in zip((result("dense", 20.0), result("wanda", 40.0, 0.5)), likelihoods, strict=True):
        correct = [float(np.argmax(values) == right) for values, right in zip(lists, RIGHT, strict=True)]
        row = Measurement(metric="acc", dataset=task, value=float(np.mean(correct)), n=4, protocol=kept)
        samples = {"doc_id": range(4), "target": RIGHT, "loglikelihoods": lists, "acc": correct}
        store.put_samples(one.variant.key, row, pd.DataFrame(samples))
        store.put(one.model_copy(update={"measurements": (row,)}))
    data.show_now()


def test_without_documents_to_show_the_page_says_why(store):
    store.put(result("wanda", 40.0, 0.5))
    app = documents_tab()
    assert [one.value for one in app.info] == ["Choose a variant to compare with."]
    measured(store)
    app = documents_tab(inside_doc_change="900")
    assert no_match(app) and charts(app) and not app.dataframe
    app = documents_tab(inside_variant="dense")
    assert app.info[0].value.startswith("Choose two different variants") and not charts(app)


@pytest.fixture
def piqa(tmp_path, monkeypatch):
    """The id of four documents of PIQA on this machine."""
    folder = tmp_path / "data" / "tasks"
    folder.mkdir(parents=True)
    documents = [{"goal": f"Feed <i>cat</i> {i}", "sol1": f"<b>Food</b> {i}", "sol2": "Paint"} for i in range(4)]
    pd.DataFrame(documents).assign(label=0).to_parquet(folder / "piqa_validation.parquet")
    monkeypatch.setenv("SLIMSCOPE_DATA", str(folder.parent))
    return identify_task("piqa").id


def html(app):
    return " ".join(one.proto.body for one in app.get("html"))


def test_a_document_shows_its_escaped_text_and_both_choices(store, piqa):
    measured(store, piqa)
    label = f"PIQA ({piqa.partition('@')[2]})"
    app = documents_tab(inside_doc_document=f"{label} 2")
    assert f"**{label} 2**: wrong to right. Margin of Dense -1.00 nats, of Wanda 50 %, passages +3.00 nats" in read(app)
    assert "a change of +4.00." in read(app) and not app.exception
    text = html(app)
    assert "Feed &lt;i&gt;cat&lt;/i&gt; 1" in text and "<i>cat" not in text and "<b>Food" not in text
    rows = text[text.index('<table class="choices">') :].split("<tr")[2:]
    assert [row.count("chosen") for row in rows] == [1, 1]
    assert "class=right" in rows[0] and "&lt;b&gt;Food&lt;/b&gt; 1" in rows[0] and "<b>-1.00</b>" in rows[0]
    assert "class=right" not in rows[1] and "Paint" in rows[1] and "-4.00" in rows[1]
    app.selectbox(key=tab.DIRECTION).set_value("Both right").run()
    assert f"**{label} 2**" in read(app)  # also a document that the filters hide


def test_another_text_than_the_scored_one_is_not_shown(store, piqa):
    measured(store)
    app = documents_tab(inside_doc_document="PIQA 1")
    assert "are not the scored ones" in app.warning[0].value and "Feed" not in html(app)
    assert "<b>-1.00</b>" in html(app) and not app.exception


def test_a_text_that_this_machine_lacks_is_offered(store, monkeypatch, tmp_path):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "nothing"))
    measured(store)
    app = documents_tab(inside_doc_document="PIQA 1")
    assert any("The data of PIQA are not on this machine" in one.value for one in app.caption)
    assert "<b>-1.00</b>" in html(app)

    def fails(name):
        raise UserError("The Hugging Face Hub cannot be reached.")

    monkeypatch.setattr(files, "get", fails)
    app.button(key="inside_doc_fetch").click().run()
    assert "cannot be reached" in app.warning[0].value and not app.exception


def test_another_task_closes_the_document(store):
    measured(store)
    measured(store, "boolq")
    app = documents_tab(inside_doc_task="PIQA", inside_doc_document="PIQA 3")
    assert app.selectbox(key=DOCUMENT).value == "PIQA 3" and "**PIQA 3**: both right" in read(app)
    app.selectbox(key=tab.TASK).set_value("All tasks").run()
    assert app.selectbox(key=DOCUMENT).value == "PIQA 3" and "**PIQA 3**: both right" in read(app)
    app.selectbox(key=tab.TASK).set_value("BoolQ").run()
    assert app.selectbox(key=DOCUMENT).value is None and "Click a point to read its document" in read(app)


def test_the_chart_leaves_out_margins_that_are_not_finite_and_rings_the_chosen_document():
    margins = {"baseline_margin": [1.0, -2.0, 3.0], "variant_margin": [-1.0, np.nan, np.inf]}
    rows = pd.DataFrame({"label": ["A 1", "A 2", "A 3"], "direction": DIRECTIONS[:3]} | margins)
    figure = margin_chart(rows, rows.head(2), ("Dense", "Wanda"), LIGHT, "A 1")
    assert figure.layout.yaxis.range[0] < -1 and 0 < figure.layout.yaxis.range[1] < 1
    ring = figure.data[-1]
    assert (list(ring.x), list(ring.y)) == ([1.0], [-1.0]) and ring.showlegend is False
    names = [trace.name for trace in figure.data if trace.name]
    assert names == ["hidden by the filters (1)", f"{TO_RIGHT} (1)", f"{TO_WRONG} (1)"]


def test_the_page_exports_its_chart_and_its_table(store, monkeypatch):
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.extend(page()))
    measured(store)
    documents_tab()
    chart, table = items
    assert chart.name == "slimscope-smollm2-135m-wanda-50pct-passages-dense-piqa-documents-margins"
    assert len(chart.table) == 4 and table.table["Document"].tolist() == ["PIQA 2", "PIQA 1"]
    numbers = table.table.iloc[1]
    assert numbers[["Margin: change", "Margin: Dense", "Margin: Wanda 50 %, passages"]].tolist() == [-3, 1, -2]
    assert numbers[["Choice: Dense", "Choice: Wanda 50 %, passages", "Right choice"]].tolist() == ["A", "B", "A"]
    assert numbers[["Log-likelihood, Dense: B", "Log-likelihood, Wanda 50 %, passages: A"]].tolist() == [-2, -4]
    assert "0-shot, first 4 documents, float32. Shown: flips, 2 of 4 documents." in table.caption
    assert print_figures.draw(chart.build(), max(WIDTHS.values())).axes
