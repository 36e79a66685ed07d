"""The tidy table."""

import json
import math

import pandas as pd
import pytest

from core.findings.numbers.frame import COLUMNS, tidy
from core.notation.chain import ChainDefaults, parse
from core.request.resolve import resolve_chain
from core.request.stages import DEFAULT_MODEL
from core.results import Measurement
from core.specs import Stage, TextWindows
from tests.core.factories import KEY, OTHER, WANDA, make, perplexity, trained

TEXT = TextWindows.parse("alpaca:64x256")
LORA = Stage(method="lora", calibration=TEXT, seed=0)


def accuracy(value, **protocol):
    protocol = {"limit": 100, "fewshot": 0, "version": 1, "dtype": "float32"} | protocol
    return Measurement(metric="acc", dataset="piqa", value=value, stderr=0.05, n=100, protocol=protocol)


def test_each_measurement_has_one_row():
    frame = tidy([make(perplexity(20.0, stderr=0.5), accuracy(0.6)), make(perplexity(30.0), key=OTHER)])
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame.key) == [KEY, KEY, OTHER]
    first, second = frame.iloc[0], frame.iloc[1]
    assert (first.metric, first.dataset, first.value, first.stderr) == ("perplexity", "wikitext2", 20.0, 0.5)
    assert (first.window, first.windows, first.source) == (2048, 16, "folder")
    assert math.isnan(first.limit)
    assert (second.limit, second.fewshot, second.version) == (100, 0, 1)
    assert (first.method, first.series_label, first.family, first.ratio) == ("wanda", "Wanda", "unstructured", 0.5)
    spelt_out = {"shifts": None, "allocation": "uniform", "spread": 0.08, "cap": 0.95, "true_sequential": True}
    assert json.loads(first.stages) == [{"name": "wanda", "parameters": spelt_out}]


def test_methods_are_sorted_with_recoveries_after_their_parents():
    names = [("slimllm", None), ("wanda", "lora"), ("dense", None), ("unknown", None), ("wanda", None)]
    names = [((first, None if first == "dense" else 0.5), (then, None)) for first, then in names]
    stages = [[Stage(method=name, ratio=ratio) for name, ratio in pair if name] for pair in names]
    found = [make(perplexity(20.0), key=str(place) * 64, stages=one) for place, one in enumerate(stages)]
    assert list(tidy(found).key.str[0]) == ["2", "4", "1", "0", "3"]


def test_protocol_has_a_sentence_and_an_id():
    first = perplexity(20.0)
    elsewhere, spread = (
        first.model_copy(update={"protocol": first.protocol | more}) for more in ({"source": "hub"}, {"spread": True})
    )
    rows = [first, perplexity(30.0, window=128), accuracy(0.6), accuracy(0.7, limit=None), spread]
    frame = tidy([make(*rows), make(elsewhere, key=OTHER)])
    assert list(frame.protocol) == [
        "window 2048, first 16 windows, float32",
        "window 128, first 16 windows, float32",
        "0-shot, first 100 documents, version 1, float32",
        "0-shot, all documents, version 1, float32",
        "window 2048, 16 windows spread over the text, float32",
        "window 2048, first 16 windows, float32",
    ]
    assert list(frame.spread_windows[[0, 1, 4]]) == [False, False, True]
    assert frame.protocol_id[0] == frame.protocol_id[5]  # where a text came from does not make a number another one
    assert frame.protocol_id.nunique() == 5


def test_every_row_has_footprint_and_latency():
    latency = [
        Measurement(metric=metric, dataset="synthetic", value=value, n=7, protocol={"batch": batch, "prompt": 512})
        for metric, batch, value in [("prefill", 1, 2.0), ("decode", 1, 30.0), ("prefill", 4, 1.0), ("decode", 4, 9.0)]
    ]
    frame = tidy([make(perplexity(20.0), *latency), make(perplexity(20.0), key=OTHER)])
    row = frame.iloc[0]
    assert (row.block_removed, row.model_removed) == (0.5, 0.25)
    assert (row.dense_mb, row.packed_mb, row.bits_per_weight) == pytest.approx((400e-6, 300e-6, 9.0))
    assert (row.prefill_ms, row.decode_ms) == (2.0, 30.0)  # at batch 1
    assert math.isnan(frame.iloc[-1].prefill_ms)


def wanda(**changes):
    return WANDA.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stages": [wanda(parameters={"true_sequential": True})]}, "Wanda (true sequential on)"),
        ({"stages": [wanda(parameters={"true_sequential": False})]}, "Wanda (true sequential off)"),
        ({"stages": [wanda(layers="0:3")], "dtype": "bfloat16"}, "Wanda (layers 0:3), bf16"),
        ({"stages": [Stage(method="newer", ratio=0.5, parameters={"a": 1})]}, "newer (a 1)"),
    ],
)
def test_label_names_the_settings_that_differ_from_the_defaults(changes, expected):
    assert list(tidy([make(perplexity(20.0), **changes)]).series_label) == [expected]


def tuned(key, method="wanda", ended="budget", **parameters):
    stages = [Stage(method=method, ratio=0.5), LORA.model_copy(update={"parameters": parameters})]
    return make(perplexity(20.0), key=key, stages=stages, made=[{}, trained(ended=ended)])


