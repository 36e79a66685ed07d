"""A point's figures at a glance."""

import pytest

from core.notation.formatting import format_number
from core.request.reproduce import reproduce
from core.store import bundled
from dashboard.explore.details import POINT
from tests.dashboard.opened import open_app

COMMAND = "slimscope run smollm2-135m sparsegpt@0.5 --calibration c4-sample:16x2048"


def test_the_headline_shows_dense_values_and_the_curve_of_the_series(fresh):
    app = open_app(**{POINT: "sparsegpt@0.5"})
    made = [one for one in bundled.read_measured().results.values() if reproduce(one).startswith(COMMAND)]
    (result,) = (one for one in made if one.variant.stages[0].seed == 0)
    metrics = {metric.label: metric for metric in app.metric}
    assert set(metrics) == {"Perplexity", "Packed size (MB)", "Bits per weight"}
    assert float(metrics["Packed size (MB)"].value) == pytest.approx(result.footprint.packed_bytes / 1e6, rel=5e-3)
    assert metrics["Perplexity"].delta == "dense 20.7"
    along = metrics["Perplexity"].proto.chart_data
    assert len(along) == 7 and list(along) == sorted(along)  # 10 % to 70 %


def test_a_published_point_has_no_size(fresh):
    app = open_app(explore_model="llama-7b", **{POINT: "published@0.5,label=SlimLLM"})
    assert {metric.label for metric in app.metric} == {"Perplexity"}


def test_a_point_of_several_seeds_shows_their_range(fresh):
    def seed_captions(chain):
        captions = [caption.value for caption in open_app(**{POINT: chain}).caption]
        return [caption for caption in captions if caption.startswith("Means of")]

    values = [
        row.value
        for one in bundled.read_measured().results.values()
        if reproduce(one).startswith(COMMAND)
        for row in one.measurements
        if row.of_text and (row.dataset, row.protocol["window"], row.n) == ("wikitext2", 2048, 16)
    ]
    ends = f"from {format_number(min(values))} to {format_number(max(values))}"
    assert seed_captions("sparsegpt@0.5") == [
        f"Means of {len(values)} seeds with perplexities {ends}. The details below are of seed 0."
    ]
    assert seed_captions("sparsegpt@0.7") == []
