"""Find the families, and what they need on this machine."""

from __future__ import annotations

import importlib.util
import pkgutil
import shutil
from collections.abc import Sequence

from core.errors import unknown
from tests.attacks import families
from tests.attacks.family import Family


def discover() -> dict[str, Family]:
    """Return every family by its name.

    Raises:
        ValueError: Two families have one name.
    """
    by_name: dict[str, Family] = {}
    for module in pkgutil.iter_modules(families.__path__):
        for family in importlib.import_module(f"{families.__name__}.{module.name}").FAMILIES:
            if family.name in by_name:
                raise ValueError(f"Two families are called {family.name}; rename one.")
            by_name[family.name] = family
    return by_name


def select(names: Sequence[str] | None) -> list[Family]:
    """Return the families of these names, all where no name is given; a `UserError` for an unknown name."""
    known = discover()
    for name in names or ():
        if name not in known:
            raise unknown("family", name, known)
    return [known[name] for name in dict.fromkeys(names or known)]


def is_available(need: str | None) -> bool:
    """Whether a program is on the PATH, or a package can be imported."""
    return need is None or shutil.which(need) is not None or importlib.util.find_spec(need) is not None
