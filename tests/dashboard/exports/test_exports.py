"""Files for reports: each opens as what it says it is and carries the protocol."""

import io
import os
import re
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import plotly.graph_objects as go
import psutil
import pytest
from PIL import Image

from core.analysis.differences import differences
from core.store import shipped
from dashboard.charts import dots, figures, papers, points
from dashboard.charts.comparison import comparison
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.style import LIGHT
from dashboard.exports import browser, print_figures
from dashboard.exports import files as exports
from tests.dashboard.synthetic import curve

CAPTION = "smollm2-135m, perplexity on passages-eval: window 2048, first 16 windows, float32. Bars: one standard error."
MAGIC = {"png": b"\x89PNG", "svg": b"<", "pdf": b"%PDF"}


@pytest.fixture(scope="session")
def items(frame, perplexities):
    found, dense = perplexities
    rows = points.at_amount(points.headline(frame), "50 %")
    shown = points.with_mean(points.accuracies(rows), rows)
    order = list(dict.fromkeys(shown["task"]))
    layers = pd.DataFrame([layer.model_dump() for layer in curve()[5].layers])
    unpaired = differences([], curve()[0], lambda key, number: None)
    table = comparison(found, points.seven_means(points.headline(frame)), dense, unpaired, unpaired)
    return [
        exports.Chart(
            "curve",
            CAPTION,
            table,
            lambda: perplexity_curve(found, dense, figures.RATIO, LIGHT, "passages-eval"),
        ),
        exports.Chart("tasks", CAPTION, shown, lambda: dots.accuracy_dots(shown, LIGHT, order)),
        exports.Chart("layers", CAPTION, layers, lambda: figures.layer_heatmap(layers, LIGHT, "error", "Error")),
    ]


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setattr(browser.Browser, "render", lambda *args, **kwargs: None)


@pytest.mark.parametrize("format", exports.IMAGES)
def test_without_a_browser_matplotlib_draws_every_chart(items, no_browser, format):
    for item in items:
        assert exports.image(item, format, 3.35).startswith(MAGIC[format])


@pytest.mark.parametrize("width", exports.WIDTHS.values())
def test_prints_are_as_wide_as_a_column(items, no_browser, width):
    page = exports.image(items[0], "pdf", width)
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", page)
    assert float(box[1]) == pytest.approx(72 * width, abs=0.5)
    assert Image.open(io.BytesIO(exports.image(items[0], "png", width))).width == pytest.approx(300 * width, abs=2)


def test_the_matplotlib_print_shows_the_same_text(items, no_browser):
    svg = exports.image(items[0], "svg", 6.9).decode()
    for text in ("dense 20.1", "3.4e5", "Wanda (mean, range of 3 seeds)", "2:4", "passages-eval: window 2048"):
        assert text in svg


needs_chromium = pytest.mark.skipif(
    not browser.available() and os.environ.get("CI") != "true",
    reason="no Chromium on this machine: kaleido cannot be tested",
)


@pytest.fixture
def own_browser():
    """A browser of this test's own, and a way to draw with it."""
    own = browser.Browser()
    yield own, lambda _=None: own.render(go.Figure(go.Scatter(y=[1, 2, 3])), "svg", 200, 100)
    own.stop()


def chromiums() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if "chrom" in child.name()]


@needs_chromium
def test_a_browser_that_was_killed_is_started_again(own_browser):
    _, draw = own_browser
    assert draw().startswith(b"<svg")
    for process in chromiums():
        process.kill()
    assert draw().startswith(b"<svg")


@needs_chromium
def test_sessions_that_export_at_once_share_one_browser_that_stops_when_idle(own_browser, monkeypatch):
    own, draw = own_browser
    stopped = threading.Event()
    monkeypatch.setattr(own, "stop", lambda: (browser.Browser.stop(own), stopped.set()))
    with ThreadPoolExecutor(4) as sessions:
        assert all(image.startswith(b"<svg") for image in sessions.map(draw, range(4)))
    assert chromiums()
    monkeypatch.setattr(browser, "IDLE_SECONDS", 0)
    draw()
    assert stopped.wait(60)
    assert not [process for process in chromiums() if process.status() != psutil.STATUS_ZOMBIE]
    assert draw().startswith(b"<svg")


def test_a_chromium_that_does_not_start_is_given_up_at_once(own_browser, monkeypatch):
    own, draw = own_browser
    monkeypatch.setattr(browser, "available", lambda: True)
    monkeypatch.setenv("BROWSER_PATH", "/bin/false")
    assert draw() is None
    monkeypatch.setattr(own, "_start", lambda: pytest.fail("started again"))
    assert draw() is None


@needs_chromium
def test_with_a_browser_kaleido_draws_every_chart(items):
    kept = browser.kept_browser()
    for item in items:
        for format in exports.IMAGES:
            figure, across, down = exports.for_print(item.build(), item.caption, 3.35)
            image = kept.render(figure, format, across, down)
            assert image is not None and image.startswith(MAGIC[format])
    pdf = exports.image(items[0], "pdf", 3.35)
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+)", pdf)
    assert float(box[1]) == pytest.approx(72 * 3.35, abs=1.5)
    kept.stop()
    assert kept.render(figure, "svg", across, down).startswith(b"<svg")  # it starts again
    kept.stop()


