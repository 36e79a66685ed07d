"""Accuracy by number of few-shot examples: a panel per kind of prompt, and the table."""

import pandas as pd
import plotly.graph_objects as go
import pytest

from dashboard.charts import fewshot
from dashboard.charts.elements.style import DARK, LIGHT
from dashboard.exports import print_figures
from tests.dashboard.exports.test_print import drawn

PROMPTS = ("", "selector=nearest,order=similar-last", "template=chat")


def rows():
    found = [
        (series, parts, k, prompts, level + k, *ends)
        for series, parts, level, ends in (("Dense", "dense", 60, (None, None)), ("Wanda, 50 %", "wanda", 50, (48, 53)))
        for prompts in PROMPTS
        for k in ((0, 1, 8) if prompts == "" else (8,))
    ]
    columns = ["series_label", "parts", "k", "prompts", "value", "low", "high"]
    return (
        pd.DataFrame(found, columns=columns).assign(pattern=None).astype({"value": float, "low": float, "high": float})
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_each_kind_of_prompt_has_a_panel_that_starts_with_zero_shot(theme):
    figure = fewshot.shots_chart(rows(), theme, "PIQA")
    assert [one.text for one in figure.layout.annotations] == [
        "<b>Drawn at random</b>",
        "<b>As turns of a chat</b>",
        "<b>Most like the question, most<br>similar last</b>",  # side by side on a phone
    ]
    panels = {axis: [one for one in figure.data if one.xaxis == axis] for axis in ("x", "x2", "x3")}
    for axis, steps in (("x", [0, 1, 8]), ("x2", [0, 8]), ("x3", [0, 8])):
        assert [one.name for one in panels[axis]] == ["Dense", "Wanda, 50 %"]
        assert [list(one.customdata) for one in panels[axis]] == [steps, steps]
    wanda = panels["x"][1]
    assert list(wanda.error_y.array) == pytest.approx([3, 2, -5], abs=8) and panels["x"][0].error_y.array is None
    assert [one.showlegend for one in figure.data] == [True, True, False, False, False, False]


def test_the_print_has_all_panels_with_their_metric_and_numbers():
    apart = rows().assign(low=lambda found: found["value"] - 2, high=lambda found: found["value"] + 3)
    page = print_figures.draw(go.Figure(fewshot.shots_chart(apart, LIGHT, "PIQA")), 3.25, "A caption.")
    texts = [text for text, _ in drawn(page)]
    titles = {"Drawn at random", "As turns of a chat", "Most like the question"}
    assert titles | {"Few-shot examples", "Dense", "Wanda, 50 %", "60", "8", "A caption."} <= set(texts)
    assert texts.count("PIQA, accuracy, % (higher is better)") == 2  # at the first column
    assert all(box.x0 >= -1 and box.x1 <= page.bbox.x1 + 1 and box.y0 >= -1 for _, box in drawn(page))


def grown(*growths):
    return pd.DataFrame(
        [
            {"series_label": "Wanda, 50 %", "k": 4, "prompts": "", "value": 0.5, "n": 9}
            | {"difference": -0.1, "low": -0.2, "high": 0.0}
            | {"growth_difference": growth, "growth_low": growth - 0.01, "growth_high": growth + 0.01, "growth_p": p}
            for growth, p in growths
        ]
    )


def test_verdicts_are_adjusted_for_the_shown_comparisons():
    alone, together = fewshot.table(grown((-0.1, 0.03))), fewshot.table(grown((-0.1, 0.03), (0.1, 0.001), (0.0, 0.9)))
    assert alone["Compression"].tolist() == ["costs more"] and alone["Adjusted p"].tolist() == ["0.03"]
    third = "significant alone, not after Holm (3 comparisons)"
    assert together["Compression"].tolist() == [third, "costs less", "not significant"]
    assert alone["Change from zero-shot"].tolist() == ["-10.0 [-11.0, -9.0]"]
    start = "no significant difference from zero-shot in"
    count = f"{start} 0 of 1 comparisons (Holm-adjusted). Compression costs more in 1 and less in 0."
    assert fewshot.answer(alone) == f"Few-shot examples change the cost of compression: {count}"
    count = f"{start} 2 of 3 comparisons (Holm-adjusted). Compression costs more in 0 and less in 1."
    assert fewshot.answer(together) == f"Few-shot examples rarely change the cost of compression: {count}"
    none = "Few-shot examples do not measurably change the cost of compression: "
    assert fewshot.answer(fewshot.table(grown((0.0, 0.9)))) == f"{none}{start} 1 of 1 comparisons (Holm-adjusted)."
    rows = grown((-0.1, 0.03)).assign(growth_difference=None, growth_p=None, difference=None)
    assert fewshot.table(rows)["Compression"].tolist() == [""] and "No test is possible" in fewshot.answer(
        fewshot.table(rows)
    )
