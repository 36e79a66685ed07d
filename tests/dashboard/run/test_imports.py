"""Imported results of other programs: their files on the Run page, and their series on Explore."""

import pandas as pd
import pytest

from core.findings import axes
from core.findings.numbers.frame import tidy
from core.findings.rows import missing, points
from core.imports.files import read_imports, store_imports
from core.imports.sheet import COLUMNS
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import LIGHT, look
from dashboard.exports import files
from dashboard.run import imports
from tests.core.imports.given import ACCURACY, HEADER, sheet, uploads
from tests.dashboard.opened import charts, open_app, read
from tests.synthetic import curve

RUN = "run/view.py"
OWN = "smollm2-135m,my-pruner,{ratio},{pattern},perplexity,passages-eval,{value},0.9,16,2048,16,,,float32,,"
ROWS = [OWN.format(ratio=ratio, pattern="", value=value) for ratio, value in ((0.3, 25), (0.5, 40))]
PATTERN = OWN.format(ratio="", pattern="2:4", value=60)
NO_AMOUNT = OWN.format(ratio="", pattern="", value=30).replace("my-pruner", "quant")


def given(app, *files):
    types = {"json": "application/json", "csv": "text/csv", "jsonl": "application/jsonl"}
    (field,) = app.file_uploader
    field.set_value([(one.name, one.content, types[one.name.rpartition(".")[2]]) for one in files]).run()
    assert not app.exception
    return app


def table(app) -> pd.DataFrame:
    return app.dataframe[0].value


def test_a_csv_is_previewed_and_stored_on_confirmation(store):
    app = open_app(RUN)
    assert list(table(app)["Column"]) == list(COLUMNS)
    given(app, sheet(ROWS[0], "x"))
    assert len(app.error) == 1 and "mine.csv, row 3" in " ".join(text.value for text in app.text)
    assert "run_import_keep" not in {button.key for button in app.button}
    given(app, sheet(*ROWS))
    assert list(table(app)["Series"]) == ["my-pruner (imported)"] * 2
    assert list(table(app)["Amount"]) == ["30 %", "50 %"] and not store.results()
    app.button(key="run_import_keep").click().run()
    assert not app.exception and len(store.results()) == 2
    assert "2 numbers of 2 variants" in app.success[0].value
    assert not app.file_uploader[0].value


def test_files_of_lm_eval_need_a_model_and_a_label(store):
    app = given(open_app(RUN), *uploads())
    assert app.info[-1].value == "Choose the dense model of these results." and not app.error
    app.selectbox(key="run_import_model").set_value("smollm2-135m").run()
    app.text_input(key="run_import_label").set_value("harness").run()
    app.text_input(key="run_import_removed").set_value("2:4").run()
    assert set(table(app)["Series"]) == {"harness (imported)"} and set(table(app)["Amount"]) == {"2:4"}
    assert set(table(app)["Answers"]) == {"stored"}
    app.button(key="run_import_keep").click().run()
    (result,) = store.results()
    assert (result.variant.pattern, len(result.measurements)) == ("2:4", 5)
    assert len(store.samples(result.variant.key, result.measurements[0])) == 4


@pytest.fixture
def rows(filled):
    found = read_imports([sheet(*ROWS, PATTERN, NO_AMOUNT)], None, filled)
    return tidy([*curve(), *found.results])


def collapsed(rows):
    rows = rows[rows["metric"] == "perplexity"]
    return points.collapse(rows[~points.is_dense(rows)]), points.collapse(rows[points.is_dense(rows)])


def test_an_imported_series_is_labelled_and_has_hollow_markers(rows):
    found, dense = collapsed(rows)
    figure = perplexity_curve(found, dense, axes.RATIO, LIGHT, "passages-eval")
    mine = [
        trace for trace in figure.data if trace.legendgroup == "my-pruner (imported)" and trace.customdata is not None
    ]
    symbols = {symbol for trace in mine for symbol in trace.marker.symbol}
    assert symbols == {"hexagon-open"}
    assert [tuple(trace.x) for trace in mine] == [(0.3, 0.5), (0.9,)]
    assert "quant (imported)" not in {trace.legendgroup for trace in figure.data if trace.customdata is not None}
    assert (
        len(files.image(files.Chart(name="curve", caption="x", table=found, build=lambda: figure), "svg", 3.25)) > 1000
    )
    ours = {trace.marker.symbol for trace in figure.data if trace.legendgroup == "Wanda" and trace.showlegend is None}
    assert ours == {"circle"}


def test_a_label_that_names_a_method_has_its_colour():
    assert look("imported:Wanda", LIGHT).color == look("wanda", LIGHT).color
    assert look("imported:x", LIGHT).symbol == look("imported:wanda", LIGHT).symbol == "hexagon-open"


def test_explore_shows_imports_and_can_only_delete_them(filled):
    store_imports(read_imports([sheet(*ROWS)], None, filled), filled)
    app = open_app(explore_model="smollm2-135m", explore_point="imported@0.5,label=my-pruner")
    assert charts(app)
    page = read(app)
    assert "Compressed and measured by other tools" in page
    keys = {button.key for button in app.button}
    assert (
        "explore_delete" in keys
        and "explore_save" not in keys
        and "my-pruner" not in str([one.value for one in app.code])
    )
    app.button(key="explore_delete").click().run()
    assert not app.exception and sum(one.variant.is_external for one in filled.results()) == 1


def test_no_runs_are_offered_for_imports(filled):
    store_imports(read_imports([sheet(*ROWS, header=HEADER)], None, filled), filled)
    frame = tidy(filled.results())
    found, _ = collapsed(frame)
    assert not [chain for chain in missing.of_chains(found) if "imported" in chain]
    assert not missing.is_training_free("imported@0.5,label=my-pruner")
    assert imports.preview(read_imports([sheet(*ROWS)], None, filled))["n"].tolist() == [16, 16]


def test_explore_shows_a_model_with_imports_only(filled):
    named = [row.replace("smollm2-135m", "org/name") for row in ROWS]
    rows = [ACCURACY.replace("smollm2-135m", "org/other"), ACCURACY.replace("smollm2-135m", "org/third")]
    rows += [rows[1].replace(",0.5,", f",{ratio},") for ratio in ("0.3", "")]
    store_imports(read_imports([sheet(*named)], None, filled), filled)
    store_imports(read_imports([sheet(*rows)], None, filled), filled)
    app = open_app(explore_model="org/name")
    assert len(charts(app)) == 1
    app.selectbox(key="explore_model").set_value("org/other").run()
    assert len(charts(app)) == 1 and "zero-shot accuracy at 50 %" in app.caption[0].value
    assert "These methods have no perplexity" in app.info[0].value
    app = open_app(explore_model="org/third", explore_at="30 %")
    assert "zero-shot accuracy at 30 %" in app.caption[0].value and len(charts(app)) == 1
