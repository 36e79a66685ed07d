"""The names of points in addresses."""

from types import SimpleNamespace

import pandas as pd

from core.analysis.differences import differences
from core.analysis.frame import tidy
from dashboard.charts.frames import naming
from tests.dashboard.synthetic import chained, result

UNPAIRED = differences([], result("dense", 20.1), lambda key, number: None)


def link_to(one):
    spec = SimpleNamespace(variant=SimpleNamespace(key=one.variant.key), perplexity=())
    return naming.link(tidy([one]), spec)


def test_the_link_to_a_chain_names_it_and_its_texts():
    one = chained("wanda@0.3+adaprune+lora", 22.0, calibration="a:1x2", training="b:30x4")
    where = link_to(one)
    assert where["explore_series"] == ["Wanda + AdaPrune + LoRA"] and where["explore_at"] == "30 %"
    assert (where["explore_calibration"], where["explore_training"]) == ("a:1x2", "b:30x4")
    assert "explore_at" not in link_to(chained("lora", 22.0))


def test_points_with_the_same_chain_have_different_addresses():
    shared = pd.DataFrame({"key": ["a", "b"], "chain": ["wanda@0.5+lora"] * 2, "series_label": ["x", "x (cancelled)"]})
    found = naming.addresses(shared)
    assert found == {"a": "wanda@0.5+lora", "b": "wanda@0.5+lora (x (cancelled))"}
    assert naming.addressed(found, "wanda@0.5 lora") == "a" and naming.addressed(found, "wanda@0.5") is None


def test_the_link_to_a_fine_tuned_point_selects_its_texts():
    one = result("wanda", 22.0, 0.3, recovery="lora", calibration="a:1x2", training="b:30x4")
    where = link_to(one)
    assert (where["explore_calibration"], where["explore_training"]) == ("a:1x2", "b:30x4")
    assert "explore_training" not in link_to(result("wanda", 22.0, 0.3))
