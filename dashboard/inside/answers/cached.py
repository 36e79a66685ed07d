"""The variants of a model that can answer, and the amounts of their series that are in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from core.base.paths import cached_variant
from core.findings.rows import naming, points
from core.request.stages import build_stage, variant_spec
from core.results import Result
from core.specs import IMPORTED, VariantSpec
from dashboard.inside.selection import Subject


class Candidates(NamedTuple):
    """The compressed variants of a model that this program can load or create."""

    names: Mapping[str, str]  # by key, those in the cache first
    cached: frozenset[str]  # keys
    rows: pd.DataFrame  # one per variant

    @property
    def first(self) -> list[str]:
        """The variant that the page chooses first: cached and at the usual amount, as far as there is one."""
        usual = set(self.rows.loc[points.removals(self.rows).isin(points.USUAL), "key"])
        ordered = sorted(self.names, key=lambda key: (key not in self.cached, key not in usual))
        return ordered[:1]

    def short(self, key: str) -> str:
        """Return the name of a variant without its chain."""
        return self.names[key].rpartition(naming.JOINT)[0]

    def along(self, key: str) -> dict[str, str]:
        """Return the cached variants of the series of a variant: their keys by amount, in ascending order."""
        series = self.rows.loc[self.rows["key"] == key, "series_label"].iloc[0]
        mine = self.rows[(self.rows["series_label"] == series) & self.rows["key"].isin(self.cached)]
        mine = mine.assign(first=mine["key"] != key).sort_values("first", kind="stable")  # of several seeds its own
        at = points.removals(mine).drop_duplicates()
        keys = dict(zip(at, mine.loc[at.index, "key"], strict=True))
        return {amount: keys[amount] for amount in points.amounts(mine)}


def candidates(subject: Subject) -> Candidates:
    """Return the compressed variants of a model, without imported ones."""
    rows = subject.rows[(subject.rows["method"] != IMPORTED) & ~points.is_dense(subject.rows)].drop_duplicates("key")
    cached = frozenset(key for key in rows["key"] if cached_variant(key).is_dir())
    ordered = sorted(rows["key"], key=lambda key: key not in cached)
    return Candidates({key: subject.names[key] for key in ordered}, cached, rows)


def dense_spec(result: Result) -> VariantSpec:
    """Return the dense model of a variant."""
    return variant_spec(result.variant).model_copy(update={"stages": (build_stage("dense"),)})
