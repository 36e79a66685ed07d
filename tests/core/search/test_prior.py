"""What a search expects of chains, from stored effects."""

import math

import pytest

from core.amount import Bits, Ratio
from core.results import Variant
from core.search.prior import MOST, RECOVERED, MeasuredEffect, Prior, rule, stored_effects
from core.specs import Stage
from tests.core.factories import make, perplexity
from tests.core.search.spaces import space

GPTQ = {part.chain: part.stages for part in space("gptq", "sparsegpt", "lora", "rtn").blocks}
ROUND = GPTQ["gptq@4bit"]


def known(effects):
    return {chain: MeasuredEffect(GPTQ[chain], loss) for chain, loss in effects.items()}


def test_a_measured_chain_has_its_effect_and_a_small_error():
    effect = Prior(known({"gptq@4bit": 0.3})).of_chain(ROUND)
    assert effect.loss == 0.3 and 0 < effect.spread < 0.1


def test_effects_of_stages_add_up():
    prior = Prior(known({"gptq@4bit": 0.3, "sparsegpt@0.5": 0.7}))
    both = prior.of_chain(GPTQ["sparsegpt@0.5+gptq@4bit"])
    assert both.loss == pytest.approx(1.0)
    assert both.spread > prior.of_chain(ROUND).spread


def test_a_sum_with_the_embedding_has_the_errors_of_measured_ones():
    name = "rtn@4bit,on=embedding"
    (table,) = next(part.stages for part in space("rtn").tables if part.chain == name)
    blocks = [chain for chain in GPTQ if chain.startswith("gptq@") and "+" not in chain][:6]
    effects = {chain: MeasuredEffect(GPTQ[chain], 0.2) for chain in blocks}
    effects |= {name: MeasuredEffect((table,), 0.1)}
    whole = {f"{chain}+{name}": (*GPTQ[chain], table) for chain in blocks}
    known_sums = {chain: MeasuredEffect(whole[chain], 0.34) for chain in list(whole)[:-1]}
    expected = Prior(effects | known_sums).of_chain(list(whole.values())[-1])
    assert (
        expected.loss == pytest.approx(0.34) and expected.spread < Prior(effects).of_chain([*whole.values()][-1]).spread
    )


def test_a_measured_start_replaces_its_stages_and_an_unmeasured_recovery_takes_its_share():
    prior = Prior(known({"gptq@4bit": 0.3, "sparsegpt@0.5+lora": 0.4}))
    assert prior.of_chain(GPTQ["sparsegpt@0.5+lora+gptq@4bit"]).loss == pytest.approx(0.7)
    prior = Prior(known({"sparsegpt@0.5": 0.7}))
    assert prior.of_chain(GPTQ["sparsegpt@0.5+lora"]).loss == pytest.approx((1 - RECOVERED) * 0.7)


def test_amounts_between_measured_ones_lie_between_them():
    prior = Prior(known({"sparsegpt@0.3": 0.1, "sparsegpt@0.7": 2.4}))
    losses = [prior.of_chain(GPTQ[f"sparsegpt@{ratio}"]).loss for ratio in (0.3, 0.4, 0.5, 0.6, 0.7)]
    assert losses == sorted(losses) and losses[0] == 0.1 and losses[-1] == 2.4
    assert prior.of_chain(GPTQ["sparsegpt@0.5"]).spread > prior.of_chain(GPTQ["sparsegpt@0.3"]).spread


def test_beyond_the_measured_ratios_the_power_law_holds():
    law = {f"sparsegpt@{ratio}": 2 * ratio**3 for ratio in (0.2, 0.3, 0.4, 0.7)}  # L = L0 + C r^-g: C = 2 and g = -3
    expected = law.pop("sparsegpt@0.7")
    assert Prior(known(law)).of_chain(GPTQ["sparsegpt@0.7"]).loss == pytest.approx(expected)


def test_other_models_are_a_weak_prior():
    own, other = known({"gptq@4bit": 0.3}), known({"gptq@4bit": 0.2})
    assert Prior(own, [other]).of_chain(ROUND).loss == 0.3
    cold = Prior({}, [other])
    assert cold.only_others and cold.of_chain(ROUND).loss == 0.2
    assert cold.of_chain(ROUND).spread > Prior(own).of_chain(ROUND).spread
    nothing = Prior({}, [{}])
    assert not nothing.only_others and nothing.of_chain(ROUND).loss == rule(ROUND[0])


def test_settings_count_in_other_models_too():
    plain, clipped = "gptq@{}bit", "gptq@{}bit,clip=true,symmetric=false"
    losses = {plain.format(4): 0.4, plain.format(3): 1.2, clipped.format(4): 0.1}
    cold = Prior({}, [known(losses)])
    expected = {chain: cold.of_chain(GPTQ[chain.format(4.5)]).loss for chain in (plain, clipped)}
    assert expected[clipped] == pytest.approx(expected[plain] / 4, rel=0.1)


@pytest.mark.parametrize("name", ["gptq", "sparsegpt"])
def test_the_rule_grows_with_the_amount(name):
    of = [part.stages[0] for part in space(name).blocks if len(part.stages) == 1 and not part.stages[0].parameters]
    bits = sorted((stage for stage in of if isinstance(stage.amount, Bits)), key=lambda stage: -stage.amount.bits)
    ratios = sorted((stage for stage in of if isinstance(stage.amount, Ratio)), key=lambda stage: stage.amount.value)
    losses = [rule(stage) for stage in bits or ratios]
    assert len(losses) > 3 and losses == sorted(losses)


def test_stored_effects_are_means_over_texts_without_external_variants():
    def result(key, stages, *values):
        rows = [perplexity(value, window=window) for value, window in zip(values, (32, 64), strict=True)]
        return make(*rows, key=key * 64, stages=stages)

    stages = (Stage(method="magnitude", ratio=0.5, amount=Ratio(0.5)),)
    dense = (Stage(method="dense"),)
    key = Variant(key="0" * 64, model="m", revision="r", dtype="float32", stages=dense).dense_key
    plain = make(perplexity(10.0, window=32), perplexity(20.0, window=64), key=key, stages=dense)
    found = stored_effects([plain, result("b", stages, 20.0, 80.0)])
    assert set(found) == {"magnitude@0.5"}
    assert found["magnitude@0.5"].loss == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert stored_effects([plain, result("b", stages, math.inf, math.inf)])["magnitude@0.5"].loss == MOST
