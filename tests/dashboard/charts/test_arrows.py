"""Arrows connect a pruned variant and its reconstructed or fine-tuned version."""

from core.findings import axes
from core.findings.numbers.frame import tidy
from core.findings.rows import points, zeroshot
from dashboard.charts import scores
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import LIGHT, look
from dashboard.exports.print_figures import draw
from tests.dashboard.charts.drawn import arrows, trace
from tests.synthetic import chained, curve, result


def test_an_arrow_connects_pruned_and_fine_tuned_variants():
    frame = tidy([*curve(), result("sparsegpt", 25.0, 0.5, recovery="lora")])
    rows = frame[frame["metric"] == "perplexity"]
    dense, found = points.split_points(rows)
    figure = perplexity_curve(found, dense, axes.RATIO, LIGHT, "x")
    (arrow,) = arrows(figure)
    assert list(arrow.y) == [37.0, 25.0] and arrow.x[0] == arrow.x[1]
    left, right = figure.layout.xaxis.range
    assert 0.01 < (arrow.x[0] - 0.5) / (right - left) < 0.03  # not on the error bars, which would hide it
    assert arrow.legendgroup == "SparseGPT + LoRA"
    trained, pruned = trace(figure, "SparseGPT + LoRA"), trace(figure, "SparseGPT")
    assert trained.line.color == pruned.line.color and trained.marker.symbol != pruned.marker.symbol


def test_each_chain_has_its_own_style_and_arrow():
    twice = "magnitude@0.2+adaprune+magnitude@0.5+adaprune"
    chains = {"magnitude@0.5+adaprune": 100, twice: 80, "wanda@0.5+adaprune": 40, "wanda@0.5+adaprune+lora": 35}
    frame = tidy([*curve(), *(chained(chain, value) for chain, value in chains.items())])
    rows = frame[frame["metric"] == "perplexity"]
    dense, found = points.split_points(rows)
    figure = perplexity_curve(found, dense, axes.RATIO, LIGHT, "x")
    drawn = sorted((round(arrow.y[0]), arrow.y[1], arrow.legendgroup) for arrow in arrows(figure))
    assert drawn == [(40, 35.0, "Wanda + AdaPrune + LoRA"), (44, 40.0, "Wanda + AdaPrune"), (420, 100.0, "AdaPrune")]
    assert len({arrow.x[0] for arrow in arrows(figure)}) == 3
    trained = ["AdaPrune", "AdaPrune 20 % + AdaPrune", "Wanda + AdaPrune", "Wanda + AdaPrune + LoRA"]
    names = ["Magnitude", "Wanda", *trained]
    looks = [(trace(figure, name).line.color, trace(figure, name).marker.symbol) for name in names]
    assert len(set(looks)) == len(names)
    rows = points.at_amount(zeroshot.headline(frame), "50 %")
    shown = zeroshot.with_mean(zeroshot.accuracies(rows), zeroshot.means_above_chance(rows))
    drawn = scores.accuracy_dots(shown, LIGHT, list(dict.fromkeys(shown["task"])))
    assert list(trace(drawn, "Wanda + AdaPrune + LoRA").y) == list(trace(drawn, "Wanda").y)
    assert len(arrows(drawn)) == 3 * 8 and len(draw(drawn, 6.75).axes) == 1  # seven tasks and their mean


def test_a_reconstruction_has_the_colour_of_its_method_and_a_marker_of_its_own():
    assert look("adaprune", LIGHT).symbol == "pentagon" and look("adaprune", LIGHT).color == LIGHT.palette[3]
    once, again, more = look("adaprune", LIGHT), look("adaprune+adaprune", LIGHT), look("wanda+sparsegpt", LIGHT)
    assert once.color == again.color and once.symbol != again.symbol
    assert more.color == look("wanda", LIGHT).color and more.symbol != look("wanda", LIGHT).symbol
    assert look("dense+lora", LIGHT).color == look("dense", LIGHT).color != look("slimllm+lora", LIGHT).color