def test_a_browser_that_breaks_is_replaced_by_matplotlib(items, monkeypatch):
    broken = browser.Browser()
    monkeypatch.setattr(browser, "available", lambda: True)
    monkeypatch.setattr(broken, "_start", lambda: (_ for _ in ()).throw(RuntimeError("no display")))
    monkeypatch.setattr(exports, "kept_browser", lambda: broken)
    assert exports.image(items[0], "pdf", 3.35).startswith(b"%PDF")


def test_html_is_whole_and_says_the_protocol(items):
    page = exports.html(items[0]).decode()
    assert page.startswith("<!doctype html>") and "Plotly.newPlot" in page and CAPTION in page
    assert not re.search(r'<script[^>]+src="http', page)


def test_csv_reads_back_with_the_protocol(items):
    table = pd.read_csv(io.BytesIO(exports.csv(items[0])))
    assert len(table) == len(items[0].table)
    assert set(table["caption"]) == {CAPTION}


def test_no_cell_of_a_csv_is_a_formula():
    table = pd.DataFrame({"Method": ['=HYPERLINK("http://x")', "Wanda"], "vs dense": [-1.5, 2.0]})
    text = exports.csv(exports.Item("x", "@SUM(A1), float32.", table)).decode()
    assert text.splitlines() == [
        "Method,vs dense,caption",
        '"\'=HYPERLINK(""http://x"")",-1.5,"\'@SUM(A1), float32."',
        'Wanda,2.0,"\'@SUM(A1), float32."',
    ]


def test_latex_is_booktabs_with_the_best_in_bold():
    table = pd.DataFrame(
        {
            "Method": ["Dense", "Magnitude", "SparseGPT", "SparseGPT"],
            "Removed": ["0 %", "50 %", "50 %", "2:4"],
            "Perplexity": [20.1, 420.0, 37.0, float("inf")],
            "Mean accuracy (%)": [48.7, None, 44.0, 40.0],
            "Seeds": [1, 1, 3, 1],
        }
    )
    text = exports.latex(exports.Item("points_of_a_model", "A & B, 50 % of x_1.", table)).decode()
    assert text == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table}[t]\n"
        "\\centering\n"
        "\\caption{A \\& B, 50 \\% of x\\_1.}\n"
        "\\label{tab:points_of_a_model}\n"
        "\\begin{tabular}{llrrr}\n"
        "\\toprule\n"
        "Method & Removed & Perplexity & Mean accuracy (\\%) & Seeds \\\\\n"
        "\\midrule\n"
        "Dense & 0 \\% & 20.10 & 48.70 & 1 \\\\\n"
        "Magnitude & 50 \\% & 420.00 & -- & 1 \\\\\n"
        "SparseGPT & 50 \\% & \\textbf{37.00} & 44.00 & 3 \\\\\n"
        "SparseGPT & 2:4 & $\\infty$ & 40.00 & 1 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
    )


def test_a_chain_is_escaped_in_latex_and_its_label_has_no_odd_signs():
    table = pd.DataFrame({"Chain": ["wanda@0.5,true_sequential=false+adaprune"], "Perplexity": [30.0]})
    item = exports.Item("m-wanda@0.5,true_sequential=false+adaprune-stages", "m (`wanda@0.5,layers=mlp_x`).", table)
    text = exports.latex(item).decode()
    assert "wanda@0.5,true\\_sequential=false+adaprune & 30.00" in text
    assert "\\caption{m (wanda@0.5,layers=mlp\\_x).}" in text
    assert "\\label{tab:m-wanda-0.5-true_sequential-false-adaprune-stages}" in text


def test_the_papers_sizes_print_too(no_browser):
    rows = papers.rows_of(shipped.published(), papers.TABLES[0])
    rows = rows[rows["dataset"] == "wikitext2"]
    shown, models = papers.by_model(rows), list(dict.fromkeys(rows["model"]))
    item = exports.Chart(
        "sizes", CAPTION, shown, lambda: figures.perplexity_by_model(shown, models, LIGHT, "WikiText-2")
    )
    svg = exports.image(item, "svg", 3.35).decode()
    for text in ("125M", "175B", "OPT model size", "SparseGPT 2:4"):
        assert text in svg


def test_the_bundle_holds_everything(items, no_browser):
    archive = zipfile.ZipFile(io.BytesIO(exports.bundle(items[:1], 6.9)))
    names = {f"curve.{ending}" for ending in ("csv", "tex", "html", "png", "svg", "pdf")} | {"README.txt"}
    assert set(archive.namelist()) == names
    assert archive.testzip() is None
    assert CAPTION in archive.read("README.txt").decode()


def test_captions_lose_their_marks():
    assert print_figures.plain("**bold** `code`<br>line") == "bold code line"


def test_intervals_and_verdicts_are_in_csv_and_latex():
    table = pd.DataFrame(
        {
            "Method": ["Dense", "Wanda"],
            "Ratio, 95 %": [None, "[1.04, 1.08]"],
            "Perplexity is": [None, "worse"],
            "Accuracy, 95 %": [None, "[-2.1, +0.4]"],
            "Accuracy is": [None, "no difference can be told"],
        }
    )
    item = exports.Item("points", CAPTION, table)
    read = pd.read_csv(io.BytesIO(exports.csv(item)))
    assert read.loc[1, "Accuracy is"] == "no difference can be told" and read.loc[1, "Ratio, 95 %"] == "[1.04, 1.08]"
    assert read["Accuracy, 95 %"][1] == "[-2.1, +0.4]"
    text = exports.latex(item).decode()
    assert "Dense & -- & -- & -- & -- \\\\" in text
    assert "Wanda & [1.04, 1.08] & worse & [-2.1, +0.4] & no difference can be told \\\\" in text
