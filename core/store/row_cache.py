"""What is made of each result of a store, kept by model: when a variant changes, it alone is read and made again."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from core.results import Result
from core.store import bundled
from core.store.store import Store

MOST = 24  # models that are kept; of more, the one that was asked for longest ago is forgotten
Value = TypeVar("Value")


class CachedRows(NamedTuple, Generic[Value]):
    """What is made of a model's results at one state of the store."""

    stamp: tuple
    values: dict[str, Value]  # by the variants' keys, in the order of `Store.results`
    warnings: tuple[str, ...]  # as of `Store.read`, but for layers, which are not read


class _Entry(NamedTuple, Generic[Value]):
    changed: int
    value: Value | None
    warnings: tuple[str, ...]


class RowCache(Generic[Value]):
    """Keeps what `make` gives of each result; it is told whether some of it is the user's own."""

    def __init__(self, store: Store, make: Callable[[Result, bool], Value]):
        self.store, self.make = store, make
        self._lock = Lock()
        self._known: dict[str, CachedRows[Value]] = {}
        self._entries: dict[str, dict[str, _Entry[Value]]] = {}  # of the user's own, by model and key

    def of(self, model: str) -> CachedRows[Value]:
        """Return what is made of a model's results as they are now; the same object until one of them changes."""
        with self._lock:
            stamp, before = self.store.stamp(model), self._known.pop(model, None)
            if before is None or before.stamp != stamp:
                before = self._read(model, stamp, before)
            self._known[model] = before
            while len(self._known) > MOST:
                forgotten = next(iter(self._known))
                del self._known[forgotten], self._entries[forgotten]
            return before

    def _read(self, model: str, stamp: tuple, before: CachedRows[Value] | None) -> CachedRows[Value]:
        results, warnings = bundled.read_measured()
        mine = {key: result for key, result in results.items() if result.variant.model == model}
        entries = self._entries.get(model, {})
        if before is None or before.stamp[1] != stamp[1]:
            entries = {}
        changes = self.store.changes(model)
        stale = {key for key, change in changes.items() if key not in entries or entries[key].changed != change}
        new: dict[str, _Entry[Value]] = {}
        for key, result, told in self.store.iter_local(stale):
            new[key] = _Entry(changes[key], self.make(result, True) if result else None, told)
        entries = {key: (new if key in stale else entries)[key] for key in changes if key in new or key not in stale}
        self._entries[model] = entries
        own = {key: entry.value for key, entry in entries.items() if entry.value is not None}
        made = {key: own[key] if key in own else self.make(result, False) for key, result in mine.items()}
        told = tuple(warning for entry in entries.values() for warning in entry.warnings)
        return CachedRows(stamp, made | own, warnings + told)
