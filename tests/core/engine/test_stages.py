"""The table from a kind of method to its runner."""

from typing import get_args

import pytest

from core.engine.runners import by_removal, by_units
from core.engine.stages import RUNNERS
from core.methods.structured.llm_pruner import LLMPruner
from core.methods.structured.lorap import LoRAP
from core.methods.structured.slimllm import SlimLLM
from core.methods.terms import Kind


def test_each_kind_has_a_runner():
    assert RUNNERS.keys() == set(get_args(Kind))


def test_the_nearest_base_class_selects_the_runner():
    assert RUNNERS[SlimLLM.kind] is by_units.remove_units_walking
    assert RUNNERS[LoRAP.kind] is by_units.remove_units_walking


@pytest.mark.parametrize(
    ("granularity", "reads", "how"),
    [
        ("block", "calibration", by_units.remove_units),
        ("channel", "calibration", by_removal.remove_hidden),
        ("layer", "nothing", by_removal.remove_blocks),
    ],
)
def test_parameters_can_select_the_kind_and_the_data(granularity, reads, how):
    method = LLMPruner.create(LLMPruner.parse_parameters({"granularity": granularity}), 0)
    assert method.data_requirement == reads and RUNNERS[method.kind] is how
