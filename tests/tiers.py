"""The tiers of the tests: `make quick`, `make test` and `make full` run what `--tier` selects here.

A test function with several `parametrize` marks, or a mark `matrix`, is a matrix. `test` keeps one combination for each
class of each parameter, and `full` keeps the rest. Each value is a class of its own, unless `matrix(name=classify)`
returns the class of a value of a parameter; with None all are in one.
The mark `full` leaves a test to that tier whose class of behaviour another test of `test` has.
`full` has parts, and `--part NAME` keeps one of them: `python -m tests.tiers` prints their names.
`quick` keeps the files of `quick.txt`, whose tests need no torch, and makes an import of torch an error. Without
`--tier` everything runs.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

TIERS = ("quick", "test", "full")
QUICK_FILES = Path(__file__).with_name("quick.txt")
# Marks or folders by part: a test is in the first part that names a mark of it, or a folder above it.
PARTS: Mapping[str, tuple[str, ...]] = {
    "attacks": ("attack",),
    "kills": ("tests/kills",),
    "browser": ("e2e",),
    "ray": ("ray",),
    "postgres": ("postgres",),
    "real": ("real",),
    "device": ("tests/device",),
    "programs": ("tests/benchmarks", "tests/extensions", "tests/package", "tests/tools"),
    "pages": ("tests/dashboard",),
    "methods": ("tests/core/contract", "tests/core/methods"),
    "engine": (*(f"tests/core/{name}" for name in ("engine", "evaluation", "models", "shipping", "training")),),
    "rest": ("tests",),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiers")
    group.addoption("--tier", choices=TIERS, help="the tests to run; all by default")
    group.addoption("--part", choices=tuple(PARTS), help="the part of --tier full to run")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "matrix(**classes): one case a class in `make test`, the rest in `make full`")
    config.addinivalue_line(
        "markers", "full: in `make full` only, as another test of `make test` has its class of input"
    )
    config.addinivalue_line("markers", "model: needs torch, in a file of `make quick`")
    if config.option.part and config.option.tier != "full":
        raise pytest.UsageError("--part needs --tier full.")
    if config.option.tier == "quick":
        sys.meta_path.insert(0, _WithoutTorch())


class _WithoutTorch(MetaPathFinder):
    """Rejects an import of torch; a None in `sys.modules` would break libraries that look there for a loaded torch."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        if fullname.partition(".")[0] == "torch":
            raise ModuleNotFoundError("The tests of make quick import no torch.", name=fullname)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.option.tier != "quick":
        return None
    chosen = [config.rootpath / file for file in quick_files()]
    return True if not any(file.is_relative_to(collection_path) for file in chosen) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item, keep in zip(items, _kept(config, items), strict=True) if not keep]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def quick_files() -> list[str]:
    """Return the files of `make quick`, from the project's folder."""
    return QUICK_FILES.read_text(encoding="utf-8").split()


def _kept(config: pytest.Config, items: Sequence[pytest.Item]) -> list[bool]:
    """Return of each test whether the chosen tier runs it."""
    tier = config.option.tier
    if tier == "quick":
        return [not item.get_closest_marker("model") for item in items]
    if tier is None:
        return [True] * len(items)
    first = first_of_each_class(items)
    if tier == "test":
        return first
    return [not one and config.option.part in (None, part_of(item)) for item, one in zip(items, first, strict=True)]


def part_of(item: pytest.Item) -> str:
    """Return the part of `make full` that a test is in."""
    folders = [parent.as_posix() for parent in Path(item.nodeid.partition("::")[0]).parents]
    marks = [mark.name for mark in item.iter_markers()]
    return next(part for part, names in PARTS.items() if not set(names).isdisjoint([*folders, *marks]))


def first_of_each_class(items: Sequence[pytest.Item]) -> list[bool]:
    """Return of each test whether it is one of `make test`.

    It has the first case of a class of one of its parameters, or is in no matrix, and has no mark `full`.
    """
    seen: set[tuple[str, str, Any]] = set()
    found = []
    for item in items:
        if item.get_closest_marker("full"):
            found.append(False)
            continue
        mark = item.get_closest_marker("matrix")
        axes = len(list(item.iter_markers("parametrize")))
        if not hasattr(item, "callspec") or (mark is None and axes < 2):
            found.append(True)
            continue
        function, kinds = item.nodeid.partition("[")[0], mark.kwargs if mark else {}
        classes = {(function, name, kind) for name, kind in _classes(item, kinds)}
        found.append(not classes <= seen)
        seen |= classes
    return found


def _classes(item: pytest.Item, kinds: Mapping[str, Callable[[Any], Any] | None]) -> Iterator[tuple[str, Any]]:
    """Yield each parameter of a test with the class of its value, by default the one object that the value is."""
    for name, value in item.callspec.params.items():  # type: ignore[attr-defined]
        classify = kinds.get(name)
        yield name, (classify(value) if classify else None) if name in kinds else id(value)


if __name__ == "__main__":
    print(*PARTS)
