"""Exports of a page: file names, HTML pages, and one ZIP with all files."""

import io
import re
import zipfile
from dataclasses import replace

from dashboard.exports import files, print_figures
from dashboard.exports.files import LONGEST, export_name, model_part, text_part
from tests.dashboard.exports.conftest import CAPTION


def test_a_file_name_contains_model_text_and_content_in_safe_characters():
    text = text_part("wikitext2", 2048, 16)
    assert export_name("smollm2-135m", text, "perplexity") == "slimscope-smollm2-135m-wikitext2-16x2048-perplexity"
    assert export_name("m", text_part("c4", 128, None), "x") == "slimscope-m-c4-allx128-x"
    name = export_name("m" * 300, "layers")
    assert len(name) <= LONGEST + 1 and name.endswith("m-layers")
    assert model_part("/home/me/tiny") == "tiny" and model_part("org/tiny") == "org/tiny"
    safe = "slimscope-huggingfacetb-smollm2-135m-accuracy-50pct"
    assert export_name("HuggingFaceTB/SmolLM2-135M", "accuracy-50 %") == safe
    assert export_name("m", "accuracy-2:4") == "slimscope-m-accuracy-2of4"
    assert export_name("../ü=&\n?", "x") == "slimscope-x"
    assert export_name("SparseGPT: OPT, perplexity", "c4", "x") == "slimscope-sparsegpt-opt-perplexity-c4-x"


def test_html_is_self_contained_and_only_figures_have_the_sentences_on_their_marks(charts):
    page = files.html(charts["curve"]).decode()
    assert page.startswith("<!doctype html>") and "Plotly.newPlot" in page and CAPTION in page
    assert "<title>Perplexity on passages-eval (log scale, lower is better)</title>" in page
    assert not re.search(r'<script[^>]+src="http', page)
    marked = replace(charts["curve"], marks=" Grey band: diverged models.")
    assert "Grey band" in files.html(marked).decode() and "Grey band" in files.image(marked, "svg", 3.25).decode()
    for table in (files.latex(marked), files.csv(marked), files.csv_long(marked)):
        assert b"Grey band" not in table
    assert b"window 2048" in files.latex(marked)


def test_the_bundle_contains_all_files_and_draws_each_figure_once(charts, monkeypatch):
    drawn, draw = [], print_figures.draw
    monkeypatch.setattr(print_figures, "draw", lambda *args: drawn.append(args) or draw(*args))
    items = [charts["curve"], charts["layers"]]
    archive = zipfile.ZipFile(io.BytesIO(files.bundle(items, 6.75)))
    endings = {".csv", ".tex", ".html", ".png", ".svg", ".pdf"}
    names = {name + ending for name in ("curve", "layers") for ending in endings}
    assert set(archive.namelist()) == names | {"curve-long.csv", "plotly.min.js", "README.txt"}
    assert archive.testzip() is None and len(drawn) == 2
    assert f"curve: {CAPTION}" in archive.read("README.txt").decode()
    assert '<script charset="utf-8" src="plotly.min.js">' in archive.read("curve.html").decode()
    assert b"/MediaBox [ 0 0 486 " in archive.read("curve.pdf")


def test_plain_captions_have_no_markup():
    assert files.plain("**bold** `code`<br>line") == "bold code line"
