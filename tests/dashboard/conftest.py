"""Fixtures of the dashboard's tests: tidy rows of made-up results, and the app on a store that holds them."""

import pytest

from core.analysis.frame import tidy
from dashboard.charts import points
from tests.dashboard.synthetic import curve, result


@pytest.fixture(scope="session")
def frame():
    """Made-up results with three seeds of one Wanda point."""
    return tidy([*curve(), result("wanda", 46.0, 0.5, seed=1), result("wanda", 41.0, 0.5, seed=2)])


@pytest.fixture(scope="session")
def perplexities(frame):
    """(points, dense) of the made-up curve."""
    rows = frame[frame["metric"] == "perplexity"]
    dense = rows["method"] == "dense"
    return points.collapse(rows[~dense]), points.collapse(rows[dense])
