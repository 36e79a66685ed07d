"""Exports of a page: its files, and tables as papers print them, the best in bold, in valid LaTeX."""

import io
import math
import re
import zipfile
from dataclasses import replace

import pandas as pd
import pytest

from core.findings.numbers.latex import escaped
from dashboard.exports import files, print_figures
from dashboard.exports.files import LONGEST, export_name, model_part, text_part
from dashboard.exports.pivots import DENSE_COLUMN, HIGHEST, Pivot, of_means, wide
from tests.core.notation.latex import check_table
from tests.dashboard.exports.conftest import CAPTION


def points(values: dict[tuple[str, str], tuple[float, float]], **more) -> pd.DataFrame:
    """Rows of (series, where): (value, error)."""
    rows = [(*place, value, value - error, value + error) for place, (value, error) in values.items()]
    return pd.DataFrame(rows, columns=["series_label", "amount_label", "value", "low", "high"]).assign(**more)


THREE = {
    ("Wanda", "50 %"): (46.0, 1.0),
    ("SparseGPT", "50 %"): (45.2, 0.5),
    ("Magnitude", "50 %"): (420.0, 9.0),
    ("Dense", "nothing removed"): (20.1, 0.4),
    ("Wanda", "2:4"): (80.0, 2.0),
    ("SparseGPT", "2:4"): (math.inf, 0.0),
    ("Magnitude", "2:4"): (5.5e4, 100.0),
}


def pivot(values=THREE, **more) -> Pivot:
    return Pivot("Perplexity", points(values), "amount_label", True, **more)


def item(*pivots, name="x", table=None, caption=CAPTION, **more):
    return files.Item(
        name=name, caption=caption, table=pd.DataFrame() if table is None else table, pivots=pivots, **more
    )


def body(text: str) -> list[str]:
    """The lines of a LaTeX table from its header on."""
    lines = text.splitlines()
    return lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]


def test_a_pivot_has_the_values_of_the_frame(perplexity_pivot):
    table, rows = wide([perplexity_pivot]).set_index("Method"), perplexity_pivot.points
    seen = 0
    for _, row in rows.iterrows():
        column = row["amount_label"].replace("nothing removed", DENSE_COLUMN)
        assert table.loc[row["series_label"], column] == row["value"]
        assert table.loc[row["series_label"], f"{column} error"] == pytest.approx((row["high"] - row["low"]) / 2)
        seen += 1
    assert seen == table.drop(columns=[name for name in table if name.endswith("error")]).count().sum()
    assert table.index[0] == "Dense"
    amounts = [name for name in table if not name.endswith("error")]
    assert amounts == ["0 %", "10 %", "20 %", "30 %", "40 %", "50 %", "60 %", "70 %", "4:8", "2:4"]


def test_the_best_value_of_a_group_and_those_within_its_error_are_bold():
    assert pivot().best == {("SparseGPT", "50 %"), ("Wanda", "50 %"), ("Wanda", "2:4")}
    higher = Pivot("Accuracy", points(THREE), "amount_label", False)
    assert ("Magnitude", "50 %") in higher.best and ("Wanda", "50 %") not in higher.best
    values = {(name, "x"): (value, 0.1) for name, value in zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True)}
    two = points(values, removed=["20 %", "20 %", "50 %", "50 %"])
    assert Pivot("Perplexity", two, "amount_label", True, group="removed").best == {("a", "x"), ("c", "x")}


def test_a_paired_test_overrides_the_errors():
    def is_distinguishable(column, best, others):
        assert (column, best) in {("50 %", "b"), ("2:4", "a")} and best not in others
        return {"a": True, "c": False} if column == "50 %" else {}

    keyed = points(THREE).assign(key=["a", "b", "c", "d", "a", "b", "c"])
    found = Pivot("Perplexity", keyed, "amount_label", True, is_distinguishable=is_distinguishable).best
    assert found == {("SparseGPT", "50 %"), ("Magnitude", "50 %"), ("Wanda", "2:4")}


