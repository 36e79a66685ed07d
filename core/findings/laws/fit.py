"""Fits of a law to a group's points, with bootstrap intervals, prediction errors and critical ratios."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from core.findings.laws.forms import FORMS, Form
from core.findings.laws.groups import Group
from core.findings.laws.limit import Limit
from core.findings.sharing import shared

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
    """Return the unknowns (fits, unknowns) for weights (fits, rows); NaN where the points do not determine them.

    A refit without some points gives them the weight 0; a bootstrap draw gives each the number of times it was drawn.
    """
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


DRAWS, SEED = 300, 0  # of the bootstrap
ENDS = (0.025, 0.975)  # quantiles of the draws at the ends of a 95 % interval
LEAST_MODELS = 3  # for the leave-one-model-out error
NEXT_TO_NOTHING = 1e-9  # a ratio just above 0


class Ends(NamedTuple):
    """A number with its 95 % interval, NaN if no bootstrap draw determines it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """A form fitted to a group's points."""

    form: Form
    group: Group
    unknowns: tuple[str, ...]
    best: np.ndarray  # (unknowns,)
    drawn: np.ndarray  # (bootstrap draws that determine all unknowns, unknowns)
    points: int  # compressed points at which the form is defined
    by_ratio: HeldOut | None  # leave-one-ratio-out error; None if the other ratios do not determine the unknowns
    by_model: HeldOut | None  # leave-one-model-out error, for at least `LEAST_MODELS` models

    @property
    def without_place(self) -> int:
        """Number of compressed points at which the form is not defined."""
        return int((self.group.rows["ratio"] > 0).sum()) - self.points

    @property
    def left_out(self) -> dict[str, int]:
        """The number of compressed points that the fit leaves out, by reason."""
        every = {"not worse than dense": self.without_place, "diverged": self.group.left_out}
        return {why: count for why, count in every.items() if count}

    @cached_property
    def exponents(self) -> dict[str, Ends]:
        """The unknowns as they appear in the law."""
        low, high = _ends(self.drawn)
        found = {name: Ends(*map(float, ends)) for name, *ends in zip(self.unknowns, self.best, low, high, strict=True)}
        return found | {name: Ends(*map(math.exp, found[name])) for name in self.form.factors}

    def curve(self, ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predict L over ratios for the first model without training.

        Args:
            ratios: Pruning ratios, (ratios,).

        Returns:
            L and the lower and upper end of its 95 % band, (ratios,) each; NaN beyond the largest measured ratio.
        """
        dense = self.group.rows[self.group.rows["ratio"] == 0].head(1)
        rows = dense.loc[dense.index.repeat(len(ratios))].assign(ratio=ratios)
        every = predicted(self.form, rows, np.vstack([self.best, self.drawn]), self.group.loss, self.unknowns)
        beyond = ratios > self.group.largest
        value, low, high = (np.where(beyond, np.nan, one) for one in (every[0], *_ends(every[1:])))
        return value, low, high

    def critical(self, limit: Limit) -> tuple[Ends, str]:
        """Return the critical ratio, the largest r whose quality is within a limit, and its model.

        The model is the one with the smallest critical ratio. This ratio is infinite if the largest measured ratio is
        within it, 0 if the form predicts a worse quality just above r = 0, and NaN if the group has a single ratio.
        """
        dense = self.group.rows[self.group.rows["ratio"] == 0]
        every = self._critical(dense, limit, np.vstack([self.best, self.drawn]))  # (1 + draws, models)
        first = int(np.argmin(every[0]))
        low, high = _ends(every[1:, first])
        return Ends(*map(float, (every[0, first], low, high))), str(dense["model"].iloc[first])

    def _critical(self, dense: pd.DataFrame, limit: Limit, exponents: np.ndarray) -> np.ndarray:
        """Solve the form for r (n, dense models), given exponents (n, unknowns).

        For the first form, r = (sigma L0^(1 - a) (1 + 1/(D + 1))^-c)^(1/b) - 1 with sigma = L / L0.
        """
        form, unknowns, loss, largest = self.form, self.unknowns, self.group.loss, self.group.largest
        if self.group.rows["ratio"].nunique() <= 2:  # the dense model's 0 and one more
            return np.full((len(exponents), len(dense)), np.nan)
        wanted = limit.worst(dense["dense"].to_numpy(), loss)
        end = dense.assign(ratio=largest)
        at_ends = (
            predicted(form, dense.assign(ratio=r), exponents, loss, unknowns) for r in (NEXT_TO_NOTHING, largest)
        )
        start_kept, end_kept = (at <= wanted if loss else at >= wanted for at in at_ends)
        others = np.array([name != form.exponent for name in unknowns])
        rest = (exponents * others) @ form.columns(end, unknowns).T
        with np.errstate(all="ignore"):  # an exponent may be 0
            share = form.share((form.logarithm(dense, wanted, loss, unknowns) - rest) / exponents[:, ~others])
        return np.select([~start_kept, end_kept], [0.0, math.inf], share)


@shared
def fits(group: Group) -> list[Fit]:
    """Fit every applicable form that a group's points determine; none if the group has too few ratios."""
    if not group.enough:
        return []
    forms = [form for form in FORMS if (group.loss or not form.of_losses) and (form.trained or not group.mixed)]
    return [one for form in forms if (one := fit(form, group))]


def fit(form: Form, group: Group) -> Fit | None:
    """Fit a form to the logarithms of a group's points by least squares.

    Intervals are percentiles of `DRAWS` bootstrap fits, each to n of the n points, drawn with replacement.
    None if the points do not determine the unknowns, or are not more than the unknowns.
    """
    rows, unknowns = group.rows, form.unknowns(group.rows)
    system = problem(form, group, unknowns)
    n = int(system.is_defined.sum())
    if n <= len(unknowns):
        return None
    weights = np.zeros((1 + DRAWS, len(rows)))
    weights[0] = system.is_defined
    weights[1:, system.is_defined] = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), DRAWS)
    best, *drawn = solved(system, weights)
    if np.isnan(best).any():
        return None
    several = rows["model"].nunique() >= LEAST_MODELS
    return Fit(
        form=form,
        group=group,
        unknowns=unknowns,
        best=best,
        drawn=np.array(drawn)[~np.isnan(drawn).any(axis=1)],
        points=int((system.is_defined & (rows["ratio"] > 0)).sum()),
        by_ratio=held_out(form, group, "ratio"),
        by_model=held_out(form, group, "model") if several else None,
    )


def best_of(fitted: Sequence[Fit]) -> Fit | None:
    """Return the fit with the lowest error, leave-one-ratio-out if two fits have it, else leave-one-model-out.

    None if fewer than two fits have an error.
    """
    for errors in ([one.by_ratio for one in fitted], [one.by_model for one in fitted]):
        judged = [(error.percent, place) for place, error in enumerate(errors) if error]
        if len(judged) > 1:
            return fitted[min(judged)[1]]
    return None


def _ends(drawn: np.ndarray) -> np.ndarray:
    """Return the ends (2, ...) of 95 % intervals of draws (draws, ...), some of which may be infinite."""
    if not len(drawn):
        return np.full((2, *drawn.shape[1:]), np.nan)
    return np.sort(drawn, axis=0)[[round(end * (len(drawn) - 1)) for end in ENDS]]
