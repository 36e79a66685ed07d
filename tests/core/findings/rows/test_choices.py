"""The options of Explore, the rows of the chosen ones, and the names of points in addresses."""

import math

import pandas as pd
import pytest

from core.findings import axes
from core.findings.curve import default_series
from core.findings.numbers.frame import tidy
from core.findings.rows import choices, naming, points
from tests.synthetic import result


def test_training_data_are_never_averaged_as_seeds():
    texts = ("c4-sample:512x256", "passages-calibration:512x256")
    pruned = [result("loraprune-trained", 30.0 + 10 * seen, 0.3, training=text) for seen, text in enumerate(texts)]
    tuned = [result("wanda", 22.0 + seen, 0.3, recovery="lora", training=text) for seen, text in enumerate(texts)]
    frame = tidy([*pruned, *tuned, result("wanda", 24.0, 0.3)])
    frame = frame[frame["metric"] == "perplexity"]
    assert choices.calibrations(frame) == ["passages-calibration:16x2048"] and choices.trainings(frame) == list(texts)
    for text, values in zip(texts, ([24.0, 22.0, 30.0], [24.0, 23.0, 40.0]), strict=True):
        shown = points.collapse(choices.filter_by_text(frame, "passages-calibration:16x2048", text))
        assert list(shown["value"]) == values and set(shown["seeds"]) == {1}


def test_compressed_embeddings_alone_have_no_point_by_bits_per_weight():
    rows = pd.DataFrame(
        [
            ("dense", False, "sparsity", 16.0),
            ("codes", True, "bits", 4.3),
            ("codes of the embedding", True, "bits", 16.0),
            ("factors of the embedding", False, "embedding", 16.0),
            ("zeros, then those", False, "embedding", 9.0),
            ("made elsewhere", False, "bits", math.nan),
        ],
        columns=["name", "rounded", "ratio_kind", "bits_per_weight"],
    ).assign(own_grid=False, layers=None)
    by_bits = ["dense", "codes", "zeros, then those", "made elsewhere"]
    assert list(choices.curved(rows, axes.BITS)["name"]) == by_bits
    assert len(choices.curved(rows, axes.PACKED)) == len(rows)
    assert list(choices.curved(rows, axes.RATIO)["name"]) == ["dense", "made elsewhere"]
    assert list(choices.curved(rows.assign(layers=[None, "0:0", *[None] * 4]), axes.PACKED)["name"]) == list(
        rows["name"]
    )
    assert list(choices.curved(rows.assign(layers=[None] * 5 + ["0:0"]), axes.RATIO)["name"]) == ["dense"]


def test_series_with_default_parameters_are_highlighted_first():
    names = ["magnitude", "wanda", "ria", "sparsegpt", "alps"]
    chains = [f"{name}@" for name in names] + [
        f"{name}@,allocation={how}" for name in names for how in ("owl", "global")
    ]
    found = pd.DataFrame(
        {"series_label": chains, "series_chain": chains, "parts": [one.partition("@")[0] for one in chains]}
    ).assign(amount_label="70 %", value=[100.0 - place for place in range(len(chains))], ratio=0.7, pattern=None)
    found = found.assign(key=chains, chain=[one.replace("@", "@0.7") for one in chains], method=found["parts"])
    assert default_series(found) == [*chains[:5], chains[-1]]
    trained = found.iloc[[0]].assign(value=1.0, **dict.fromkeys(("series_label", "key"), "wanda+lora"))
    found = pd.concat([found, trained.assign(series_chain="wanda@+lora", chain="wanda@0.7+lora", parts="wanda+lora")])
    assert default_series(found) == [*chains[:5], chains[-1], "wanda+lora"]


def test_points_with_the_same_chain_have_different_addresses():
    shared = pd.DataFrame({"key": ["a", "b"], "chain": ["wanda@0.5+lora"] * 2, "name": ["x", "x, cancelled"]})
    found = naming.addresses(shared)
    assert found == {"a": "wanda@0.5+lora", "b": "wanda@0.5+lora (x, cancelled)"}
    assert naming.addressed(found, "wanda@0.5 lora") == "a" and naming.addressed(found, "wanda@0.5") is None


@pytest.mark.parametrize(
    ("linked", "meant"),
    [
        ("RTN 4, seed 2 · rtn@4bit", "two"),
        ("RTN, 4 bit, ptb:4x8, seed 2 · rtn@4bit", "two"),  # of an older version
        ("RTN, 4 bit · rtn@4bit", "default"),
        ("RTN, 4 bit, c4-sample:16x2048, seed 0 · rtn@4bit", "default"),
        ("rtn@4bit", "default"),
        ("Wanda, 50 % · wanda@0.5", "first"),  # the default seed is not stored
        ("HQQ, 3 bit, passages-calibration:16x2048 · hqq@3bit", "passages"),
        ("hqq@3bit", "plain"),
        ("RTN, 3 bit · rtn@3bit", None),
    ],
)
def test_a_link_means_the_data_and_the_seed_that_it_has_or_the_default_ones(linked, meant):
    names = {
        "two": "RTN 4, seed 2 · rtn@4bit",
        "default": "RTN 4 · rtn@4bit",
        "first": "Wanda 50 %, seed 1 · wanda@0.5",
        "other": "Wanda 50 %, seed 2 · wanda@0.5",
        "passages": "HQQ 3, passages · hqq@3bit",
        "plain": "HQQ 3 · hqq@3bit",
    }
    assert naming.addressed(names, linked) == meant
