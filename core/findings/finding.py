"""The form of every answer, and what answers read besides their rows: results, and paired differences."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import pandas as pd

from core.base.memory import no_collection
from core.findings.numbers.differences import (
    COLUMNS,
    Samples,
    SeedsOf,
    adjust_together,
    differences,
    number_of,
    over_seeds,
)
from core.findings.numbers.frame import VariantRows, build_frame, variant_rows
from core.findings.numbers.reporting import TableRow
from core.findings.seeds import Seeds, Stored, averaged
from core.results import Result
from core.specs import ModelId

Number = tuple[str, str, str]  # (dataset, metric, protocol id), as `core.findings.numbers.differences.NUMBER`
Keys = tuple[str, ...]  # of a variant, by seed
Read = Callable[[Collection[str]], Mapping[str, Result]]  # returns the results that exist for keys


@dataclass(frozen=True, repr=False)
class Finding:
    """An answer, which prints as its sentence.

    Attributes:
        rows: What it looked at, a row each.
        sentence: The answer.
    """

    rows: pd.DataFrame
    sentence: str

    def __repr__(self) -> str:
        return self.sentence


class Reader(Protocol):
    """Reads stored results and their outcomes, such as `StoreReader`."""

    def results(self, keys: Collection[str]) -> Mapping[str, Result]:
        """Return the results that exist for these keys."""

    def paired(
        self, seeds: Sequence[Keys], reference: str | Keys | None, numbers: Sequence[Number] | None = None
    ) -> pd.DataFrame:
        """Return the paired differences (`core.findings.numbers.differences`) of variants to a reference.

        Args:
            seeds: Keys of each variant by seed; the rows have the first one (`over_seeds`).
            reference: Key of the reference, or its keys by seed; without one the table is empty.
            numbers: Metrics to compare; None compares all that both have.

        Returns:
            Rows of `COLUMNS`, with p values adjusted over all of them.
        """

    def rows(self, metric: str, datasets: Sequence[str]) -> pd.DataFrame:
        """Return the tidy rows of all models for one metric and these data sets, without published results."""


class StoreReader:
    """Reads a store, as `Reader`."""

    def __init__(self, store: Stored):
        self._store, self._seeds = store, Seeds(store)

    def results(self, keys: Collection[str]) -> dict[str, Result]:
        return self._store.get_many(keys)

    def paired(
        self, seeds: Sequence[Keys], reference: str | Keys | None, numbers: Sequence[Number] | None = None
    ) -> pd.DataFrame:
        if reference is None or not seeds:
            return pd.DataFrame(columns=COLUMNS)
        reference = (reference,) if isinstance(reference, str) else reference
        found = pairs(self.results, self._store.samples, self._seeds, seeds, reference, numbers)
        return adjust_together(pd.DataFrame([row for keys in seeds for row in found[keys]], columns=COLUMNS))

    @cached_property
    def every(self) -> list[VariantRows]:
        """The tidy rows of all results of the store, read once."""
        with no_collection():  # nothing that it reads is garbage
            return [variant_rows(result) for result in self._store.each()]

    def of_model(self, name: str, names: Mapping[ModelId, str]) -> pd.DataFrame:
        """Return the tidy rows of the model with a display name; `names` has that of each model."""
        return build_frame(one for one in self.every if names[one.model] == name)

    def rows(self, metric: str, datasets: Sequence[str]) -> pd.DataFrame:
        found = build_frame(self.every)
        return found[(found["metric"] == metric) & found["dataset"].isin(datasets)]


def pairs(
    read: Read,
    samples: Samples,
    of_seeds: SeedsOf,
    seeds: Sequence[Keys],
    reference: Keys,
    numbers: Sequence[Number] | None,
) -> dict[Keys, list[TableRow]]:
    """Return the rows of `Reader.paired` by the variant's keys, without adjusted p values."""
    there = read([*reference, *(key for keys in seeds for key in keys)])
    rows: dict[Keys, list[TableRow]] = {keys: [] for keys in seeds}
    if not there.keys() >= set(reference):
        return rows
    seeds = [keys for keys in seeds if there.keys() >= set(keys)]  # the rest was deleted since
    first, *groups = [[_only(there[key], numbers) for key in keys] for keys in (reference, *seeds)]
    every = [group[0] for group in groups]
    dense = read({one.variant.dense_key for one in (first[0], *every)})
    outcomes = over_seeds([first, *groups], samples)
    found = differences(every, first[0], outcomes, dense.values(), averaged(of_seeds, [first, *groups]))
    of_first = {keys[0]: keys for keys in seeds}
    for row in found.to_dict("records"):
        rows[of_first[row["key"]]].append(row)
    return rows


def _only(result: Result, numbers: Iterable[Number] | None) -> Result:
    """Return a result with only these metrics; None keeps all."""
    if numbers is None:
        return result
    wanted = tuple(one for one in result.measurements if number_of(one) in numbers)
    return result.model_copy(update={"measurements": wanted})
