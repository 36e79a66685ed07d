"""The runner of the attacks: its faults, its tries, and a run of the quick families."""

import os
import subprocess
import sys
import time
from itertools import product

import psutil
import pytest

from core.errors import UserError
from core.paths import PROJECT
from tests.attacks.discover import discover, select
from tests.attacks.families import caches, kills
from tests.attacks.family import Family
from tests.attacks.runner import run_families

QUICK = ("chains", "imports")


def run_one(attack, **more):
    family = Family("toy", tries=3, attack=attack, **more)
    (outcome,) = run_families([family], seed=0)
    return outcome


def raise_on_first(prepared, draw, place):
    if not (prepared / "seen").exists():
        (prepared / "seen").touch()
        raise ValueError("bad\nline")


def hang(prepared, draw, place):
    time.sleep(30)


def die(prepared, draw, place):
    os._exit(9)


def allocate(prepared, draw, place):
    bytearray(2_000_000_000)


def start_child(prepared, draw, place):
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    with (prepared / "children").open("a") as file:
        file.write(f"{child.pid}\n")


@pytest.mark.parametrize("isolated", [False, True])
def test_sentences_exceptions_crashes_and_memory_limits_are_faults(isolated):
    assert run_one(lambda *_: None, isolated=isolated).faults == ()
    assert [fault.sentence for fault in run_one(lambda *_: "wrong", isolated=isolated).faults] == ["wrong"] * 3
    (fault,) = run_one(raise_on_first, isolated=isolated).faults
    assert fault.number == 0
    assert fault.sentence.startswith("ValueError at tests/attacks/test_runner.py:")
    assert fault.sentence.endswith(": bad\\nline")
    deaths = run_one(die, isolated=isolated).faults
    assert [fault.number for fault in deaths] == [0, 1, 2]
    assert deaths[0].sentence == "The process died with exit code 9."
    assert "MemoryError" in run_one(allocate, isolated=isolated, memory=1.0).faults[0].sentence


def test_cases_are_tried_in_order_and_repeated():
    outcome = run_one(lambda given, draw, place: given[1], cases=("first", "second"))
    assert [fault.sentence for fault in outcome.faults] == ["first", "second", "first"]


def test_a_fuzzing_family_tries_its_cases_once():
    outcome = run_one(lambda given, draw, place: str(given[1]), cases=("first", "second"), fuzzes=True)
    assert [fault.sentence for fault in outcome.faults] == ["first", "second", "None"]


@pytest.mark.parametrize("family", discover().values(), ids=lambda family: family.name)
def test_a_full_run_covers_every_case_of_a_family(family):
    tried = [family.given(None, number)[1] for number in range(family.tries)]
    assert family.cases and all(case in tried for case in family.cases)
    assert family.fuzzes == (None in tried)  # a family fuzzes after its cases, or has no input of its own


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("kills", product(("load", "compress", "keep", "train", "perplexity"), kills.VICTIMS)),
        ("disks", product(("results", "cache", "save", "sweep", "import", "delete", "queue"), ("full", "read-only"))),
        ("caches", product(caches.KINDS, caches.DAMAGES)),
        ("samples", product(("local", "bundled"), ("cut", "empty", "garbage", "texts", "all columns as texts"))),
    ],
)
def test_a_family_combines_its_targets_and_damages(name, cases):
    assert set(cases) <= set(discover()[name].cases)


def test_a_hang_is_a_fault_of_one_try():
    assert [fault.number for fault in run_one(hang, seconds=0.1).faults] == [0, 1, 2]


def test_child_processes_end_with_their_family(tmp_path):
    assert run_one(start_child, prepare=lambda _: tmp_path).faults == ()
    for pid in (tmp_path / "children").read_text().split():
        assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


def test_tries_are_repeatable_and_differ():
    def draws(seed, only_try=None):
        family = Family("toy", tries=3, attack=lambda _, draw, __: str(draw.random()))
        (outcome,) = run_families([family], seed, only_try=only_try)
        return [fault.sentence for fault in outcome.faults]

    first = draws(0)
    assert len(set(first)) == 3
    assert draws(0) == first
    assert draws(0, only_try=2) == first[2:]
    assert draws(1) != first


def test_a_failed_preparation_is_a_fault_but_a_missing_program_is_not():
    def prepare(folder):
        raise OSError("no")

    (fault,) = run_one(hang, prepare=prepare).faults
    assert fault.number is None and "preparation failed" in fault.sentence
    outcome = run_one(hang, needs="no-such-program")
    assert (outcome.not_run, outcome.faults) == ("needs no-such-program", ())


def python(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.attacks", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=300
    )


def test_quick_families_find_no_faults():
    ended = python("--tries", "3", *(word for name in QUICK for word in ("--only", name)))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert all(name in ended.stdout for name in QUICK)


def test_an_unknown_family_is_refused():
    with pytest.raises(UserError, match=r"^Unknown family 'chans'; did you mean 'chains'\?$"):
        select(["chans"])
