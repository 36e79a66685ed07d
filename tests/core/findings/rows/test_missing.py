"""The points that a curve lacks."""

from core.findings.numbers.frame import tidy
from core.findings.rows import missing, points
from tests.synthetic import chained, curve


def test_missing_points_are_those_of_the_grid_beyond_the_earlier_ratio(perplexities):
    frame = tidy([*curve(), chained("magnitude@0.2+adaprune+magnitude@0.5+adaprune", 80.0)])
    rows = frame[frame["metric"] == "perplexity"]
    (wanted,) = missing.of_chains(points.collapse(rows), ["2:4"]).values()
    first = "magnitude@0.2+adaprune+magnitude@"
    assert wanted == [f"{first}{amount}+adaprune" for amount in ("0.3", "0.4", "0.6", "0.7", "2:4")]
    found = perplexities[0]
    assert missing.of_methods(found, ["wanda"], ["2:4", "4:8"]) == {"Wanda": []}
    gap = found[~((found["method"] == "wanda") & (found["amount_label"].isin(["30 %", "2:4"])))]
    wanted = missing.of_methods(gap, ["wanda", "sparsegpt"], ["2:4", "4:8"])
    assert wanted == {"Wanda": ["wanda@0.3", "wanda@2:4"], "SparseGPT": []}
