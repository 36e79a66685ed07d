"""The tiers: each test of a matrix is in one, and together they are all."""

from itertools import product
from types import SimpleNamespace

import pytest

from tests.tiers import PARTS, first_of_each_class, quick_files

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


@pytest.mark.full
@pytest.mark.e2e
def test_in_a_browser():
    pass
"""
pytest_plugins = ["pytester"]


def item(name, kinds=None, axes=1, **params):
    """Return what the tiers see of a test."""
    mark = pytest.mark.matrix(**kinds).mark if kinds else None
    return SimpleNamespace(
        nodeid=f"{name}[{params}]",
        callspec=SimpleNamespace(params=params),
        get_closest_marker=lambda name: mark if name == "matrix" else None,
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


def collected(pytester, *arguments):
    pytester.makeconftest('pytest_plugins = ["tests.tiers"]')
    pytester.makepyfile(**{"tests/core/methods/test_it": SOURCE, "tests/docs/test_other": "def test_page(): pass"})
    result = pytester.runpytest("--collect-only", "-q", *arguments)
    return {line.rpartition("/")[2] for line in result.outlines if "::" in line}


def test_tiers_partition_the_tests_and_parts_the_full_tier(pytester):
    everything = collected(pytester)
    test, full = collected(pytester, "--tier", "test"), collected(pytester, "--tier", "full")
    assert len(everything) == 12 and test | full == everything and not test & full
    assert {"test_it.py::test_alone", "test_other.py::test_page"} < test and len(test) == 5
    parts = [collected(pytester, "--tier", "full", "--part", part) for part in PARTS]
    assert set().union(*parts) == full and sum(map(len, parts)) == len(full)
    assert [part for part, found in zip(PARTS, parts, strict=True) if found] == ["browser", "methods"]
    assert collected(pytester, "--tier", "full", "--part", "browser") == {"test_it.py::test_in_a_browser"}


def test_the_quick_tier_rejects_torch_and_leaves_it_out_of_the_loaded_modules(pytester):
    pytester.makeconftest('pytest_plugins = ["tests.tiers"]')
    file = quick_files()[0].removesuffix(".py")
    pytester.makepyfile(
        **{file: "def test_it():\n    import sys\n    assert 'torch' not in sys.modules\n    import torch"}
    )
    result = pytester.runpytest_subprocess("--tier", "quick")
    result.stdout.fnmatch_lines(["*ModuleNotFoundError: The tests of make quick import no torch.*"])


def test_files_of_the_quick_tier_exist_in_order(pytestconfig):
    files = quick_files()
    assert files == sorted(set(files)) and all((pytestconfig.rootpath / file).is_file() for file in files)
