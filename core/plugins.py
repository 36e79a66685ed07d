"""Methods of other packages: each an entry point of the group `slimscope.methods` that names a method's class.

One that cannot be used is named in a sentence and left out, so that it takes nothing else with it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from importlib.metadata import entry_points
from typing import NamedTuple

from core.errors import echo
from core.methods.base import Method

log = logging.getLogger(__name__)

GROUP = "slimscope.methods"


class PlugIns(NamedTuple):
    methods: tuple[type[Method], ...]
    left_out: tuple[str, ...]  # a sentence for each that cannot be used


def load(built_in: Collection[str]) -> PlugIns:
    """Return the methods of the packages installed here, in the order of their names, and log those left out.

    `built_in` are the names that the project's own methods have, which no other may take.
    """
    methods: dict[str, type[Method]] = {}
    left_out = []
    for entry in sorted(entry_points(group=GROUP)):
        try:
            method = _checked(entry.load(), {*built_in, *methods})
        except Exception as error:  # whatever another package's code raises
            package = entry.dist.name if entry.dist else "an unknown package"
            left_out.append(f"The method {entry.name} of {package} is left out: {_reason(error)}.")
            log.warning("%s", left_out[-1])
        else:
            methods[method.name] = method
    return PlugIns(tuple(methods.values()), tuple(left_out))


def _checked(found: object, taken: Collection[str]) -> type[Method]:
    """Return a method's class; raise `ValueError` where it is none, or its name is taken."""
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ValueError(f"{echo(str(found))} is no class derived from core.methods.base.Method")
    if found.name in taken:
        raise ValueError(f"there is a method {found.name} already")
    return found


def _reason(error: Exception) -> str:
    words = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return words if isinstance(error, ValueError) and words else f"{type(error).__name__}: {words}".rstrip(": ")
