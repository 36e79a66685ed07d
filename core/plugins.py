"""Methods of other packages: each is an entry point of the group `slimscope.methods` that names a method's class.

A method that cannot be used is skipped with a warning, so that the others still work.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from importlib.metadata import entry_points
from typing import NamedTuple, get_args

from core.errors import echo
from core.methods.base import Method
from core.methods.terms import Kind

log = logging.getLogger(__name__)

GROUP = "slimscope.methods"
NAME = r"[a-z][a-z0-9_-]*"  # of a method; other characters have a meaning in chains


class PlugIns(NamedTuple):
    """Usable methods of other packages, and a warning for each unusable one."""

    methods: tuple[type[Method], ...]
    left_out: tuple[str, ...]  # one sentence per unusable method


def load(built_in: Collection[str]) -> PlugIns:
    """Load the methods of installed packages, sorted by name, and log those that are skipped.

    `built_in` are the names of the project's own methods, which other packages cannot reuse.
    """
    methods: dict[str, type[Method]] = {}
    left_out = []
    for entry in sorted(entry_points(group=GROUP)):
        try:
            method = _checked(entry.load(), {*built_in, *methods})
        except (Exception, SystemExit) as error:  # another package's code may raise anything
            package = entry.dist.name if entry.dist else "an unknown package"
            left_out.append(f"The method {entry.name} of {package} is skipped: {_reason(error)}.")
            log.warning("%s", left_out[-1])
        else:
            methods[method.name] = method
    return PlugIns(tuple(methods.values()), tuple(left_out))


def _checked(found: object, used: Collection[str]) -> type[Method]:
    """Return a method's class; raise `ValueError` if it is no method, of no kind, or its name is invalid or in use."""
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ValueError(f"{echo(str(found))} is not a subclass of core.methods.base.Method")
    if getattr(found, "kind", None) not in get_args(Kind):
        raise ValueError(f"{found.__name__} derives from no base class that the engine runs, such as ScoreMethod")
    if not (isinstance(found.name, str) and re.fullmatch(NAME, found.name)):
        allowed = "lower-case letters, digits and signs of - _, such as my-method"
        raise ValueError(f"the name {echo(found.name)} is invalid; give {allowed}")
    if found.name in used:
        raise ValueError(f"the name {found.name} is already in use")
    return found


def _reason(error: BaseException) -> str:
    words = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return words if isinstance(error, ValueError) and words else f"{type(error).__name__}: {words}".rstrip(": ")
