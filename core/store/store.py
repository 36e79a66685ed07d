"""Results and jobs: the user's own in a database, those shipped with the project beside it."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, delete, func, insert, literal, select, update

from core import paths
from core.errors import StorageError, UserError, echo
from core.models.names import display_names
from core.results import LoadedResults, Measurement, Result
from core.specs import UNKNOWN, ModelId
from core.store import bundled, samples
from core.store.counters import RESULTS, raise_counter
from core.store.database import database_url, open_database, sentences
from core.store.rows import ParsedRow, read_each, revision_of, written
from core.store.tables import measurements, variants
from core.store.transactions import Answer, repeatable, transaction

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

MOST_NAMED = 500  # keys in one question


class Store:
    """Opens the database on first use: `url`, else `SLIMSCOPE_DB`, else `local.db` in the local results folder."""

    def __init__(self, url: str | URL | None = None):
        self.url = database_url(url)
        self.engine = open_database(self.url)
        self._told: set[str] = set()  # what was logged of rows that cannot be used
        self._model_ids: dict[str, ModelId] = {}  # of the user's own variants, by key, which fixes them

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in one transaction; errors of the database become a `UserError`."""
        with sentences(self.url), transaction(self.engine) as connection:
            yield connection

    def transact(self, work: Callable[[Connection], Answer]) -> Answer:
        """Return `work(connection)` of one transaction, which is tried again as `repeatable` says."""
        with sentences(self.url):
            return repeatable(self.engine, work)

    def get(self, key: str) -> Result | None:
        """Return all that is known of a variant. Where a number is both local and shipped, the local one counts."""
        return self.read(key).results.get(key)

    def stored(self, key: str) -> Result:
        """Return all that is known of a variant of which something was put here."""
        result = self.get(key)
        if result is None:
            raise StorageError(f"Variant {key[:12]} was stored and is gone again: something else removed it.")
        return result

    def results(self) -> list[Result]:
        """Return every result, shipped ones first."""
        return list(self.read().results.values())

    def put(self, result: Result) -> None:
        """Store a result in one transaction: numbers with the same identity are replaced, all others are kept."""
        row, numbers = written(result)
        kept = row if result.layers else {name: value for name, value in row.items() if name != "layers"}

        def write(connection: Connection) -> None:
            changed = {"changed": raise_counter(connection, RESULTS)}  # first, so that those who write take turns
            change = update(variants).where(variants.c.key == result.variant.key).values(kept | changed)
            if not connection.execute(change).rowcount:
                connection.execute(insert(variants).values(row | changed))
            for number in numbers:
                same = [measurements.c[name] == number[name] for name in ("variant", "metric", "dataset", "protocol")]
                connection.execute(delete(measurements).where(*same))
            if numbers:
                connection.execute(insert(measurements), numbers)

        self.transact(write)

    def delete(self, *keys: str) -> None:
        """Delete the user's own numbers and samples of variants, and the cached models.

        Raises `UserError`, and deletes nothing, where one of them is bundled only, or unknown.
        """
        with self.begin() as connection:
            raise_counter(connection, RESULTS)  # first, as whoever stores does
            for key in keys:
                connection.execute(delete(measurements).where(measurements.c.variant == key))
                if not connection.execute(delete(variants).where(variants.c.key == key)).rowcount:
                    raise _not_deletable(key)
        for key in keys:
            samples.delete_samples(key)
            shutil.rmtree(paths.cached_variant(key), ignore_errors=True)

    def delete_cut_short(self, key: str) -> None:
        """Delete what a cancelled training had come to, if that is what is stored; asked for again, it goes on."""
        stored = self.get(key)
        if stored is not None and stored.variant.cut_short:
            self.delete(key)

    def local_keys(self) -> set[str]:
        """Return the keys of variants with numbers of the user's own: those that can be deleted."""
        with self.begin() as connection:
            return set(connection.execute(select(variants.c.key)).scalars())

    def stamp(self, model: str | None = None) -> tuple:
        """Return a value that changes whenever `results()` would, or those of one model: cheap, for caches."""
        rows = select(func.count(), func.max(variants.c.changed)).select_from(variants)
        if model is not None:
            rows = rows.where(variants.c.model == model)
        with self.begin() as connection:
            local = connection.execute(rows).one()
        return tuple(local), bundled.stamp(paths.SHIPPED_MEASURED, "*.jsonl")

    def model_ids(self) -> list[ModelId]:
        """Return the models that there are variants of, the one with most first."""
        there = {key: result.variant.model_id for key, result in bundled.read_measured().results.items()}
        with self.begin() as connection:
            rows = connection.execute(select(variants.c.key, variants.c.model).order_by(variants.c.changed)).all()
            own = {key: self._model_ids.get(key, ModelId(model, UNKNOWN)) for key, model in rows}
            texts = select(variants.c.key, variants.c.variant)
            for some in _batches(key for key in own if key not in self._model_ids):
                for key, variant in connection.execute(texts.where(variants.c.key.in_(some))):
                    if revision := revision_of(variant):
                        own[key] = self._model_ids[key] = ModelId(own[key].name, revision)
        return [model for model, _ in Counter((there | own).values()).most_common()]

    def model_names(self, *more: ModelId) -> dict[ModelId, str]:
        """Return the display names of the models that there are variants of, and of others beside them."""
        return display_names([*self.model_ids(), *more])

    def changes(self, model: str) -> dict[str, int]:
        """Return the count of the last change of each of the user's own variants of a model, by key, oldest first."""
        rows = select(variants.c.key, variants.c.changed).where(variants.c.model == model)
        with self.begin() as connection:
            return dict(map(tuple, connection.execute(rows.order_by(variants.c.changed))))

    def iter_local(self, keys: Collection[str]) -> Iterator[ParsedRow]:
        """Yield the results of those of the variants that have numbers of the user's own, without layers of these."""
        rows = select(variants.c.key, variants.c.variant, variants.c.footprint, literal("[]").label("layers"))
        numbers = select(measurements.c.variant, measurements.c.data).order_by(measurements.c.id)
        results = bundled.read_measured().results
        for some in _batches(keys):
            with self.begin() as connection:
                found = connection.execute(rows.where(variants.c.key.in_(some))).all()
                local = list(read_each(found, connection.execute(numbers.where(measurements.c.variant.in_(some)))))
            for key, result, warnings in self._told_once(local):
                merged = results[key].updated(result) if result and key in results else result
                yield ParsedRow(key, merged, warnings)

    def get_many(self, keys: Collection[str]) -> dict[str, Result]:
        """Return the results of those of the variants that there are, without the user's own layers."""
        results = bundled.read_measured().results
        found = {key: results[key] for key in keys if key in results}
        return found | {key: result for key, result, _ in self.iter_local(keys) if result}

    def put_samples(self, key: str, measurement: Measurement, frame: DataFrame) -> Path:
        """Store the outcomes behind a measurement, one row a document."""
        return samples.write_samples(key, measurement, frame)

    def samples(self, key: str, measurement: Measurement) -> DataFrame | None:
        """Return the outcomes that a number is the mean of, one row a document or window; None where none are kept."""
        return samples.read_samples(key, measurement)

    def read(self, key: str | None = None) -> LoadedResults:
        """Return every result, shipped ones first, or only that of `key`, and what cannot be used, by its sentence."""
        local = list(self._told_once(self.own(key)))
        results, warnings = bundled.read_measured()
        results = dict(results)
        for name, result, _ in local:
            if result:
                results[name] = results[name].updated(result) if name in results else result
        return LoadedResults(results, warnings + tuple(warning for one in local for warning in one.warnings))

    def own(self, key: str | None = None) -> list[ParsedRow]:
        """Return what the rows of the database give, without what is shipped, of all variants or of one."""
        rows = select(variants).order_by(variants.c.changed)
        numbers = select(measurements.c.variant, measurements.c.data).order_by(measurements.c.id)
        if key is not None:
            rows, numbers = rows.where(variants.c.key == key), numbers.where(measurements.c.variant == key)
        with self.begin() as connection:
            return list(read_each(connection.execute(rows).all(), connection.execute(numbers)))

    def _told_once(self, found: Iterable[ParsedRow]) -> Iterator[ParsedRow]:
        """Pass on what is read; a sentence of what cannot be used is logged once."""
        for one in found:
            for warning in one.warnings:
                if warning not in self._told:
                    log.warning(warning)
            self._told.update(one.warnings)
            yield one


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    left = iter(keys)
    while some := list(islice(left, MOST_NAMED)):
        yield some


def _not_deletable(key: str) -> UserError:
    if key in bundled.read_measured().results:
        return UserError(f"{key[:12]} is shipped with the project; only your own results can be deleted.")
    return UserError(f"There is no result with the key {echo(key)}.")


@contextmanager
def compute_lock(on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the one lock for computing on this machine, shared by jobs and command-line runs.

    While another process holds it, `on_wait()` is called twice a second; it may raise to give up.
    """
    folder = paths.local_results_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "compute.lock")
        while True:
            try:
                lock.acquire(timeout=0.5 if on_wait else -1)
                break
            except Timeout:
                if on_wait is not None:
                    on_wait()
    except OSError as error:
        raise StorageError(f"The lock in {folder} cannot be taken: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()
