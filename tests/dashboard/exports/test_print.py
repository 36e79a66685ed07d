"""Printed figures: in the column width, at most as high as a page, titled and self-contained."""

import io
import re
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from core.findings.axes import PACKED, RATIO
from core.registry import STAGES
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import LIGHT, layout, look
from dashboard.charts.matrices import layer_heatmap
from dashboard.exports import files, print_figures
from dashboard.exports.print_traces import MARKERS
from tests.dashboard.exports.conftest import CAPTION

KINDS = ("curve", "tasks", "layers", "sizes")


def drawn(page) -> list[tuple[str, Bbox]]:
    """Return each text on a page, in one line, with its box."""
    found, draw = [], Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text().replace("\n", " ").strip(), self.get_window_extent(renderer)))
        draw(self, renderer, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        page.canvas.draw()
    return found


def texts(page) -> list[str]:
    return [text for text, _ in drawn(page)]


@pytest.mark.parametrize(
    ("kind", "width"), [*zip(("curve", "layers"), files.WIDTHS.values(), strict=True), ("histogram", 3.25)]
)
def test_a_pdf_has_the_column_width_and_embeds_font_and_title(charts, kind, width):
    pdf = files.image(charts[kind], "pdf", width)
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert float(box[0]) == 72 * width and float(box[1]) <= 72 * 8.5
    fonts, embedded = re.findall(rb"/BaseFont /\w+\+(\w+)\n", pdf), re.findall(rb"/FontFile2", pdf)
    assert set(fonts) == {b"DejaVuSans"} and embedded and b"/Type3" not in pdf
    title = charts[kind].build().layout.title.text.replace("(", r"\(").replace(")", r"\)")
    assert f"/Title ({title})".encode() in pdf
    assert b"window 2048" in pdf  # the caption, as the document's subject


@pytest.mark.parametrize("dpi", files.DPI)
def test_a_png_has_its_resolution_and_no_transparency(charts, dpi):
    image = Image.open(io.BytesIO(files.image(charts["curve"], "png", 3.25, dpi)))
    assert image.mode == "RGB" and image.width == 3.25 * dpi
    assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.1)
    assert image.text["Description"] == CAPTION


def test_an_svg_needs_no_font_and_is_the_same_each_time(charts):
    made = files.image(charts["curve"], "svg", 3.25)
    svg = made.decode()
    assert "<text" not in svg and "font-family" not in svg and "@font-face" not in svg
    assert 'width="234pt"' in svg and "window 2048" in svg
    assert files.image(charts["curve"], "svg", 3.25) == made


@pytest.mark.parametrize(("kind", "width"), [*((kind, 3.25) for kind in KINDS), ("curve", 6.75)])
def test_all_text_is_inside_the_page(charts, kind, width):
    page = print_figures.draw(charts[kind].build(), width, CAPTION)
    for text, box in drawn(page):
        assert box.x0 >= -1 and box.x1 <= page.bbox.x1 + 1, text
        assert box.y0 >= -1 and box.y1 <= page.bbox.y1 + 1, text


def test_a_print_has_the_texts_of_the_screen_and_on_request_the_caption(charts, monkeypatch):
    figure = charts["curve"].build()
    with_it, without = (print_figures.draw(figure, 3.25, caption) for caption in (CAPTION, ""))
    assert CAPTION in texts(with_it) and not any("window 2048" in text for text in texts(without))
    assert with_it.get_figheight() > without.get_figheight()
    seen = []
    monkeypatch.setattr(print_figures, "draw", lambda figure, width, caption: seen.append(caption) or without)
    for captioned in (True, False):
        files.image(charts["curve"], "svg", 3.25, captioned=captioned)
    assert seen == [CAPTION, ""]
    screen = {"dense 20.1", "3.4e5", "Wanda", "2:4 sparsity", "Magnitude", "70 %", figure.layout.title.text}
    assert screen <= set(texts(without))


def test_the_axis_title_names_the_metric(charts):
    def axes(kind):
        return print_figures.draw(charts[kind].build(), 3.25).axes[0]

    assert axes("curve").get_ylabel().startswith("Perplexity on passages-eval")
    assert axes("tasks").get_xlabel() == "Zero-shot accuracy (higher is better)" and not axes("tasks").get_ylabel()
    layers = axes("layers")
    assert layers.get_xlabel() == "Block" and layers.child_axes[0].get_ylabel() == "Output error"


