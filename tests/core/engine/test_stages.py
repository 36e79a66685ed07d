"""The table from a kind of method to its runner."""

import importlib

import pytest

from core import registry
from core.engine import stages
from core.engine.runners import by_removal, by_units
from core.methods.base import Method
from core.methods.structured.llm_pruner import LLMPruner
from core.methods.structured.lorap import LoRAP
from core.methods.structured.slimllm import SlimLLM


class OfNoKind(Method):
    name = "of-no-kind"


def test_a_method_without_a_runner_fails_at_import(monkeypatch):
    with pytest.raises(TypeError, match="OfNoKind has no runner"):
        stages.runner_for(OfNoKind)
    with monkeypatch.context() as patched:
        patched.setattr(registry, "STAGES", (*registry.STAGES, OfNoKind))
        with pytest.raises(TypeError, match="OfNoKind has no runner"):
            importlib.reload(stages)
    importlib.reload(stages)


def test_nearest_base_class_selects_the_runner():
    assert stages.runner_for(SlimLLM) is by_units.remove_units_walking
    assert stages.runner_for(LoRAP) is by_units.factor_and_remove_units


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
    assert method.data_requirement == reads and stages.runner_for(type(method)) is how