def test_latex_of_a_pivot_explains_its_signs():
    text = files.latex(item(pivot(order=["50 %", "2:4"]), name="slimscope-m-perplexity")).decode()
    check_table(text)
    assert text.startswith("% needs \\usepackage{booktabs}\n") and "\\label{tab:slimscope-m-perplexity}" in text
    assert f"\\caption{{{CAPTION} $\\pm$: one standard error, or half" in text and "\\begin{table}[t]" in text
    assert "Bold: best in column, or within the error of it.}" in text
    assert body(text) == [
        r"Method & 50 \% & 2:4 \\",
        r"\midrule",
        r"Dense & \multicolumn{2}{c}{20.1\,{\tiny$\pm$0.4}} \\",
        r"\midrule",
        r"Wanda & \textbf{46.0}\,{\tiny$\pm$1.0} & \textbf{80.0}\,{\tiny$\pm$2.0} \\",
        r"SparseGPT & \textbf{45.2}\,{\tiny$\pm$0.5} & $\infty$ \\",
        r"Magnitude & 420\,{\tiny$\pm$9} & $5.5{\times}10^{4}$ \\",
    ]
    paired = files.latex(item(pivot(is_distinguishable=lambda *_: {}, error_is="half"))).decode()
    assert "$\\pm$: half. " in paired and "not significantly different from it (paired tests, Holm-adj" in paired
    exact = files.latex(item(pivot({("a", "x"): (1.0, 0.0), ("b", "x"): (2.0, 0.0)}))).decode()
    assert "Bold: best in column.}" in exact and "$\\pm$" not in exact


def test_several_metrics_are_blocks_of_one_table(charts, perplexity_pivot):
    means = pd.DataFrame(
        [("k", "Dense", "nothing removed", 0.443, 0.01), ("l", "Wanda", "50 %", 0.4, 0.01)],
        columns=["key", "series_label", "amount_label", "mean", "stderr"],
    )
    for chart in charts.values():
        check_table(files.latex(chart).decode())
    both = [perplexity_pivot, Pivot("Mean above chance (%)", of_means(means), "amount_label", False, form=".1f")]
    text = files.latex(item(*both)).decode()
    check_table(text)
    assert r"\multicolumn{10}{l}{\emph{Mean above chance (\%)}} \\" in text and "\\begin{table*}" in text
    assert [line for line in body(text) if line.startswith("Wanda")][1].count("--") == 8
    table = wide(both)
    assert table.set_index(["Metric", "Method"]).loc[("Mean above chance (%)", "Wanda"), "50 %"] == pytest.approx(40.0)


def test_pivots_without_common_columns_are_separate_tables():
    bits = {("Dense", "nothing removed"): (20.1, 0.4), ("GPTQ", "4 bit"): (26.0, 2.0), ("RTN", "4 bit"): (28.0, 2.0)}
    text = files.latex(item(pivot(), pivot(bits), name="x")).decode()
    check_table(text)
    assert text.count("\\begin{table") == 2 and "\\label{tab:x}" in text and "\\label{tab:x-2}" in text
    first, second = text.split("\\label{tab:x-2}")
    assert "GPTQ" not in first and "Wanda" not in second and second.count("Dense") == 1


def test_means_of_several_seeds_are_one_point_with_their_range():
    rows = [("a", "Wanda", "50 %", 0.40, 0.01), ("b", "Wanda", "50 %", 0.44, 0.01)]
    (point,) = of_means(pd.DataFrame(rows, columns=["key", "series_label", "amount_label", "mean", "stderr"])).to_dict(
        "records"
    )
    assert (point["value"], point["low"], point["high"], point["key"]) == pytest.approx((42, 40, 44, "a"))


def test_wide_tables_have_a_smaller_font_or_span_both_columns():
    long = {("a", f"{place} numbers of a long name"): (1234.5, 0.1) for place in range(12)}
    forms = []
    for count in (3, 4, 8):
        text = files.latex(item(pivot(dict(list(long.items())[:count])))).decode()
        check_table(text)
        form = re.search(r"\\begin\{(table\*?)\}.*\n(\\(?:small|footnotesize|scriptsize))\n", text, re.DOTALL)
        forms.append(form.groups())
    assert forms == [("table", r"\small"), ("table*", r"\small"), ("table*", r"\footnotesize")]


