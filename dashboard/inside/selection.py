"""The model and the variants that the tabs of Inside show: fields whose values are in the address."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.rows import naming, points
from core.findings.sharing import shared
from core.specs import PUBLISHED
from dashboard import data
from dashboard.shared.binding import pick_named
from dashboard.shared.pickers import pick_model

MODEL, VARIANT, OTHER = "inside_model", "inside_variant", "inside_other"  # keys and parameters of the address
NARROWEST = 220  # px of a field


class Subject(NamedTuple):
    """The variants of a model that have results."""

    model: str  # display name
    rows: pd.DataFrame  # their measurements, as of `core.findings.numbers.frame.tidy`
    names: Mapping[str, str]  # by key, the dense model first

    @property
    def dense(self) -> str | None:
        """The key of the dense model, if it has results."""
        return points.dense_key(self.rows)


def pick_subject(models: list[str]) -> Subject:
    """Show the sidebar's field of the model and return its variants."""
    model = pick_model(models, MODEL, help=None)
    frame = data.frame(model)
    return Subject(model, _own(frame), naming.variant_options(frame))


@shared
def _own(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["origin"] != PUBLISHED]


def pick_variants(
    subject: Subject, help: str, start: str | None = None, first: str | None = None
) -> tuple[str, str | None]:
    """Show the fields of a variant and of the one to compare it with, and return their keys.

    `help` explains the second field. `first` and `start` are the keys that the fields have by default; without them
    these are `first_variant` and none.
    """
    names, keys = subject.names, list(subject.names)
    with st.grid(2, min_column_width=NARROWEST):
        variant = pick_named("Variant", names, VARIANT, index=keys.index(first or first_variant(subject)))
        second, placeholder = keys.index(start) if start else None, "No other variant"
        other = pick_named("Compared with", names, OTHER, index=second, placeholder=placeholder, help=help)
    return str(variant), other


def first_variant(subject: Subject) -> str:
    """Return the variant that the page shows first: a pruned one at the usual amount, if there is one."""
    rows = subject.rows.drop_duplicates("key")
    usual = rows[points.removals(rows).isin(points.USUAL) & ~points.is_dense(rows)]
    return str(usual["key"].iloc[0]) if len(usual) else next(iter(subject.names))
