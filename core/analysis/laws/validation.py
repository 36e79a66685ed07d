"""How well a law predicts what it was not fitted to."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from core.analysis.laws.forms import Form
from core.analysis.laws.groups import Group
from core.analysis.laws.solve import predicted, problem, solved


class HeldOut(NamedTuple):
    """The root mean square error in all compressed points, each predicted by the fit without its like."""

    percent: float  # of L
    times: float | None  # of perplexity, where L is its logarithm: exp of the error in nats


def held_out(form: Form, group: Group, by: Literal["ratio", "model"]) -> HeldOut | None:
    """Return the error in each ratio, or each model, by the fit without it; None where the rest does not tell the form.

    The dense models are not predicted, as their quality is given. Leaving out the largest ratio is extrapolation.
    """
    rows, unknowns = group.rows, form.unknowns(group.rows)
    asked = problem(form, group, unknowns)
    compressed, of = (rows["ratio"] > 0).to_numpy(), rows[by].to_numpy(object)
    out = of == np.unique(of[compressed])[:, None]  # (refits, rows)
    refits = solved(asked, ~out & asked.is_defined)  # (refits, unknowns)
    tested = out & compressed
    value = predicted(form, rows, refits, group.loss, unknowns)[tested]
    true = np.broadcast_to(rows["value"], tested.shape)[tested]
    if np.isnan(value).any():
        return None
    return HeldOut(100 * _rms(value / true - 1), math.exp(_rms(value - true)) if group.loss else None)


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))
