"""Sensitivity scans, as tables and as charts."""

import math

import pytest

from core.results import Measurement
from dashboard.charts import sensitivity
from dashboard.charts.elements.style import LIGHT
from dashboard.charts.matrices import layer_heatmap
from tests.synthetic import result


def scanned(by="block", rises=(0.5, 0.01, -0.001), stderr=0.002, windows=16):
    protocol = {"by": by, "window": 2048, "windows": windows, "seed": 0, "dtype": "float32"}
    ending = ".mlp.up_proj" if by == "linear" else ""
    parts = [protocol | {"part": f"model.layers.{index}{ending}"} for index in range(len(rises))]
    same = {"metric": "sensitivity", "dataset": "c4-sample", "stderr": stderr, "n": 4}
    return [Measurement(value=rise, protocol=part, **same) for rise, part in zip(rises, parts, strict=True)]


def with_rows(*rows):
    one = result("sparsegpt", 40.0, 0.5)
    return one.model_copy(update={"measurements": (*one.measurements, *rows)})


def test_a_scan_gives_ratios_to_dense_with_intervals():
    found = sensitivity.scans(with_rows(*scanned()))
    assert list(found) == ["block"]
    rows = found["block"]
    assert list(rows["block"]) == [0, 1, 2]
    assert rows["perplexity_ratio"].tolist() == pytest.approx([math.exp(rise) for rise in (0.5, 0.01, -0.001)])
    assert rows["perplexity_ratio_low"][1] == pytest.approx(math.exp(0.01 - 3.182446 * 0.002))
    assert rows["text"][0] == "c4-sample, 4 of 16 windows of 2048"
    found = sensitivity.scans(with_rows(*scanned(), *scanned(rises=(0.3, 0.2, 0.1), windows=8)))
    assert found["block"]["perplexity_ratio"].tolist() == pytest.approx([math.exp(rise) for rise in (0.3, 0.2, 0.1)])
    assert sensitivity.scans(with_rows()) == {}


def test_blocks_have_error_bars_on_a_log_axis_and_linears_a_heat_map():
    rows = sensitivity.scans(with_rows(*scanned()))["block"]
    figure = sensitivity.by_block(rows, "sparsegpt", LIGHT)
    (trace,) = figure.data
    assert list(trace.y) == pytest.approx(rows["perplexity_ratio"].tolist())
    assert trace.error_y.array[0] == pytest.approx(rows["perplexity_ratio_high"][0] - rows["perplexity_ratio"][0])
    low, high = figure.layout.yaxis.range
    assert (
        figure.layout.yaxis.type == "log"
        and 10**low < rows["perplexity_ratio_low"].min()
        and 10**high > rows["perplexity_ratio_high"].max()
    )
    assert len(set(figure.layout.yaxis.ticktext)) == len(figure.layout.yaxis.ticktext) >= 3
    rows = sensitivity.scans(with_rows(*scanned(stderr=None)))["block"]
    assert rows["perplexity_ratio_low"].isna().all()
    assert sensitivity.by_block(rows, "sparsegpt", LIGHT).data[0].y[0] == pytest.approx(math.exp(0.5))
    rows = sensitivity.scans(with_rows(*scanned("linear")))["linear"]
    (trace,) = layer_heatmap(rows, LIGHT, "perplexity_ratio", sensitivity.TITLE).data
    assert list(trace.x) == [0, 1, 2] and len(trace.y) == 1
    assert trace.z[0].tolist() == pytest.approx(rows["perplexity_ratio"].tolist())
