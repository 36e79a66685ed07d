"""The map of a layer report: matrices that share a cell, such as those of experts."""

import pandas as pd
import pytest

from dashboard.charts.elements.style import LIGHT
from dashboard.charts.matrices import layer_heatmap


@pytest.fixture
def layers():
    rows = [
        ("layers.0.q_proj", 0, "q", 0.3),
        *((f"layers.0.experts.{number}.gate_proj", 0, "gate", error) for number, error in enumerate((0.1, 0.4, 0.1))),
    ]
    return pd.DataFrame(rows, columns=["name", "block", "role", "error"])


def test_experts_share_a_cell_with_their_mean(layers):
    cells, marks, _ = layer_heatmap(layers, LIGHT, "error", "Error").data
    assert list(cells.y) == ["q", "gate"] and [list(row) for row in cells.z] == [[30.0], [pytest.approx(20.0)]]
    assert [name for (name,) in marks.customdata] == ["layers.0.q_proj", "layers.0.experts.1.gate_proj"]
    assert list(marks.text) == ["Error 30.00 %", "Error 40.00 %, the highest of 3, mean 20.00 %"]
