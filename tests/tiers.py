"""The tiers of the tests: `make quick`, `make test` and `make full` run what `--tier` selects here.

A test function with several `parametrize` marks, or a mark `matrix`, is a matrix. `test` keeps one combination for each
class of each parameter, and `full` keeps the rest. `--part K/N` takes one of N parts of that rest: `full` keeps no more
than it, and `test` keeps it, too. Each value is a
class of its own, unless `matrix(name=classify)` says what class a value of a parameter is in; with None all are in one.
The mark `full` leaves a test to that tier whose class of input another test of `test` has. Tests of the default model
with this mark take minutes, so no part of them is added to `test`.
`quick` keeps the files of `quick.txt`, whose tests need no torch, and makes an import of torch an error. Without
`--tier` everything runs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

TIERS = ("quick", "test", "full")
QUICK_FILES = Path(__file__).with_name("quick.txt")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiers")
    group.addoption("--tier", choices=TIERS, help="the tests to run; all by default")
    group.addoption("--part", metavar="K/N", help="of what is in --tier full: the K-th of N parts of equal size")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "matrix(**classes): one case a class in `make test`, the rest in `make full`")
    config.addinivalue_line(
        "markers", "full: in `make full` only, as another test of `make test` has its class of input"
    )
    config.addinivalue_line("markers", "model: needs torch, in a file of `make quick`")
    if config.option.part and (config.option.tier not in ("test", "full") or _part(config.option.part) is None):
        raise pytest.UsageError("--part is K/N with 1 <= K <= N, and of --tier test or full.")
    if config.option.tier == "quick":
        sys.modules["torch"] = None  # type: ignore[assignment]


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
    first = [
        one and not item.get_closest_marker("full") for item, one in zip(items, first_of_each_class(items), strict=True)
    ]
    number, parts = _part(config.option.part or "1/1") or (1, 1)
    part = [crc32(item.nodeid.encode()) % parts == number - 1 for item in items]
    if tier == "full":
        return [drawn and not one for drawn, one in zip(part, first, strict=True)]
    brief = [not (item.get_closest_marker("real") and item.get_closest_marker("full")) for item in items]
    wanted = [bool(config.option.part) and drawn and short for drawn, short in zip(part, brief, strict=True)]
    return [one or more for one, more in zip(first, wanted, strict=True)]


def first_of_each_class(items: Sequence[pytest.Item]) -> list[bool]:
    """Return of each test whether it has the first case of a class of one of its parameters, or is in no matrix."""
    seen: set[tuple[str, str, Any]] = set()
    found = []
    for item in items:
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


def _part(text: str) -> tuple[int, int] | None:
    """Return K and N of `K/N`; None where it is not that."""
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or int(match[1]) > int(match[2]):
        return None
    return int(match[1]), int(match[2])