@pytest.mark.parametrize(("column", "tick"), [("bits", "0.4"), ("perplexity_ratio", "0.4"), ("sparsity", "40 %")])
def test_the_colour_bar_has_the_unit_of_its_column(column, tick):
    layers = pd.DataFrame({"block": [0, 1], "role": ["q", "q"], column: [0.25, 0.75]})
    printed = print_figures.draw(layer_heatmap(layers, LIGHT, column, column), 3.25)
    printed.canvas.draw()
    labels = [label.get_text() for label in printed.axes[0].child_axes[0].get_yticklabels()]
    assert tick in labels


def many(count: int, more: str = "") -> go.Figure:
    """Return a curve of `count` methods."""
    figure = go.Figure(layout=layout(LIGHT, 440))
    look = {"mode": "lines+markers", "marker": {"symbol": "circle", "color": "#000"}, "line": {"color": "#000"}}
    for index in range(count):
        figure.add_scatter(x=[0.1, 0.5], y=[20, 30 + 10 * index], name=f"Method {index}{more}", **look)
    return figure.update_layout(title_text="Perplexity", xaxis_title_text="Removed", yaxis_gridcolor="#eee")


def test_a_legend_has_as_many_columns_as_fit_and_literal_dollar_signs():
    columns = [print_figures.draw(many(12), width).legends[0]._ncols for width in (3.25, 6.75)]
    assert columns == [3, 6]
    figure = many(2)
    figure.data[0].name = "$HOME/a$b_c"
    assert "$HOME/a$b_c" in texts(print_figures.draw(figure, 6.75))


def test_few_lines_are_labelled_at_their_ends_or_in_a_legend(perplexities):
    found, dense = perplexities
    one_seed = found.assign(seeds=1)
    build = perplexity_curve(one_seed, dense, RATIO, LIGHT, "passages-eval")
    page = print_figures.draw(build, 3.25)
    axes, (legend,) = page.axes[0], page.legends
    named = {text.get_text(): text for text in axes.texts}
    assert {"Magnitude", "Wanda", "SparseGPT"} <= set(named)
    assert [text.get_text() for text in legend.get_texts()] == ["2:4 sparsity", "4:8 sparsity"]
    for series in ("Wanda", "SparseGPT"):
        end = one_seed[(one_seed["series_label"] == series) & (one_seed["ratio"] == 0.7)]["value"].iloc[0]
        place = axes.transData.inverted().transform(named[series].get_window_extent().get_points())
        assert place[0][1] < end < place[1][1]
    packed = perplexity_curve(one_seed, dense, PACKED, LIGHT, "x")
    assert "Wanda" in [text.get_text() for text in print_figures.draw(packed, 6.75).legends[0].get_texts()]
    short = found[(found["series_label"] != "Wanda") | (found["ratio"] < 0.6)].assign(seeds=1)
    unlike = perplexity_curve(short, dense, RATIO, LIGHT, "x")
    assert "Wanda" in [text.get_text() for text in print_figures.draw(unlike, 6.75).legends[0].get_texts()]


def test_every_tick_of_the_ratios_is_printed_and_a_legend_explains_the_grey_series(perplexities):
    found, dense = perplexities
    page = print_figures.draw(perplexity_curve(found, dense, RATIO, LIGHT, "x", bright=["Wanda"]), 3.25)
    written = texts(page)
    assert {*(f"{ratio} %" for ratio in range(0, 80, 10)), "2:4", "4:8"} <= set(written)
    assert "grey: other variants" in [text.get_text() for text in page.legends[0].get_texts()]
    axes, (title,) = page.axes[0], [box for text, box in drawn(page) if text == RATIO.title]
    inner = axes.get_window_extent()
    assert abs((title.x0 + title.x1) / 2 - (inner.x0 + inner.x1) / 2) < 0.02 * inner.width


def test_sessions_export_the_same_file_concurrently(charts):
    with ThreadPoolExecutor(3) as sessions:
        made = list(sessions.map(lambda _: files.image(charts["layers"], "pdf", 3.25), range(3)))
    assert len(set(made)) == 1


def test_the_marker_of_every_method_can_be_printed():
    assert {look(stage.name, LIGHT).symbol for stage in STAGES} <= set(MARKERS)
