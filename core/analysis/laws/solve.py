"""Weighted least squares of many fits at once.

A refit without some points is the same problem with weights of 0, and a bootstrap draw one with the number of times
that each point was drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from core.analysis.laws.forms import Form
from core.analysis.laws.groups import Group

SINGULAR = 1e-8  # of the largest eigenvalue: below it, the points do not tell the unknowns apart


class Problem(NamedTuple):
    """A form's linear model of a group's points."""

    columns: np.ndarray  # (rows, unknowns), 0 where a row has no place in the form
    seen: np.ndarray  # (rows,), so, too
    is_defined: np.ndarray  # (rows,), whether it has


def problem(form: Form, group: Group, unknowns: tuple[str, ...]) -> Problem:
    """Return what is to be solved for a form's unknowns."""
    rows = group.rows
    columns = form.columns(rows, unknowns)
    seen = form.logarithm(rows, rows["value"].to_numpy(), group.loss, unknowns)
    there = np.isfinite(columns).all(axis=1) & np.isfinite(seen) & (form.with_dense | (rows["ratio"] > 0).to_numpy())
    return Problem(np.where(there[:, None], columns, 0.0), np.where(there, seen, 0.0), there)


def solved(asked: Problem, weights: np.ndarray) -> np.ndarray:
    """Return the unknowns (fits, unknowns) for weights (fits, rows); NaN where the points do not tell them."""
    gram = np.einsum("fn,ni,nj->fij", weights, asked.columns, asked.columns)  # (fits, unknowns, unknowns)
    right = np.einsum("fn,ni,n->fi", weights, asked.columns, asked.seen)  # (fits, unknowns)
    spread = np.linalg.eigvalsh(gram)  # (fits, unknowns), ascending
    told = spread[:, 0] > SINGULAR * spread[:, -1]
    found = np.full(right.shape, np.nan)
    found[told] = np.linalg.solve(gram[told], right[told, :, None])[..., 0]
    return found


def predicted(
    form: Form, rows: pd.DataFrame, exponents: np.ndarray, loss: bool, unknowns: tuple[str, ...]
) -> np.ndarray:
    """Return L (..., rows) by a form with exponents (..., unknowns); of the dense model L0 where it has none of it."""
    columns = form.columns(rows, unknowns)
    none = ~np.isfinite(columns).all(axis=1) & (rows["ratio"] == 0).to_numpy()
    value = form.value(rows, exponents @ np.where(none[:, None], 0.0, columns).T, loss, unknowns)
    return np.where(none, rows["dense"].to_numpy(), value)
