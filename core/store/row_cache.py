"""A cache of values computed from results, by model; only changed variants are read and computed again."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from core.base.memory import no_collection
from core.results import Result
from core.store import bundled
from core.store.store import Store, StoreStamp

MOST = 24  # models in the cache, which drops the least recently used
Value = TypeVar("Value")


class _Entry(NamedTuple, Generic[Value]):
    changed: int
    value: Value | None
    warnings: tuple[str, ...]


class CachedRows(NamedTuple, Generic[Value]):
    """The values computed from a model's results in one state of the store."""

    stamp: StoreStamp
    values: dict[str, Value]  # by the variants' keys, in the order of `Store.results`
    warnings: tuple[str, ...]  # as of `Store.read`, except on layers, which are not read
    own: dict[str, _Entry[Value]]  # of the user's own, by key


class RowCache(Generic[Value]):
    """A cache of `make(result, own)` for each result; `own` is True if the result has the user's own numbers."""

    def __init__(self, store: Store, make: Callable[[Result, bool], Value]):
        self.store, self.make = store, make
        self._lock = Lock()
        self._known: dict[str, CachedRows[Value]] = {}

    def of(self, model: str) -> CachedRows[Value]:
        """Return the values of a model's current results; the same object until one of them changes."""
        with self._lock:
            stamp, before = self.store.stamp(model), self._known.pop(model, None)
            if before is None or before.stamp != stamp:
                with no_collection():  # nothing that it reads is garbage
                    before = self._read(model, stamp, before)
            self._known[model] = before
            while len(self._known) > MOST:
                del self._known[next(iter(self._known))]
            return before

    def _read(self, model: str, stamp: StoreStamp, before: CachedRows[Value] | None) -> CachedRows[Value]:
        results, warnings = bundled.read_measured()
        mine = {key: result for key, result in results.items() if result.variant.model == model}
        entries = before.own if before and before.stamp[1] == stamp[1] else {}
        changes = self.store.changes(model)
        stale = {key for key, change in changes.items() if key not in entries or entries[key].changed != change}
        new: dict[str, _Entry[Value]] = {}
        for key, result, row_warnings in self.store.iter_local(stale):
            new[key] = _Entry(changes[key], self.make(result, True) if result else None, row_warnings)
        entries = {key: (new if key in stale else entries)[key] for key in changes if key in new or key not in stale}
        own = {key: entry.value for key, entry in entries.items() if entry.value is not None}
        values = {key: own[key] if key in own else self.make(result, False) for key, result in mine.items()}
        own_warnings = tuple(warning for entry in entries.values() for warning in entry.warnings)
        return CachedRows(stamp, values | own, warnings + own_warnings, entries)
