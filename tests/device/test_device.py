"""The pretend device behaves as a GPU does, in a process of its own."""

import pytest
import torch

from tests.device import outcomes, runs
from tests.device.pretend import NAME

SIX = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


@pytest.mark.full
def test_tensors_of_two_devices_never_mix(second):
    found = second(outcomes.refused)
    assert found.pop("numpy") == "TypeError"
    assert set(found.values()) == {"RuntimeError"}, found
    copied = {"copy": "cpu", "cpu": "cpu", "item": 15.0, "list": SIX, "saved": SIX}
    found = second(outcomes.allowed)
    assert found == dict.fromkeys(found, NAME) | copied


@pytest.mark.full
def test_training_on_it_gives_the_weights_of_the_cpu(second):
    on_cpu, there = second(outcomes.trained)
    assert there == on_cpu


def test_a_run_on_it_gives_the_numbers_of_the_cpu(second):
    on_cpu, there = second(runs.on_both, "tiny", "slimllm@0.25")
    assert there == on_cpu and "perplexity" in next(iter(on_cpu))


@pytest.mark.full
def test_a_stage_leaves_nothing_on_it(second):
    assert second(outcomes.places_of_parts) == {"cpu"}


def test_this_process_has_no_second_device():
    assert not hasattr(torch, NAME)
