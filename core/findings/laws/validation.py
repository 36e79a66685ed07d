"""Prediction errors of a law at points that were left out of its fit."""

import math
from typing import Literal, NamedTuple

import numpy as np

from core.findings.laws.forms import Form
from core.findings.laws.groups import Group
from core.findings.laws.solve import predicted, problem, solved


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
