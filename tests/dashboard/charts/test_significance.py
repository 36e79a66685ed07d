"""Highlighted series are distinguishable without colour vision, and in grey print."""

import itertools

import numpy as np
import pytest

from core.findings import axes
from core.findings.best import highlights
from core.findings.numbers.frame import tidy
from core.findings.rows import choices, points, zeroshot
from core.registry import METHODS
from core.store import bundled
from dashboard.charts.curve import styles_of
from dashboard.charts.elements.style import DARK, LIGHT, SeriesStyle

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
            found[str(model), family] = made, highlights.default_series(made) if len(made) else []
    return found


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("eyes", ["deuteranopia", "grey"])
def test_the_highlighted_series_of_a_family_are_distinguishable(shown, eyes, theme):
    most = max(len(highlighted) for _, highlighted in shown.values())
    assert highlights.MAX_HIGHLIGHTED <= most <= highlights.MAX_HIGHLIGHTED + 2  # the best with and without training
    alike = [
        (model, one, other)
        for (model, _), (made, highlighted) in shown.items()
        for one, other in itertools.combinations(map(styles_of(made, theme).get, highlighted), 2)
        if not distinguishable(one, other, eyes)
    ]
    assert alike == []
