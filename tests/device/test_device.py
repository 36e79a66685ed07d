"""The pretend device behaves as a GPU does, in a process of its own."""

import pytest
import torch

from tests.device import runs
from tests.device.pretend import NAME


@pytest.mark.full
def test_tensors_of_two_devices_never_mix(second):
    refused = dict.fromkeys(("sum", "sum in place", "rows", "list", "generator"), "RuntimeError")
    allowed = {"number": NAME, "index": NAME, "copy": "cpu", "item": 15.0}
    assert second(runs.mixed) == refused | allowed | {"numpy": "TypeError"}


def test_a_run_on_it_gives_the_numbers_of_the_cpu(second):
    on_cpu, there = second(runs.on_both, "tiny", "slimllm@0.25")
    assert there == on_cpu and "perplexity" in next(iter(on_cpu))


@pytest.mark.full
def test_a_stage_leaves_nothing_on_it(second):
    assert second(runs.places_of_parts) == {"cpu"}


def test_this_process_has_no_second_device():
    assert not hasattr(torch, NAME)
