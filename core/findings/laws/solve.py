"""Weighted least squares of many fits at once, and the prediction errors at points that were left out of a fit.

A refit without some points gives them the weight 0. A bootstrap draw gives each point the number of times that it was
drawn.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from core.findings.laws.forms import Form
from core.findings.laws.groups import Group

SINGULAR = 1e-8  # share of the largest eigenvalue below which the points do not determine the unknowns


class Problem(NamedTuple):
    """A form's linear model of a group's points."""

    columns: np.ndarray  # (rows, unknowns), 0 where the form is not defined
    seen: np.ndarray  # (rows,), logarithms of the points, 0 where the form is not defined
    is_defined: np.ndarray  # (rows,), bool


def problem(form: Form, group: Group, unknowns: tuple[str, ...]) -> Problem:
    """Return the least-squares problem of a form's unknowns."""
    rows = group.rows
    columns = form.columns(rows, unknowns)
    seen = form.logarithm(rows, rows["value"].to_numpy(), group.loss, unknowns)
    fitted = form.with_dense | (rows["ratio"] > 0).to_numpy()
    is_defined = np.isfinite(columns).all(axis=1) & np.isfinite(seen) & fitted
    return Problem(np.where(is_defined[:, None], columns, 0.0), np.where(is_defined, seen, 0.0), is_defined)


def solved(system: Problem, weights: np.ndarray) -> np.ndarray:
    """Return the unknowns (fits, unknowns) for weights (fits, rows); NaN where the points do not determine them."""
    gram = np.einsum("fn,ni,nj->fij", weights, system.columns, system.columns)  # (fits, unknowns, unknowns)
    right = np.einsum("fn,ni,n->fi", weights, system.columns, system.seen)  # (fits, unknowns)
    eigenvalues = np.linalg.eigvalsh(gram)  # (fits, unknowns), ascending
    regular = eigenvalues[:, 0] > SINGULAR * eigenvalues[:, -1]
    found = np.full(right.shape, np.nan)
    found[regular] = np.linalg.solve(gram[regular], right[regular, :, None])[..., 0]
    return found


def predicted(
    form: Form, rows: pd.DataFrame, exponents: np.ndarray, loss: bool, unknowns: tuple[str, ...]
) -> np.ndarray:
    """Return L (..., rows) of a form with exponents (..., unknowns); L0 for a dense row where it is not defined."""
    columns = form.columns(rows, unknowns)
    none = ~np.isfinite(columns).all(axis=1) & (rows["ratio"] == 0).to_numpy()
    value = form.value(rows, exponents @ np.where(none[:, None], 0.0, columns).T, loss, unknowns)
    return np.where(none, rows["dense"].to_numpy(), value)


class HeldOut(NamedTuple):
    """Root mean square error over all compressed points, each predicted by the fit without its ratio or model."""

    percent: float  # of L
    times: float | None  # factor of perplexity for a cross-entropy: exp of the error in nats


def held_out(form: Form, group: Group, by: Literal["ratio", "model"]) -> HeldOut | None:
    """Compute the leave-one-out error over ratios or models; None if the other points do not determine the form.

    Dense models are not predicted, since their quality is given. Leaving out the largest ratio tests extrapolation.
    """
    rows, unknowns = group.rows, form.unknowns(group.rows)
    system = problem(form, group, unknowns)
    compressed, of = (rows["ratio"] > 0).to_numpy(), rows[by].to_numpy(object)
    out = of == np.unique(of[compressed])[:, None]  # (refits, rows)
    refits = solved(system, ~out & system.is_defined)  # (refits, unknowns)
    tested = out & compressed
    value = predicted(form, rows, refits, group.loss, unknowns)[tested]
    true = np.broadcast_to(rows["value"], tested.shape)[tested]
    if np.isnan(value).any():
        return None
    return HeldOut(100 * _rms(value / true - 1), math.exp(_rms(value - true)) if group.loss else None)


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))
