"""Charts of made-up results, as items to export."""

import pandas as pd
import pytest

from core.findings import axes
from core.findings.numbers.differences import differences
from core.findings.pairs.comparison import comparison
from core.findings.rows import points, zeroshot
from core.findings.rows.zeroshot import in_percent
from core.store import bundled
from dashboard.charts import papers, scores
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import LIGHT
from dashboard.charts.matrices import layer_heatmap, number_histogram
from dashboard.charts.papers import perplexity_by_model
from dashboard.exports.files import Chart
from dashboard.exports.pivots import Pivot
from tests.synthetic import curve

CAPTION = "smollm2-135m, perplexity on passages-eval: window 2048, first 16 windows, float32. Bars: one standard error."


@pytest.fixture(scope="session")
def perplexity_pivot(perplexities):
    found, dense = perplexities
    both = pd.concat([dense, found])
    return Pivot("Perplexity on passages-eval", both, "amount_label", True, order=points.amounts(found))


@pytest.fixture(scope="session")
def shown(frame):
    """Accuracies with 50 % removed, and their mean."""
    rows = points.at_amount(zeroshot.headline(frame), "50 %")
    return zeroshot.with_mean(zeroshot.accuracies(rows), zeroshot.means_above_chance(rows))


@pytest.fixture(scope="session")
def charts(frame, perplexities, perplexity_pivot, shown):
    """A curve, accuracies, a map and a histogram of layers, and a paper's perplexities by model."""
    found, dense = perplexities
    order = list(dict.fromkeys(shown["task"]))
    layers = pd.DataFrame([layer.model_dump() for layer in curve()[5].layers])
    errors = layers.set_index("name")["error"]
    unpaired = differences([], curve()[0], lambda key, number: None)
    table = comparison(found, zeroshot.means_above_chance(zeroshot.headline(frame)), dense, unpaired, unpaired)
    rows = papers.rows_of(bundled.published(), papers.TABLES[0])
    rows = rows[rows["dataset"] == "wikitext2"]
    sizes, models = papers.by_model(rows), list(dict.fromkeys(rows["model"]))

    def chart(name, table, build, *pivots):
        return Chart(name=name, caption=CAPTION, table=table, build=build, pivots=pivots)

    return {
        "curve": chart(
            "curve",
            table,
            lambda: perplexity_curve(found, dense, axes.RATIO, LIGHT, "passages-eval"),
            perplexity_pivot,
        ),
        "tasks": chart(
            "tasks",
            shown,
            lambda: scores.accuracy_dots(shown, LIGHT, order),
            Pivot("Zero-shot accuracy (%)", in_percent(shown), "task", False, form=".1f"),
        ),
        "layers": chart("layers", layers, lambda: layer_heatmap(layers, LIGHT, "error", "Output error")),
        "histogram": chart(
            "histogram", layers, lambda: number_histogram(errors, LIGHT, "Output error", errors.index[0])
        ),
        "sizes": chart("sizes", sizes, lambda: perplexity_by_model(sizes, models, LIGHT, "WikiText-2")),
    }
