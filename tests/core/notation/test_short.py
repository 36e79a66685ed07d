"""Short names: at most 28 characters, by the variant alone, and different for different variants."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from core.amount import Ratio
from core.notation.chain import ChainDefaults, parse
from core.notation.short import LONGEST, series_name, short_name
from core.registry import STAGES
from core.request.resolve import resolve_chain
from core.results import Variant
from core.specs import Stage, TextWindows, VariantSpec
from core.store.bundled import read_measured
from core.store.paper_results import paper_results
from tests.core.factories import trained
from tests.core.notation.drawn import stages

C4, LESSON = TextWindows.parse("c4-sample:16x2048"), TextWindows.parse("c4-sample:512x256")
PASSAGES = TextWindows.parse("passages-calibration:16x2048")
OWN = TextWindows.parse("alpaca:64x256")
IMPORTED = Stage(method="imported", ratio=0.5, parameters={"label": "my pruner"})
PAPER = Stage(method="published", ratio=0.2, parameters={"label": "LLM-Pruner"})
TUNED = Stage(method="published", parameters={"label": "LoRA"})


def variant(*chain, dtype="float32"):
    return VariantSpec(model="m", revision="r", dtype=dtype, stages=chain)


def of(chain, calibration=C4, train=LESSON, seed=0, dtype="float32"):
    return variant(*resolve_chain(parse(chain), ChainDefaults(calibration, train, seed)), dtype=dtype)


@pytest.mark.parametrize(
    ("chain", "name", "series"),
    [
        ("dense", "Dense", "Dense"),
        ("sparsegpt@0.5", "SparseGPT 50 %", "SparseGPT"),
        ("wanda@2:4", "Wanda 2:4", "Wanda"),
        ("rotate+gptq@4bit", "Rotate + GPTQ 4", "Rotate + GPTQ"),
        ("tensor-train@1.5x", "Tensor train 1.5x", "Tensor train"),
        ("rtn@8bit,on=embedding", "Dense, emb 8", "Dense, emb"),
        ("gptq@4.25bit+distill-white+rtn@8bit,on=embedding", "GPTQ 4.25 + distill, emb 8", "GPTQ 4.25 + distill, emb"),
        ("lora", "Dense + LoRA", "Dense + LoRA"),
        ("magnitude@0.5+adaprune", "AdaPrune 50 %", "AdaPrune"),
        ("magnitude@0.5,layers=0:3+adaprune", "Magnitude 50 %+AdaPrune#KEY", "Magnitude + AdaPrune #HASH"),
        ("wanda@0.7,allocation=owl", "Wanda 70 % (allocation owl)", "Wanda (allocation owl)"),
        ("sparsegpt@0.5+adaprune", "SparseGPT 50 % + AdaPrune", "SparseGPT + AdaPrune"),
        ("sparsegpt@0.5+lora,steps=9", "SparseGPT 50 % + LoRA #KEY", "SparseGPT + LoRA (steps 9)"),
        ('wanda@0.5,layers=".*"', "Wanda 50 % #KEY", "Wanda #HASH"),  # no sign of another notation in a name
        ("wanda@0.5,seed=1+adaprune,seed=0", "Wanda 50 % (seed 1)+AdaPrune", "Wanda (seed 1) + AdaPrune"),
    ],
)
def test_a_name_has_methods_and_amounts(chain, name, series):
    one = of(chain)
    assert short_name(one) == name.replace("KEY", one.key[:4])
    found = series_name(one.stages)
    assert found == series or (found[:-4], "HASH") == (series[:-4], series[-4:])


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (of("wanda@0.5", seed=1), "Wanda 50 %, seed 1"),
        (of("wanda@0.5", PASSAGES), "Wanda 50 %, passages"),
        (of("wanda@0.5", PASSAGES, seed=12), "Wanda 50 %,passages,seed 12"),
        (of("wanda@0.5", OWN), "Wanda 50 %, alpaca:64x256"),
        (of("wanda@0.5+lora", C4, OWN), "Wanda 50 % + LoRA #KEY"),
        (of("wanda@0.5", dtype="bfloat16"), "Wanda 50 %, bf16"),
        (variant(Stage(method="gone", ratio=0.5, parameters={"a": 1})), "gone 50 % (a 1)"),
        (variant(Stage(method="wanda", ratio=0.5, version=0)), "Wanda 50 % (version 0)"),
        (variant(IMPORTED), "my pruner 50 % (imported)"),
        (variant(IMPORTED.model_copy(update={"ratio_kind": "parameters"})), "my pruner 5… (imported)#KEY"),
        (variant(PAPER, TUNED), "LLM-Pruner 20 %+LoRA (paper)"),
    ],
)
def test_a_name_has_the_data_seed_and_precision_that_differ_from_the_usual_ones(one, name):
    assert short_name(one) == name.replace("KEY", one.key[:4])


def test_a_series_has_no_shared_data_and_seed():
    chain = "wanda@0.5+adaprune+lora"
    assert series_name(of(chain, PASSAGES, OWN, 3).stages) == series_name(of(chain).stages) == "Wanda + AdaPrune + LoRA"


def test_a_cancelled_training_is_marked():
    spec = of("wanda@0.5+lora")
    cut = Variant(key=spec.key, stage_runs=({}, trained(ended="cancelled")), **dict(spec))
    assert (short_name(cut), short_name(spec)) == ("Wanda 50 % + LoRA, cancelled", "Wanda 50 % + LoRA")
    assert series_name(cut.stages, cancelled=True) == "Wanda + LoRA, cancelled"


def test_every_method_has_a_name_with_room_for_an_amount_and_digits_of_the_key():
    for method in STAGES:
        assert len(f"{method.short_label or method.label} 50 % #1234") <= LONGEST, method.name
        assert len(method.short_label) < len(method.label)


def test_different_bundled_variants_of_a_model_have_different_names():
    for results in (read_measured().results, paper_results()):
        names, series = defaultdict(set), defaultdict(set)
        for one in results.values():
            names[one.variant.model_id, short_name(one.variant)].add(one.variant.key)
            series[series_name(one.variant.stages, one.variant.dtype)] |= {one.variant.method}
        assert set(map(len, names.values())) == set(map(len, series.values())) == {1}
        assert max(len(name) for _, name in names) <= LONGEST >= max(map(len, series))
        assert sum("…" in name for _, name in names) <= 4  # they name all methods


CHAINS = draw.lists(stages(), min_size=1, max_size=4)
PRECISIONS = draw.sampled_from(("float32", "bfloat16"))


def check(one, other):
    first, second = short_name(one), short_name(other)
    assert 0 < len(first) <= LONGEST and first == first.strip() and first.isprintable()
    assert first == short_name(one.model_copy(deep=True))
    if one.key != other.key:
        assert first != second or one.key[:4] == other.key[:4]


@given(CHAINS, CHAINS, PRECISIONS, PRECISIONS)
def test_two_chains_have_different_short_names(first, second, dtype, other):
    check(variant(*first, dtype=dtype), variant(*second, dtype=other))


@given(CHAINS, draw.data())
def test_a_chain_that_differs_in_one_thing_has_another_name(chain, data):
    place = data.draw(draw.integers(0, len(chain) - 1))
    stage = chain[place]
    changes = {"seed": 7, "layers": "0:1", "calibration": C4, "version": stage.version + 1}
    changes["parameters"] = dict(list(stage.parameters.items())[1:])
    if isinstance(stage.amount, Ratio):
        changes["ratio"] = 0.123456
    name = data.draw(draw.sampled_from(list(changes)))
    fields = stage.model_dump(by_alias=False) | {name: changes[name]}
    if name == "ratio":
        fields["amount"] = None
    check(variant(*chain), variant(*chain[:place], Stage(**fields), *chain[place + 1 :]))
