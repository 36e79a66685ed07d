"""Slots of a machine: as many runs compute at once as it has, and each sees one GPU."""

import os
import subprocess
import sys

import pytest

from core.base import paths
from core.base.errors import CancelledError, UserError
from core.store import slots
from core.store.slots import compute_lock


@pytest.fixture(autouse=True)
def no_gpus(results_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "GPUS", tmp_path / "gpus")
    for variable in ("CUDA_VISIBLE_DEVICES", "SLIMSCOPE_SLOTS"):
        monkeypatch.delenv(variable, raising=False)


HOLDER = """
import sys
from core.store.slots import compute_lock
with compute_lock():
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(results_dir):
    """A function that starts a process that takes the compute lock, prints `in`, and keeps it until its input ends."""
    started = []

    def start():
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", HOLDER]
        started.append(subprocess.Popen(command, cwd=paths.PROJECT, stdin=pipe, stdout=pipe, text=True))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.wait()


def test_compute_lock_admits_one_process_and_a_killed_one_releases_it(holder):
    child, waits = holder(), []
    assert child.stdout.readline() == "in\n"

    def on_wait():
        waits.append(child.poll())
        if len(waits) == 1:
            raise CancelledError
        child.kill()

    with pytest.raises(CancelledError), compute_lock(on_wait):
        pass
    with compute_lock(on_wait):
        assert waits[:2] == [None, None]  # it was alive, and it held the lock
        second = holder()
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=1)
    assert second.stdout.readline() == "in\n"


def test_as_many_processes_compute_as_there_are_slots(holder, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_SLOTS", "2")
    first, second = holder(), holder()
    assert first.stdout.readline() == second.stdout.readline() == "in\n"
    waits = []

    def on_wait():
        waits.append(second.poll())
        second.stdin.close()

    with compute_lock(on_wait):
        assert waits[0] is None and first.poll() is None


@pytest.mark.parametrize(
    ("visible", "gpus", "stated", "count", "device"),
    [
        (None, 0, None, 1, None),
        (None, 1, None, 1, None),
        (None, 3, None, 3, "0"),
        ("GPU-a,GPU-b", 3, None, 2, "GPU-a"),
        ("", 3, None, 1, ""),
        (None, 2, "5", 5, "0"),
    ],
)
def test_a_slot_has_a_gpu_if_there_are_several(visible, gpus, stated, count, device, monkeypatch):
    for place in range(gpus):
        (slots.GPUS / f"0000:0{place}:00.0").mkdir(parents=True)
    for variable, value in (("CUDA_VISIBLE_DEVICES", visible), ("SLIMSCOPE_SLOTS", stated)):
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert slots.slots() == count
    with compute_lock():
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == device
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_a_second_run_has_the_second_gpu(holder):
    assert holder().stdout.readline() == "in\n"  # the first slot
    for place in range(2):
        (slots.GPUS / f"0000:0{place}:00.0").mkdir(parents=True)
    with compute_lock():
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_wrong_number_of_slots_is_one_sentence(monkeypatch):
    for text in ("0", "-1", "two", "1.5", ""):
        monkeypatch.setenv("SLIMSCOPE_SLOTS", text)
        with pytest.raises(UserError, match="give a number of runs from 1"):
            slots.slots()
