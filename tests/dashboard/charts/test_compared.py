"""Two variants compared: the rows of the chart, the better one in words, and the chart itself."""

import pandas as pd
import plotly.graph_objects as go
import pytest

from core.findings.numbers.differences import COLUMNS
from core.findings.pairs.numbers import number_rows, winner
from dashboard.charts.compared import difference_chart
from dashboard.charts.elements.style import LIGHT
from dashboard.exports.print_figures import draw


def number(dataset, metric, verdict, value, reference, why=None):
    found = {"dataset": dataset, "metric": metric, "verdict": verdict, "value": value, "reference": reference}
    found |= {"difference": value - reference, "low": value - reference - 0.01, "high": value - reference + 0.01}
    ratio = value / reference
    found |= {"ratio": ratio, "ratio_low": 0.9 * ratio, "ratio_high": 1.1 * ratio, "comparisons": 1}
    return found | {"unpaired_reason": why}


def table(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


TEXT = number("wikitext2", "perplexity", "better", 40.0, 80.0)
MEAN = number("mean above chance", "acc", "worse", 0.40, 0.45)
SAME = number("mean above chance", "acc", "not significant", 0.40, 0.41)
TASK = number("piqa", "acc", "worse", 0.60, 0.70)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ((TEXT, SAME), "**A** is better than B in perplexity on WikiText-2 (40 against 80). Not significant: "),
        ((MEAN, TASK), "**B** is better than A in mean above chance (45.0 points against 40.0 points)."),
        ((TEXT, MEAN), "Neither wins: **A** is better in perplexity on WikiText-2 (40 against 80), **B** in mean "),
        ((SAME,), "The difference between A and B is not significant in mean above chance."),
        ((TASK,), "**B** is better than A in PIQA (acc) (70.0 % against 60.0 %)."),
        ((number("piqa", "acc", None, 0.6, 0.7, "why"),), "A and B cannot be paired in any number."),
    ],
)
def test_the_better_variant_is_named_only_if_a_difference_is_significant(rows, sentence):
    assert winner(table(*rows), "A", "B").startswith(sentence)


def test_the_chart_draws_ratios_and_points_separately_and_names_the_better_variant():
    rows = number_rows(table(TASK, SAME, TEXT))
    assert rows["number"].tolist() == ["Perplexity on WikiText-2", "Mean above chance", "PIQA (acc)"]
    assert rows["better"].tolist() == [0, -1, 1] and rows["value"].round(3).tolist() == [0.5, -1.0, -10.0]
    figure = difference_chart(rows, ("A", "B"), LIGHT)
    drawn = {(trace.xaxis, *trace.x) for trace in figure.data if trace.customdata is not None}
    assert {axis for axis, *_ in drawn} == {"x", "x2"}
    assert [trace.name for trace in figure.data if trace.name] == ["A is better", "B is better", "not significant"]
    draw(go.Figure(figure), 3.25)
    one = difference_chart(number_rows(table(TEXT)), ("A", "B"), LIGHT)
    draw(go.Figure(one), 3.25)
    assert one.layout.title.text == "Perplexity, ratio: A relative to B"
    assert [trace.name for trace in one.data if trace.name] == ["A is better"]


def test_a_task_under_several_protocols_is_drawn_once_and_a_text_once_for_each_window():
    tasks = [TASK | {"protocol": "0-shot", "n": 500}, TASK | {"protocol": "4-shot", "n": 100, "verdict": "better"}]
    texts = [TEXT | {"protocol": f"window {length}, float32", "n": 16} for length in (2048, 128)]
    rows = number_rows(table(*tasks, *texts))
    assert rows["number"].tolist() == [
        "Perplexity on WikiText-2 (window 2048)",
        "Perplexity on WikiText-2 (window 128)",
        "PIQA (acc)",
    ]
    assert rows["better"].tolist() == [0, 0, 1]
    heights = {height for trace in difference_chart(rows, ("A", "B"), LIGHT).data for height in trace.y if height}
    assert {1, 2, 3} <= heights
