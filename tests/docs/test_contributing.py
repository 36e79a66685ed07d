"""CONTRIBUTING.md names existing files; the table of the guide to plug-ins has each kind of method with an example."""

import importlib
import inspect
import re

from core.api import methods
from core.base.paths import PROJECT
from core.engine.stages import RUNNERS
from core.methods.kinds import Dense
from tests.docs.markdown import links, tables, text

PAGE, GUIDE = PROJECT / "CONTRIBUTING.md", PROJECT / "docs" / "plug-ins.md"
FILE = re.compile(r"`((?:benchmarks|core|dashboard|docs|tests|tools)/[\w./]*)`")


def base_classes():
    """Return the rows of the table of base classes: name and file of the example."""
    (rows,) = [rows for rows in tables(GUIDE) if text(rows[0][0]) == "base class"]
    return [(text(cells[0]), links(cells[-1])[0]) for cells in rows[1:]]


def base_class(row):
    """Return the class that a row of the table names, from the file of its example."""
    name, example = row
    module = importlib.import_module(example.removeprefix("../").removesuffix(".py").replace("/", "."))
    own = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
    return next(base for one in own for base in one.__mro__[1:] if base.__name__ == name)


def test_each_kind_of_method_is_in_the_table():
    assert {base.kind for base in map(base_class, base_classes())} == RUNNERS.keys() - {Dense.kind}


def test_plugins_import_each_base_class_from_the_public_module():
    for row in base_classes():
        assert getattr(methods, row[0]) is base_class(row)


def test_each_named_file_and_folder_exists():
    named = FILE.findall(PAGE.read_text(encoding="utf-8"))
    patterns = {name for name in named if "NAME" in name}
    assert len(named) > 5 and patterns == {"dashboard/NAME/view.py", "tests/dashboard/NAME/"}
    assert [name for name in named if name not in patterns and not (PROJECT / name).exists()] == []


def test_each_named_make_target_exists():
    targets = set(re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"`make ([\w-]+)", PAGE.read_text(encoding="utf-8")))
    assert {"quick", "lint", "test", "full"} <= named <= targets
