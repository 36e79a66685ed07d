"""The tiers: each test of a matrix is in one, and together they are all."""

from itertools import product
from types import SimpleNamespace

import pytest

from tests.tiers import first_of_each_class, quick_files

SOURCE = """
import pytest


@pytest.mark.matrix(case=lambda case: case % 2)
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("case", range(4))
def test_product(case, size):
    pass


def test_alone():
    pass


@pytest.mark.full
def test_again():
    pass
"""
pytest_plugins = ["pytester"]


def item(name, kinds=None, axes=1, **params):
    """Return what the tiers see of a test."""
    mark = pytest.mark.matrix(**kinds).mark if kinds else None
    return SimpleNamespace(
        nodeid=f"{name}[{params}]",
        callspec=SimpleNamespace(params=params),
        get_closest_marker=lambda _: mark,
        iter_markers=lambda _: iter(range(axes)),
    )


def test_every_class_of_every_parameter_keeps_one_case():
    tens = {"case": lambda case: case // 10}
    items = [item("test", tens, 2, case=case, size=size) for case, size in product([1, 2, 11], ["small", "large"])]
    assert first_of_each_class(items) == [True, True, False, False, True, False]


def test_a_product_needs_no_mark_and_an_argument_of_none_makes_one_class():
    plain = [item("plain", None, 2, a=a, b=b) for a, b in product(range(2), range(2))]
    assert first_of_each_class(plain) == [True, True, True, False]
    assert first_of_each_class([item("seeds", {"seed": None}, seed=seed) for seed in range(3)]) == [1, 0, 0]


def test_functions_do_not_share_classes_and_single_tests_remain():
    tens = {"case": lambda case: case // 10}
    items = [item("one", tens, case=1), item("other", tens, case=1), item("one", tens, case=2)]
    assert first_of_each_class([*items, item("alone", case=1), item("alone", case=2)]) == [1, 1, 0, 1, 1]


def collected(pytester, *arguments):
    pytester.makeconftest('pytest_plugins = ["tests.tiers"]')
    pytester.makepyfile(test_it=SOURCE)
    result = pytester.runpytest("--collect-only", "-q", *arguments)
    return {line for line in result.outlines if "::" in line}


def test_tiers_and_parts_partition_the_tests(pytester):
    everything = collected(pytester)
    test, full = collected(pytester, "--tier", "test"), collected(pytester, "--tier", "full")
    parts = [collected(pytester, "--tier", "full", "--part", f"{number}/3") for number in (1, 2, 3)]
    assert len(everything) == 10 and test | full == everything and not test & full
    assert {"test_it.py::test_alone"} < test and len(test) == 4 and "test_it.py::test_again" in full
    assert set().union(*parts) == full and sum(map(len, parts)) == len(full)
    assert collected(pytester, "--tier", "test", "--part", "2/3") == test | parts[1]


@pytest.mark.parametrize("part", ["0/4", "5/4", "2", "a/b"])
def test_an_invalid_part_is_rejected(pytester, part):
    pytester.makeconftest('pytest_plugins = ["tests.tiers"]')
    result = pytester.runpytest("--tier", "full", "--part", part)
    result.stderr.fnmatch_lines(["*--part is K/N with 1 <= K <= N*"])


def test_files_of_the_quick_tier_exist_in_order(pytestconfig):
    files = quick_files()
    assert files == sorted(set(files)) and all((pytestconfig.rootpath / file).is_file() for file in files)
