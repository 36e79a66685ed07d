"""Cache that all sessions share: read-only tables, and the results computed from them.

Every `SharedTable` has a unique number, which the cache uses as a key. A new row in the store makes a new table with a
new number, so results of the old table are not used again.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import fields, is_dataclass
from functools import partial, wraps
from itertools import count
from threading import Lock
from types import FunctionType
from typing import Any, NoReturn, ParamSpec, TypeVar

import numpy as np
import pandas as pd

LIMIT = 100_000_000  # bytes of all cached results; the least recently used are dropped first
CELL = 8  # bytes of a table cell: a number, or a pointer to a text that other tables share
SMALL = 1000  # bytes assumed for a value without a known size
Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")
_NUMBERS = count()


class SharedTable(pd.DataFrame):
    """A read-only table; tables that pandas derives from it are ordinary ones."""

    def __init__(self, table: pd.DataFrame):
        super().__init__(table)  # type: ignore[call-arg]
        self.attrs.update(table.attrs)
        object.__setattr__(self, "_number", next(_NUMBERS))

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:  # Any: as of pandas
        raise TypeError("All sessions share this table, so it is read-only; change a copy of it.")

    __setitem__ = __delitem__ = insert = isetitem = _refuse  # type: ignore[misc]

    def __setattr__(self, name: str, value: Any) -> None:  # Any: as of pandas
        self._refuse()

    # An assignment through one of these changes a temporary table; pandas warns that it has no effect.
    loc = property(lambda self: pd.DataFrame(self).loc)
    iloc = property(lambda self: pd.DataFrame(self).iloc)
    at = property(lambda self: pd.DataFrame(self).at)
    iat = property(lambda self: pd.DataFrame(self).iat)


class _Entry:
    """One cached result; the first caller computes it while others wait."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.size = SMALL
        self.known = False
        self.value: Any = None  # Any: each function returns a type of its own


class _Memory:
    """Cached results by key, up to `LIMIT` bytes."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.size = 0
        self.entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        with self.lock:
            if key not in self.entries:
                self.entries[key] = _Entry()
                self.size += SMALL
            entry = self.entries[key]
            self.entries.move_to_end(key)
        with entry.lock:
            if not entry.known:
                entry.value = _shareable(compute())
                entry.known = True
                self._weigh(key, entry)
        found: Value = entry.value
        return copy(found) if isinstance(found, list | dict | set) else found

    def _weigh(self, key: Hashable, entry: _Entry) -> None:
        with self.lock:
            if self.entries.get(key) is entry:
                self.size += _size(entry.value) - entry.size
                entry.size = _size(entry.value)
            while self.size > LIMIT and len(self.entries) > 1:
                self.size -= self.entries.popitem(last=False)[1].size


_MEMORY = _Memory()


def shared(compute: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Cache the results of a pure function of `SharedTable`s and hashable values, for all sessions.

    Returned tables become `SharedTable`s, also inside a tuple. Lists, sets and dictionaries are returned as copies. If
    an argument is an ordinary table, which has no number, the function is called each time.

    Raises:
        TypeError: For a function of a page's script, because each run defines a new one.
    """
    if compute.__module__ == "__main__":
        raise TypeError(
            f"Define {compute.__qualname__} in a module: each run of a page's script defines a new function."
        )

    @wraps(compute)
    def cached(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        try:
            key = compute, _key((args, kwargs))
        except _UnkeyedError:
            return compute(*args, **kwargs)
        return _MEMORY.get(key, partial(compute, *args, **kwargs))

    return cached


class _UnkeyedError(Exception):
    """An argument that cannot be part of a cache key."""


def _key(value: Any) -> Hashable:  # Any: an argument of any type
    """Return the part of a cache key for a value: equal for equal values of the same type."""
    if isinstance(value, SharedTable):
        return SharedTable, value._number
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index | np.ndarray):
        raise _UnkeyedError
    if isinstance(value, partial):
        return partial, _key((value.func, value.args, value.keywords))
    if isinstance(value, list | tuple):
        return type(value), *map(_key, value)
    if isinstance(value, dict):
        return dict, *((name, _key(one)) for name, one in value.items())
    if isinstance(value, FunctionType) and "<" in value.__qualname__:  # a lambda, which each run defines again
        raise _UnkeyedError
    try:
        hash(value)
    except TypeError:
        if is_dataclass(value):
            return type(value), *(_key(getattr(value, field.name)) for field in fields(value))
        raise _UnkeyedError from None
    return type(value), value


def _shareable(value: Any) -> Any:  # Any: a result of any type
    if isinstance(value, pd.DataFrame) and not isinstance(value, SharedTable):
        return SharedTable(value)
    if isinstance(value, tuple):
        parts = map(_shareable, value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def _size(value: Any) -> int:  # Any: a result of any type
    if isinstance(value, pd.DataFrame):
        return SMALL + value.size * CELL
    if isinstance(value, tuple):
        return SMALL + sum(map(_size, value))
    return SMALL + int(getattr(value, "size", 0))
