"""Highlighted series are distinguishable without colour vision and in print, and arrows connect what follows."""

import itertools

import numpy as np
import pytest

from core.findings import axes
from core.findings.curve import MAX_HIGHLIGHTED, default_series
from core.findings.numbers.frame import tidy
from core.findings.rows import choices, points, zeroshot
from core.registry import METHODS
from core.store import bundled
from dashboard.charts import scores
from dashboard.charts.curve import perplexity_curve, styles_of
from dashboard.charts.elements.style import DARK, LIGHT, SeriesStyle, look
from dashboard.exports.print_figures import draw
from tests.dashboard.charts.drawn import arrows, trace
from tests.synthetic import chained, curve, result

DEUTERANOPIA = np.array(  # Machado et al. 2009, severity 1, for linear RGB
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)
MIN_DISTANCE = 10.0  # CIE 1976 distance in Lab that is seen at a glance between thin lines
FAMILIES = list(dict.fromkeys(method.family for method in METHODS if method.takes_amount))


def linear(colour: str) -> np.ndarray:
    values = np.array([*bytes.fromhex(colour[1:])]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    x, y, z = np.cbrt(TO_XYZ @ np.clip(light, 0, 1) / WHITE)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def seen(colour: str, eyes: str) -> np.ndarray:
    """Return a colour in Lab as it is seen with deuteranopia, or printed in grey."""
    light = linear(colour)
    return lab(DEUTERANOPIA @ light if eyes == "deuteranopia" else np.full(3, TO_XYZ[1] @ light))


def distinguishable(one: SeriesStyle, other: SeriesStyle, eyes: str) -> bool:
    if (one.symbol, one.dash) != (other.symbol, other.dash):
        return True
    return float(np.linalg.norm(seen(one.color, eyes) - seen(other.color, eyes))) >= MIN_DISTANCE


@pytest.fixture(scope="module")
def shown():
    """The bundled points and the series that Explore highlights by default, by (model, family)."""
    frame = tidy(list(bundled.read_measured().results.values()))
    found = {}
    for model, rows in frame.groupby("model"):
        corpus, protocol = next(iter(choices.texts(rows).values()))
        read = rows[(rows["metric"] == "perplexity") & (rows["protocol_id"] == protocol) & (rows["dataset"] == corpus)]
        known = zeroshot.scored(rows)
        for family in FAMILIES:
            mine = choices.shown(read, [method.name for method in METHODS if method.family == family])
            mine = choices.curved(mine, axes.BITS if family == "quantisation" else axes.RATIO)
            of = [next(iter(texts(mine, known)), None) for texts in (choices.calibrations, choices.trainings)]
            made = points.collapse(choices.filter_by_text(mine[~points.is_dense(mine)], *of))
            found[str(model), family] = made, default_series(made) if len(made) else []
    return found


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("eyes", ["deuteranopia", "grey"])
def test_the_highlighted_series_of_a_family_are_distinguishable(shown, eyes, theme):
    most = max(len(highlighted) for _, highlighted in shown.values())
    assert MAX_HIGHLIGHTED <= most <= MAX_HIGHLIGHTED + 2  # the best with and without training
    alike = [
        (model, one, other)
        for (model, _), (made, highlighted) in shown.items()
        for one, other in itertools.combinations(map(styles_of(made, theme).get, highlighted), 2)
        if not distinguishable(one, other, eyes)
    ]
    assert alike == []


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
