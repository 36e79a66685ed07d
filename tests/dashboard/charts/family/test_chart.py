"""Chart and layout of a made-up family tree: rows, columns, folds, colours, names and the printed version."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from core.findings.inside.family import family_nodes
from core.findings.numbers.frame import tidy
from dashboard.charts.elements.drawing import Drawing
from dashboard.charts.elements.style import DARK, LIGHT
from dashboard.charts.family.chart import CAP, family_tree, name_rows
from dashboard.charts.family.layout import DIVERGED, ELSEWHERE, FOLDED, LINE, LONGEST, STEP, UNKNOWN, Tree, lay_out
from dashboard.exports import print_figures
from tests.dashboard.charts.drawn import each_mark
from tests.dashboard.exports.test_print import drawn
from tests.synthetic import chained, perplexity

CHAINS = {
    "dense": 20.0,
    "magnitude@0.1": 22.0,
    "magnitude@0.5": 400.0,
    "magnitude@0.7": 3e5,
    "magnitude@0.5+adaprune": 60.0,
    "wanda@0.3": 25.0,
    "wanda@0.5": 44.0,
    "wanda@2:4": 120.0,
    "wanda@0.3+lora": 24.0,
    "wanda@0.5+lora": 35.0,
    "wanda@0.5+adaprune": 40.0,
    "wanda@0.5+adaprune+lora": 33.0,
    "wanda@0.7,allocation=owl": 700.0,
    "wanda@0.5+gptq@4bit+rtn@8bit,on=embedding": 50.0,  # its prefix with GPTQ has no results
    "gptq@4bit": 24.0,
    "rotate+gptq@4bit": 22.0,
    "slimllm@0.2": 50.0,
}
ON_ANOTHER = ("wanda@0.1", 21.0)  # on another text
RESULTS = [chained(*one) for one in CHAINS.items()] + [chained(*ON_ANOTHER, corpus="wikitext2")]
TEXT = "passages-eval", perplexity(1.0).protocol_id
NODES = family_nodes([one.variant for one in RESULTS], tidy(RESULTS), TEXT)
ID = dict(zip(NODES["chain"], NODES["node"], strict=True))

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


def test_an_opened_method_has_a_row_per_series_and_later_stage():
    tree = lay_out(NODES, "unstructured", ["wanda"])
    assert [(row.level, row.text) for row in tree.rows] == [
        (0, "Dense"),
        (1, "Wanda"),
        (2, "default parameters"),
        (3, "+ GPTQ, 4 bit"),
        (4, "+ RTN, 8 bit, on embedding"),
        (3, "+ AdaPrune"),
        (4, "+ LoRA"),
        (3, "+ LoRA"),
        (2, "allocation owl"),
        (1, "Magnitude"),
        (1, "Family: structured"),
        (1, "Family: quantisation"),
    ]
    tree = lay_out(NODES[:1], "dense", [])
    assert [row.text for row in tree.rows] == ["Dense"] and not tree.folds and not tree.columns


def test_every_node_has_a_place_of_its_own_and_amounts_of_a_series_are_in_order_on_one_line():
    tree = lay_out(NODES, "unstructured", ["wanda", "magnitude"])
    shown = NODES[NODES["first_method"].isin(("dense", "wanda", "magnitude"))]
    assert set(tree.places) == set(shown["node"])
    assert max(Counter(tree.places.values()).values()) == 1
    assert list(tree.columns) == ["10 %", "30 %", "50 %", "70 %", "2:4"]
    assert list(tree.columns.values()) == sorted(tree.columns.values())
    for chain, column in (("wanda@0.5", "50 %"), ("magnitude@0.5", "50 %"), ("wanda@2:4", "2:4")):
        assert tree.places[ID[chain]][0] == tree.columns[column]
    heights = {tree.places[ID[chain]][1] for chain in ("wanda@0.1", "wanda@0.3", "wanda@0.5", "wanda@2:4")}
    assert len(heights) == 1


def test_a_later_stage_hangs_below_its_parent_and_widens_its_column():
    tree = lay_out(NODES, "unstructured", ["wanda"])
    for row in NODES[(NODES["first_method"] == "wanda") & (NODES["depth"] > 1)].to_dict("records"):
        (x, y), (above_x, above_y) = tree.places[row["node"]], tree.places[row["parent"]]
        assert x == pytest.approx(above_x + STEP) and y > above_y
        assert tree.branches[row["node"]] == [(above_x, above_y), (above_x, y), (x, y)]
    wide = {name: end - start for (name, start), (_, end) in pairwise(tree.columns.items())}
    assert wide["30 %"] == pytest.approx(1.0) and wide["50 %"] > wide["30 %"]
    deepest = max(tree.places[ID[chain]][0] for chain in ID if chain.startswith("wanda@0.5+"))
    assert deepest < tree.columns["70 %"]


def test_a_branch_of_a_first_stage_starts_at_the_dense_model():
    tree = lay_out(NODES, "quantisation", ["rotate"])
    branch = tree.branches[ID["rotate"]]
    assert branch[0] == tree.places[ID["dense"]] and branch[-1] == tree.places[ID["rotate"]]
    (row,) = (row for row in tree.rows if row.height == tree.places[ID["rotate+gptq@4bit"]][1])
    assert list(tree.columns) == ["–"] and row.text == "+ GPTQ, 4 bit"


def test_a_folded_row_has_the_number_of_its_variants_and_their_lowest_loss():
    tree = lay_out(NODES, "unstructured", ["wanda"])
    folds = {fold.target: fold for fold in tree.folds}
    assert folds["method:wanda"].opened and not folds["method:magnitude"].opened
    assert folds["method:magnitude"].text == "4 variants, best 1.10" and folds["method:magnitude"].best == 1.1
    assert folds["family:structured"].text == "1 variant, best 2.50"
    assert folds["family:quantisation"].text == "2 variants, best 1.10"  # Rotate alone has no results
    marked = NODES.assign(own_grid=NODES["chain"] == "magnitude@0.1")
    (fold,) = (fold for fold in lay_out(marked, "unstructured", []).folds if fold.target == "method:magnitude")
    assert fold.text == "4 variants, best 3.00"
    unknown = NODES.assign(times_dense=float("nan"))
    assert "3 variants" not in {fold.text for fold in lay_out(NODES, "unstructured", []).folds}
    assert "4 variants" in {fold.text for fold in lay_out(unknown, "unstructured", []).folds}


def test_twins_of_one_series_and_amount_have_a_row_each():
    twin = NODES[NODES["chain"] == "magnitude@0.5"].assign(node="f" * 64, key="f" * 64)
    both = pd.concat([NODES, twin], ignore_index=True)
    tree = lay_out(both, "unstructured", ["magnitude"])
    places = [tree.places[ID["magnitude@0.5"]], tree.places["f" * 64]]
    assert places[0][0] == places[1][0] and places[0][1] != places[1][1]
