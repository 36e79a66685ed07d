"""Chart of a made-up family tree: colours, marks, names and the printed version."""

import math
from itertools import pairwise

import numpy as np
import pytest

from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import DARK, LIGHT
from dashboard.charts.family.chart import CAP, family_tree, name_rows
from dashboard.charts.family.layout import DIVERGED, ELSEWHERE, FOLDED, LINE, LONGEST, UNKNOWN, Tree
from dashboard.exports import print_figures
from tests.dashboard.charts.drawn import each_mark
from tests.dashboard.charts.family.made_up import ID, NODES
from tests.dashboard.exports.test_print import drawn

TITLE = "Perplexity on passages-eval, times dense"


def draw(family="unstructured", opened=("wanda", "magnitude"), chosen=(), theme=LIGHT):
    return family_tree(NODES, theme, family, opened, TITLE, chosen)


def marks_in(figure):
    """Return the colour (a number or a text) and the symbol of each mark by the target of its click."""
    found = {}
    for trace, place, row in each_mark(figure):
        color = trace.marker.color
        found[row[0]] = color if isinstance(color, str) else color[place], trace.marker.symbol[place]
    return found


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_colour_is_the_logarithm_of_the_multiple_up_to_a_cap(theme):
    marks = marks_in(draw(theme=theme))
    assert marks[ID["dense"]] == (0.0, "star")
    assert marks[ID["wanda@0.5"]] == (pytest.approx(math.log(2.2)), "circle")
    assert marks[ID["magnitude@0.5"]][0] == pytest.approx(math.log(CAP))
    (bar,) = (trace.marker for trace in draw().data if trace.marker.colorscale)
    assert (bar.cmin, bar.cmax) == (0, pytest.approx(math.log(CAP)))
    ticks = dict(zip(bar.colorbar.ticktext, np.exp(np.array(bar.colorbar.tickvals)), strict=True))
    assert ticks.pop(f"≥ {CAP:g}") == pytest.approx(CAP)
    assert ticks == {text: pytest.approx(float(text)) for text in ticks} and "1" in ticks
    better = NODES.assign(times_dense=NODES["times_dense"].mask(NODES["chain"] == "wanda@0.3", 0.9))
    figure = family_tree(better, theme, "unstructured", ["wanda"], TITLE)
    assert marks_in(figure)[ID["wanda@0.3"]][0] == 0.0  # the colour of dense


def test_nodes_without_a_multiple_are_grey_and_diverged_ones_are_marked():
    marks = marks_in(draw())
    assert marks[ID["magnitude@0.7"]] == (pytest.approx(math.log(CAP)), "triangle-up")
    assert marks[ID["wanda@0.1"]] == (LIGHT.muted, "circle-open")
    assert marks[ID["wanda@0.5+gptq@4bit"]] == (LIGHT.muted, "x")
    legend = {trace.name for trace in draw().data if trace.name}
    assert legend == {DIVERGED, ELSEWHERE, UNKNOWN, FOLDED}
    assert {trace.name for trace in draw(opened=["magnitude"]).data if trace.name} == {DIVERGED, FOLDED}


def test_the_hover_text_explains_the_node():
    (texts,) = ({row[0]: row[1] for row in trace.customdata} for trace in draw().data if trace.marker.colorscale)
    text = texts[ID["wanda@0.5+adaprune"]]
    assert "<b>AdaPrune</b>" in text and "wanda@0.5 +adaprune" in text and "2.00 times dense, perplexity 40" in text
    assert "MB packed" in text and "diverged" not in text and "diverged" in texts[ID["magnitude@0.7"]]
    grey = [row[1] for trace, _, row in each_mark(draw()) if trace.marker.symbol and "x" in trace.marker.symbol]
    assert grey == ["<b>GPTQ, 4 bit</b><br>wanda@0.5 +gptq@4bit<br>not measured"]


def test_folds_are_marks_that_a_click_returns():
    marks = marks_in(draw(opened=["wanda"]))
    assert marks["method:wanda"][1] == "square-open"
    assert marks["method:magnitude"] == (pytest.approx(math.log(1.1)), "square")
    assert {target for target in marks if ":" in target} == {
        *("method:wanda", "method:magnitude", "family:structured", "family:quantisation")
    }