def test_special_characters_are_escaped_and_long_chains_break_at_commas_and_plus_signs():
    special = "a_b & 50 % of $x^2 {#1} ~\\input <y>"
    chain = "AdaPrune 20 % + AdaPrune 40 % + AdaPrune"
    values = {(special, "50 %"): (2.0, 0.1), (chain, "50 %"): (3.0, 0.1)}
    text = files.latex(item(pivot(values), caption=special)).decode()
    check_table(text)
    assert r"\textbackslash{}input" in text and r"\begin{tabular}[t]{@{}l@{}}AdaPrune 20 \% + AdaPrune \\ 40 \%" in text
    assert escaped("1 → ∞, ±2") == r"1 $\to$ $\infty$, $\pm$2"
    chain = "sparsegpt@0.5+lora,batch=4,learning_rate=0.002,minutes=5"
    text = files.latex(item(table=pd.DataFrame({"Chain": [chain], "MB": [1]}))).decode()
    check_table(text)
    lines = re.search(r"\[t\]\{@\{\}l@\{\}\}(.*?)\\end", text)[1].replace(r"\_", "_").split(r" \\ ")
    assert "".join(lines) == chain and all(line.endswith(",") for line in lines[:-1])
    assert len(lines) == 4 and max(map(len, lines)) <= 26


def test_a_plain_table_uses_its_formats():
    table = pd.DataFrame({"Stage": ["LoRA", "x_y"], "Seconds": [61.26, None], "Steps": [3, 4], "Why": [None, "a & b"]})
    text = files.latex(item(table=table, formats={"Seconds": "%.1f"})).decode()
    check_table(text)
    assert body(text)[2:] == [r"LoRA & 61.3 & 3 & -- \\", r"x\_y & -- & 4 & a \& b \\"]
    assert "{lrrl}" in text


def test_errors_have_the_decimals_of_their_value():
    found = pivot(
        {("a", "x"): (25.0, 1.96), ("b", "x"): (1234.0, 45.6), ("c", "x"): (134.0, 0.3), ("d", "x"): (8.3, 0)}
    )
    written = {series: found.written(cell) for (series, _), cell in found.cells.items()}
    assert written == {"a": ("25.0", "2.0"), "b": ("1,234", "46"), "c": ("134", "0.3"), "d": ("8.30", "")}


def test_csv_reads_back_as_numbers_and_no_cell_is_a_formula(charts):
    read = pd.read_csv(io.BytesIO(files.csv(charts["curve"])))
    assert all(pd.api.types.is_numeric_dtype(read[name]) for name in read.columns if name != "Method")
    assert "caption" not in read and len(read) == 4
    read = pd.read_csv(io.BytesIO(files.csv_long(charts["tasks"])))
    assert len(read) == len(charts["tasks"].table) and set(read["caption"]) == {CAPTION}
    assert read["value"].tolist() == pytest.approx(charts["tasks"].table["value"].tolist())
    name, values = "=HYPERLINK(1)", {("=HYPERLINK(1)", "50 %"): (-1.5, 0.5)}
    rows = files.csv(item(pivot(values))).decode().splitlines()
    assert rows[1].lstrip('"').startswith(f"'{name}") and rows[1].endswith(",-1.5,0.5")
    long = files.csv_long(item(table=pd.DataFrame({"Method": [name], "vs dense": [-1.5]}), caption=name)).decode()
    assert long.count(f"'{name}") == 2 and ",-1.5," in long


def test_a_long_table_continues_in_another():
    table = pd.DataFrame({"Layer": [f"layer-{place}" for place in range(2 * HIGHEST + 1)], "Sparsity": 0.5})
    text = files.latex(item(name="layers", table=table)).decode()
    check_table(text)
    parts = re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.DOTALL)
    assert [part.count("layer-") for part in parts] == [HIGHEST, HIGHEST, 1]
    assert all("Layer & Sparsity" in part for part in parts) and text.count(r"\label{") == 1
    assert all(r"\caption{Continued from table \ref{tab:layers}.}" in part for part in parts[1:])


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