def test_a_label_depends_on_no_other_result_and_names_a_cancellation():
    frame = tidy([tuned(KEY, minutes=5.0), tuned(OTHER, minutes=5.0)])
    assert list(frame.series_label) == ["Wanda + LoRA (minutes 5.0)"] * 2
    assert list(frame.parent_label) == ["Wanda"] * 2
    frame = tidy([tuned(KEY, minutes=5.0), tuned(OTHER, minutes=1.0, rank=4), make(perplexity(20.0), key="c" * 64)])
    assert list(frame.series_label) == ["Wanda", "Wanda + LoRA (minutes 5.0)", "Wanda + LoRA #173d"]
    assert list(frame.parent_label[1:]) == ["Wanda", "Wanda"] and frame.parent_label.isna()[0]
    assert list(tidy([tuned(KEY, ended="cancelled")]).series_label) == ["Wanda + LoRA, cancelled"]


def test_hqq_on_the_grid_of_the_checkpoint_is_marked():
    def hqq(key, bits, group, model=DEFAULT_MODEL):
        amount = {"ratio": 1 - bits / 16, "pattern": f"{bits}bit", "ratio_kind": "bits"}
        stage = Stage(method="hqq", parameters={"group_size": group}, **amount)
        made = make(perplexity(20.0), key=key * 64, stages=(stage,))
        return made.model_copy(update={"variant": made.variant.model_copy(update={"model": model})})

    rows = tidy([hqq("1", 4, 32), hqq("2", 3, 32), hqq("3", 4, 128), hqq("4", 4, 32, "opt-125m")]).set_index("key")
    own = rows[rows["own_grid"].astype(bool)]
    assert list(own.index) == ["1" * 64] and list(own["series_label"]) == ["HQQ (group size 32),own grid"]
    assert not rows["series_label"].drop(own.index).str.contains("own grid").any()


def of_chain(chain, key):
    stages = resolve_chain(parse(chain), ChainDefaults(TEXT, TEXT, 0))
    return make(perplexity(20.0), key=key, stages=stages)


def test_rows_have_chain_series_and_shared_settings():
    chains = ("magnitude@0.2+adaprune+magnitude@0.5+adaprune", "magnitude@2:4+adaprune", "magnitude@0.5", "lora")
    frame = tidy([of_chain(chain, str(place) * 64) for place, chain in enumerate(chains)])
    rows = {row["chain"]: row for row in frame.to_dict("records")}
    assert set(rows) == set(chains)
    again, once, plain, dense = (rows[chain] for chain in chains)
    assert again["series_chain"] == "magnitude@0.2+adaprune+magnitude@+adaprune"
    assert (again["series_label"], again["parts"]) == ("AdaPrune 20 % + AdaPrune", "adaprune+adaprune")
    assert again["parent_label"] == "AdaPrune 20 % + Magnitude"
    assert (once["series_chain"], once["series_label"], once["parent_label"]) == (
        "magnitude@+adaprune",
        "AdaPrune",
        plain["series_label"],
    )
    assert (once["calibration"], once["seed"]) == ("alpaca:64x256", 0) and pd.isna(once["train"])
    assert (dense["method"], dense["series_label"], dense["parent_label"]) == ("dense", "Dense + LoRA", "Dense")
    assert pd.isna(dense["calibration"]) and dense["train"] == "alpaca:64x256"


def test_two_series_never_share_a_name_and_a_parent_has_the_same_calibration_data():
    chains = ("wanda@0.5+lora", "wanda@0.5+lora,rank=4", "wanda@0.5+lora,seed=3", "wanda@0.5+adaprune,iterations=9")
    found = [of_chain(chain, str(place) * 64) for place, chain in enumerate(chains)]
    explicit = Stage(method="magnitude", ratio=0.5, parameters={"allocation": "uniform"})  # written by another program
    found += [make(perplexity(20.0), key=str(place) * 64, stages=[one]) for place, one in ((5, explicit),)]
    found += [make(perplexity(20.0), key="6" * 64, stages=[Stage(method="magnitude", ratio=0.5)])]
    frame = tidy(found)
    assert frame["series_chain"].nunique() == frame["series_label"].nunique() == 6
    assert {"Wanda + LoRA", "Wanda + LoRA (rank 4)", "Wanda + AdaPrune #a1ba"} <= set(frame["series_label"])
    frame = tidy([of_chain("wanda@0.5,text=c4-sample:8x128+adaprune", KEY), of_chain("wanda@0.5+adaprune", OTHER)])
    untuned = dict(zip(frame["key"], frame["parent_label"], strict=True))
    assert pd.isna(untuned[KEY]) and untuned[OTHER] == "Wanda"


def test_no_results_give_an_empty_table():
    frame = tidy([])
    assert len(frame) == 0
    assert list(frame.columns) == list(COLUMNS)
    frame = tidy([make(perplexity(math.inf), stages=[Stage(method="newer", ratio=0.5)])])
    assert list(frame.family) == ["other"]
    assert list(frame.value) == [math.inf]