def test_chosen_nodes_have_rings_and_the_path_of_the_first_is_thick():
    figure = draw(chosen=(ID["wanda@0.5+adaprune"], ID["wanda@0.3"]))
    rings = [
        trace
        for trace in figure.data
        if trace.marker.symbol == "circle-open" and trace.hoverinfo == "skip" and trace.name is None
    ]
    assert len(rings) == 2
    (thick,) = (trace for trace in figure.data if trace.line.width == 2.5)
    marks = {row[0]: (trace.x[place], trace.y[place]) for trace, place, row in each_mark(figure)}
    corners = set(zip(thick.x, thick.y, strict=True))
    assert {marks[ID[chain]] for chain in ("dense", "wanda@0.5", "wanda@0.5+adaprune")} <= corners
    assert marks[ID["wanda@0.3"]] not in corners
    assert (rings[0].x[0], rings[0].y[0]) == marks[ID["wanda@0.5+adaprune"]]
    folded = draw(opened=["wanda"], chosen=(ID["magnitude@0.5+adaprune"],))
    assert not any(trace.marker.size == 20 for trace in folded.data)


def test_the_height_follows_the_rows_and_names_do_not_overlap():
    few, many = (draw(opened=opened).layout.height for opened in ((), ("wanda",)))
    assert many > few + 5 * 20
    figure = draw()
    notes = figure.layout.annotations
    ends = [(note.y - 6.5 * lines, note.y + 6.5 * lines) for note in notes for lines in [note.text.count("<br>") + 1]]
    assert all(one[1] <= other[0] for one, other in pairwise(ends))
    assert all(-figure.layout.margin.l <= note.xshift for note in notes)
    widest = max(note.xshift + 5.5 * max(map(len, note.text.split("<br>"))) for note in notes)
    assert widest <= 0


@pytest.mark.parametrize(
    "text",
    ["passages-calibration:16x2048, seed 12", "+ White-box distillation", "x" * 90, "layers a:b::c", "allocation owl"],
)
def test_long_names_are_wrapped_into_short_lines(text):
    tree, short = Tree(), Tree()
    tree.add_row(text, 2)
    short.add_row("Wanda", 2)
    drawing = Drawing(LIGHT, 100)
    name_rows(drawing, tree)
    lines = drawing.layout["annotations"][0]["text"].split("<br>")
    assert all(len(line) <= LONGEST for line in lines)
    assert tree.pixels == short.pixels + 12 * (len(lines) - 1)
    if text != "x" * 90:
        assert "".join(lines).replace(" ", "").replace("\N{NO-BREAK SPACE}", "") == text.replace(" ", "")
        assert len(lines) > 1 or len(text) <= LINE


def test_the_print_has_every_name_and_the_colour_bar():
    figure = draw("unstructured", ["wanda"], (ID["wanda@0.5"],))
    page = print_figures.draw(figure, 3.25, "A caption.")
    written = drawn(page)
    texts = [text for text, _ in written]
    names = [note.text.replace("<br>", " ") for note in figure.layout.annotations]
    assert set(names) <= set(texts) and TITLE in texts and f"≥ {CAP:g}" in texts
    assert set(figure.layout.xaxis.ticktext) - {""} <= set(texts)
    for text, box in written:
        assert box.x0 >= -1 and box.x1 <= page.bbox.x1 + 1 and box.y0 >= -1 and box.y1 <= page.bbox.y1 + 1, text
    assert page.get_figheight() <= 8.5


def test_printed_names_of_amounts_do_not_overlap():
    page = print_figures.draw(draw(), 3.25)
    assert {"10 %", "2:4"} <= {text for text, _ in drawn(page)}
    lines: dict[int, list] = {}
    for name in page.axes[0].get_xticklabels():
        lines.setdefault(name.get_text().count("\n"), []).append(name.get_window_extent())
    assert len(lines) > 1  # one line is too short for all
    assert all(one.x1 < other.x0 for boxes in lines.values() for one, other in pairwise(boxes))
