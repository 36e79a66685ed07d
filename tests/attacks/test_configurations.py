"""Damaged `config.json`: identified and estimated without torch, and loaded, compressed and measured."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base.errors import UserError
from core.models.facts import load_shape
from core.models.sources import identify
from core.request.complete import complete
from core.request.expected.estimate import estimate_left
from core.store.store import Store
from tests.attacks.damage import ATTACK, as_json, damaged_tree, examples
from tests.attacks.machine import expect, limited
from tests.core.tiny import ARCHITECTURES, OTHERS

pytestmark = ATTACK

TYPES = ("mamba", "resnet", "bert", "t5", "", "no-such")
SIZES = (0, 1, 2, 3, 7, 1_000, 1_001, 10**5, 10**9, 2**31, 2**63, -1)
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "depths", "encoder_layers", "num_experts")
CLASSES = ([], [""], ["LlamaModel"], ["ResNetModel"], ["LlamaForCausalLM", ""], ["BertForMaskedLM"], "LlamaForCausalLM")
CHAINS = ("magnitude@0.5", "rtn@4bit,group_size=16", "dense", "wanda@2:4", "flap@0.3")
KINDS = tuple({kind for kind, _ in (ARCHITECTURES | OTHERS).values()})
CHANGES = st.one_of(  # of what loaders read first
    st.fixed_dictionaries({"model_type": st.sampled_from((*sorted(KINDS), *TYPES))}),
    st.fixed_dictionaries({"architectures": st.sampled_from(CLASSES)}),
    st.tuples(st.sampled_from(LAYERS), st.sampled_from((*SIZES, [1, 100_000], [2, 2]))).map(lambda pair: dict([pair])),
)


@pytest.fixture(scope="module")
def config(machine):
    return json.loads((machine.folder / "tiny" / "config.json").read_text())


@st.composite
def configurations(draw, config):
    """Draw a configuration after one to three changes, at random or of what loaders read first."""
    if draw(st.booleans()):
        return draw(damaged_tree(config))
    config = dict(config)
    for _ in range(draw(st.integers(1, 3))):
        numbers = sorted(name for name, value in config.items() if isinstance(value, int))
        sizes = st.tuples(st.sampled_from(numbers), st.sampled_from(SIZES)).map(lambda pair: dict([pair]))
        config |= draw(CHANGES | sizes)
    return config


def write(machine, config, place):
    """Write the small model with another configuration."""
    shutil.copytree(machine.folder / "tiny", place / "model", dirs_exist_ok=True)
    (place / "model" / "config.json").unlink()
    (place / "model" / "config.json").write_bytes(as_json(config))


@examples(1_200)
@given(st.data(), st.sampled_from(CHAINS))
def test_a_damaged_configuration_is_estimated_or_refused(machine, config, data, chain):
    config = data.draw(configurations(config))
    with machine.place() as place, limited():
        write(machine, config, place)
        try:
            found = load_shape(identify("./model"))
            cost = estimate_left([complete("./model", chain)], Store())
        except UserError as error:
            assert str(error).strip()
            return
        assert found.parameters >= 0 and cost.bytes >= 0


@examples(50)
@given(st.data(), st.sampled_from(CHAINS))
def test_a_damaged_configuration_is_compressed_or_refused(machine, config, data, chain):
    calibration = ("--calibration", "text.txt:2x32") if chain[0] in "wf" else ()
    with machine.place() as place:
        write(machine, data.draw(configurations(config)), place)
        expect("run", "./model", chain, *calibration, "--perplexity", "text.txt@32:2", seconds=180)
