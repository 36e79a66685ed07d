"""The store: the user's own results, jobs and searches in a database, merged with bundled results."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import URL, Connection, delete, func, insert, literal, select, update
from sqlalchemy.exc import DBAPIError

from core.base import paths
from core.base.errors import StorageError, UserError, echo
from core.cache.storage import VARIANTS, shared_storage
from core.models.names import display_names
from core.notation.removal import share_needs_layers
from core.results import LoadedResults, Measurement, Result
from core.specs import UNKNOWN, ModelId
from core.store import bundled, samples
from core.store.counters import RESULTS, raise_counter
from core.store.database import connect, database_url, open_database, sentences
from core.store.rows import ParsedRow, read_each, revision_of, written
from core.store.tables import measurements, variants

if TYPE_CHECKING:
    from pandas import DataFrame

StoreStamp = tuple[tuple[int, int | None], bundled.Stamp]  # count and last change of the user's rows, bundled files

log = logging.getLogger(__name__)

MOST_NAMED = 500  # keys per query
ENDED_BY_SERVER = ("40001", "40P01")  # SQL states: serialisation failure, deadlock
Answer = TypeVar("Answer")


class Store:
    """Results in the database `url`, else `SLIMSCOPE_DB`, else `local.db` in the local results folder."""

    def __init__(self, url: str | URL | None = None):
        self.url = database_url(url)
        self.engine = open_database(self.url)
        self._logged: set[str] = set()  # warnings on unusable rows
        self._model_ids: dict[str, ModelId] = {}  # of the user's own variants, by key, which determines them
        self._check: Callable[[Connection], None] | None = None

    def checked(self, check: Callable[[Connection], None]) -> Store:
        """Return the same store; each change of its results first calls `check(connection)` in its transaction."""
        found = copy(self)
        found._check = check
        return found

    def check(self, connection: Connection) -> None:
        """Call the check of a `checked` store; others have none."""
        if self._check is not None:
            self._check(connection)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a connection in one transaction; errors of the database become a `UserError`."""
        with sentences(self.url), connect(self.engine) as connection, connection.begin():
            yield connection

    def transact(self, work: Callable[[Connection], Answer]) -> Answer:
        """Return `work(connection)` of one transaction; retry it once if the server restarted or met a deadlock.

        A connection may break after the server has committed, so `work` must be idempotent.
        """
        try:
            with self.begin() as connection:
                return work(connection)
        except StorageError as error:
            of = error.__cause__
            if not isinstance(of, DBAPIError):
                raise
            if not (of.connection_invalidated or getattr(of.orig, "sqlstate", None) in ENDED_BY_SERVER):
                raise
        with self.begin() as connection:
            return work(connection)

    def get(self, key: str) -> Result | None:
        """Return the result of a variant, if there is one; the user's own numbers override bundled ones."""
        return self.read(key).results.get(key)

    def stored(self, key: str) -> Result:
        """Return the result of a variant that was stored before; raise `StorageError` if it is missing."""
        result = self.get(key)
        if result is None:
            raise StorageError(f"Variant {key[:12]} is missing: another process removed it after it was stored.")
        return result

    def results(self) -> list[Result]:
        """Return every result, bundled ones first."""
        return list(self.read().results.values())

    def put(self, result: Result) -> None:
        """Store a result in one transaction; replace numbers with the same identity and keep all others."""
        row, numbers = written(result)
        values = row if result.layers else {name: value for name, value in row.items() if name != "layers"}

        def write(connection: Connection) -> None:
            changed = {"changed": self._next_change(connection)}
            change = update(variants).where(variants.c.key == result.variant.key).values(values | changed)
            if not connection.execute(change).rowcount:
                connection.execute(insert(variants).values(row | changed))
            for number in numbers:
                same = [measurements.c[name] == number[name] for name in ("variant", "metric", "dataset", "protocol")]
                connection.execute(delete(measurements).where(*same))
            if numbers:
                connection.execute(insert(measurements), numbers)

        self.transact(write)

    def delete(self, *keys: str) -> None:
        """Delete the user's own numbers and samples of variants, and their cached models.

        Raises `UserError` if one of them is only bundled, or unknown; nothing is deleted then.
        """
        with self.begin() as connection:
            self._next_change(connection)
            for key in keys:
                connection.execute(delete(measurements).where(measurements.c.variant == key))
                if not connection.execute(delete(variants).where(variants.c.key == key)).rowcount:
                    raise _not_deletable(key)
        for key in keys:
            samples.delete_samples(key)
            shutil.rmtree(paths.cached_variant(key), ignore_errors=True)
            if storage := shared_storage():
                storage.delete(f"{VARIANTS}/{key}")

    def own_counts(self, *keys: str) -> dict[str, int]:
        """Return how many numbers of the user's own each variant has; a `UserError` as of `delete`."""
        counts = select(variants.c.key, func.count(measurements.c.id)).outerjoin(measurements)
        with self.begin() as connection:
            rows = connection.execute(counts.where(variants.c.key.in_(keys)).group_by(variants.c.key))
            found = dict(map(tuple, rows))
        for key in keys:
            if key not in found:
                raise _not_deletable(key)
        return {key: found[key] for key in keys}

    def _next_change(self, connection: Connection) -> int:
        """Return the counter of this change of results; called first, so that writers take turns."""
        counter = raise_counter(connection, RESULTS)
        self.check(connection)
        return counter

    def delete_cut_short(self, key: str) -> None:
        """Delete the stored result of a cancelled training, so that a new run can resume it."""
        stored = self.get(key)
        if stored is not None and stored.variant.cut_short:
            self.delete(key)

    def local_keys(self) -> set[str]:
        """Return the keys of variants with numbers of the user's own, which `delete` accepts."""
        with self.begin() as connection:
            return set(connection.execute(select(variants.c.key)).scalars())

    def stamp(self, model: str | None = None) -> StoreStamp:
        """Return a value that changes with `results()`, or with those of one model; it is cheap, for caches."""
        rows = select(func.count(), func.max(variants.c.changed)).select_from(variants)
        if model is not None:
            rows = rows.where(variants.c.model == model)
        with self.begin() as connection:
            local = connection.execute(rows).one()
        return (local[0], local[1]), bundled.stamp(paths.SHIPPED_MEASURED, "*.jsonl")

    def model_ids(self) -> list[ModelId]:
        """Return the models that have variants, the one with most first."""
        shipped = {key: result.variant.model_id for key, result in bundled.read_measured().results.items()}
        with self.begin() as connection:
            rows = connection.execute(select(variants.c.key, variants.c.model).order_by(variants.c.changed)).all()
            own = {key: self._model_ids.get(key, ModelId(model, UNKNOWN)) for key, model in rows}
            texts = select(variants.c.key, variants.c.variant)
            for some in _batches(key for key in own if key not in self._model_ids):
                for key, variant in connection.execute(texts.where(variants.c.key.in_(some))):
                    if revision := revision_of(variant):
                        own[key] = self._model_ids[key] = ModelId(own[key].name, revision)
        return [model for model, _ in Counter((shipped | own).values()).most_common()]

    def model_names(self, *more: ModelId) -> dict[ModelId, str]:
        """Return the display names of the models that have variants, and of the models `more`."""
        return display_names([*self.model_ids(), *more])

    def changes(self, model: str | None = None) -> dict[str, int]:
        """Return the counter at the last change of each of the user's own variants, of a model or all, oldest first."""
        rows = select(variants.c.key, variants.c.changed).order_by(variants.c.changed)
        if model is not None:
            rows = rows.where(variants.c.model == model)
        with self.begin() as connection:
            return dict(map(tuple, connection.execute(rows)))

    def iter_local(self, keys: Iterable[str]) -> Iterator[ParsedRow]:
        """Yield the results of the variants with numbers of the user's own.

        They have the user's own layers only if the removed share depends on them, as most of a row is layers.
        """
        results = bundled.read_measured().results
        for some in _batches(keys):
            with self.begin() as connection:
                local = {one.key: one for one in _parsed(connection, some, layers=False)}
                shares = [key for key, one in local.items() if one.result and share_needs_layers(one.result)]
                local |= {one.key: one for one in _parsed(connection, shares)} if shares else {}
            for key, result, warnings in self._log_once(local.values()):
                merged = results[key].updated(result) if result and key in results else result
                yield ParsedRow(key, merged, warnings)

    def get_many(self, keys: Collection[str]) -> dict[str, Result]:
        """Return the existing results of variants by key, with the layers of `iter_local`."""
        results = bundled.read_measured().results
        shipped = {key: results[key] for key in keys if key in results}
        return shipped | {key: result for key, result, _ in self.iter_local(keys) if result}

    def each(self, model: str | None = None) -> Iterator[Result]:
        """Yield every result, of one model by its stored name or of all, with the layers of `iter_local`.

        The order is that of `results`. Only a few results of the user's own are in memory at a time.
        """
        every, own = bundled.read_measured().results, self.changes(model)
        shipped = [key for key, result in every.items() if model is None or result.variant.model == model]
        yield from self.get_many(shipped).values()
        yield from (one.result for one in self.iter_local(key for key in own if key not in every) if one.result)

    def put_samples(self, key: str, measurement: Measurement, frame: DataFrame) -> Path:
        """Store the outcomes behind a measurement, one row per document."""
        if self._check is not None:
            self.transact(self._check)
        return samples.write_samples(key, measurement, frame)

    def samples(self, key: str, measurement: Measurement) -> DataFrame | None:
        """Return the outcomes whose mean is a number, one row per document or window; None if none are stored."""
        return samples.read_samples(key, measurement)

    def samples_of_many(self) -> Callable[[str, Measurement], DataFrame | None]:
        """Return `samples` for a table of many variants; those without any outcomes cost one listing together."""
        some = samples.variants_with_samples()
        return lambda key, measurement: samples.read_samples(key, measurement) if key in some else None

    def read(self, key: str | None = None) -> LoadedResults:
        """Return every result, bundled ones first, and warnings on unusable rows; `key` limits the user's own rows."""
        local = list(self._log_once(self.own(key)))
        results, warnings = bundled.read_measured()
        results = dict(results)
        for name, result, _ in local:
            if result:
                results[name] = results[name].updated(result) if name in results else result
        return LoadedResults(results, warnings + tuple(warning for one in local for warning in one.warnings))

    def own(self, key: str | None = None) -> list[ParsedRow]:
        """Return the results in the rows of the database, without bundled results, of all variants or of one."""
        with self.begin() as connection:
            return _parsed(connection, None if key is None else [key])

    def _log_once(self, rows: Iterable[ParsedRow]) -> Iterator[ParsedRow]:
        """Yield the rows; log each warning once."""
        for row in rows:
            for warning in row.warnings:
                if warning not in self._logged:
                    log.warning(warning)
            self._logged.update(row.warnings)
            yield row


def _parsed(connection: Connection, keys: Collection[str] | None = None, layers: bool = True) -> list[ParsedRow]:
    """Return the results in the rows of the database, of these keys or of all, in the order of their changes."""
    light = select(variants.c.key, variants.c.variant, variants.c.footprint, literal("[]").label("layers"))
    rows = (select(variants) if layers else light).order_by(variants.c.changed)
    numbers = select(measurements.c.variant, measurements.c.data).order_by(measurements.c.id)
    if keys is not None:
        rows, numbers = rows.where(variants.c.key.in_(keys)), numbers.where(measurements.c.variant.in_(keys))
    return list(read_each(connection.execute(rows).all(), connection.execute(numbers)))


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    left = iter(keys)
    while some := list(islice(left, MOST_NAMED)):
        yield some


def _not_deletable(key: str) -> UserError:
    if key in bundled.read_measured().results:
        return UserError(f"{key[:12]} is bundled with the project; only your own results can be deleted.")
    return UserError(f"There is no result with the key {echo(key)}.")
