"""Methods, export formats, texts and metrics of other packages: entry points of groups such as `slimscope.methods`.

A plug-in that cannot be used is skipped with a warning, so that the others still work.
"""

import logging
import re
from collections.abc import Callable, Collection
from importlib.metadata import entry_points
from typing import Generic, NamedTuple, TypeVar

from core.base.errors import echo

log = logging.getLogger(__name__)

T = TypeVar("T")
NAME = r"[a-z][a-z0-9_-]*"  # other characters have a meaning in chains


class PlugIns(NamedTuple, Generic[T]):
    """Usable plug-ins of a group by name, and a warning for each unusable one."""

    usable: dict[str, T]
    left_out: tuple[str, ...]  # one sentence per unusable plug-in


def load(kind: str, built_in: Collection[str], read: Callable[[str, object], tuple[str, T]]) -> PlugIns[T]:
    """Load the plug-ins of the group `slimscope.KINDs`, sorted by the names of their entries, and log the skipped ones.

    Other packages cannot reuse the names in `built_in`. `read` returns the name and the plug-in of an entry by the
    entry's name and value; it raises `ValueError` for others.
    """
    usable: dict[str, T] = {}
    left_out = []
    for entry in sorted(entry_points(group=f"slimscope.{kind}s")):
        try:
            name, plugin = read(entry.name, entry.load())
            if not (isinstance(name, str) and re.fullmatch(NAME, name)):
                allowed = "lower-case letters, digits and signs of - _, such as my-method"
                raise ValueError(f"the name {echo(name)} is invalid; give {allowed}")
            if name in {*built_in, *usable}:
                raise ValueError(f"the name {name} is already in use")
        except (Exception, SystemExit) as error:  # another package's code may raise anything
            package = entry.dist.name if entry.dist else "an unknown package"
            left_out.append(f"The {kind} {entry.name} of {package} is skipped: {_reason(error)}.")
            log.warning("%s", left_out[-1])
        else:
            usable[name] = plugin
    return PlugIns(usable, tuple(left_out))


def _reason(error: BaseException) -> str:
    words = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return words if isinstance(error, ValueError) and words else f"{type(error).__name__}: {words}".rstrip(": ")
