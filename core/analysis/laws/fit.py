"""A law fitted to a group's points, with bootstrap intervals, its errors, and the ratio at which a quality is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from core.analysis.laws.forms import FORMS, Form
from core.analysis.laws.groups import Group
from core.analysis.laws.solve import predicted, problem, solved
from core.analysis.laws.validation import HeldOut, held_out

DRAWS, SEED = 300, 0  # of the bootstrap
ENDS = (0.025, 0.975)  # shares of the draws, at the ends of a 95 % interval
LEAST_MODELS = 3  # of which one can be left out
NEXT_TO_NOTHING = 1e-9  # removed


class Ends(NamedTuple):
    """A number with its 95 % interval, which is NaN where no draw told it."""

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
    drawn: np.ndarray  # (draws that tell all unknowns, unknowns)
    points: int  # compressed ones that have a place in the form
    by_ratio: HeldOut | None  # leave-one-ratio-out; None where what is left does not tell the unknowns
    by_model: HeldOut | None  # leave-one-model-out, of at least `LEAST_MODELS`

    @property
    def without_place(self) -> int:
        """How many compressed points have none in the form."""
        return int((self.group.rows["ratio"] > 0).sum()) - self.points

    @cached_property
    def exponents(self) -> dict[str, Ends]:
        """Each unknown, as the law has it."""
        low, high = _ends(self.drawn)
        found = {name: Ends(*map(float, ends)) for name, *ends in zip(self.unknowns, self.best, low, high, strict=True)}
        return found | {name: Ends(*map(math.exp, found[name])) for name in self.form.factors}

    def curve(self, ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return L (ratios,) of the first model, untrained, and the ends of its 95 % band; NaN beyond the largest ratio
        that was measured.
        """
        dense = self.group.rows[self.group.rows["ratio"] == 0].head(1)
        rows = dense.loc[dense.index.repeat(len(ratios))].assign(ratio=ratios)
        every = predicted(self.form, rows, np.vstack([self.best, self.drawn]), self.group.loss, self.unknowns)
        beyond = ratios > self.group.largest
        value, low, high = (np.where(beyond, np.nan, one) for one in (every[0], *_ends(every[1:])))
        return value, low, high

    def critical(self, keep: float) -> tuple[Ends, str]:
        """Return the largest r at which a share `keep` of the quality is kept, and of which model that is.

        Of an accuracy that is L = keep L0, of a cross-entropy L = L0 / keep: its quality is 1 / L. Infinite where it
        lies beyond the largest ratio that was measured, 0 where the form has too little left as soon as anything goes,
        NaN of one ratio, which does not tell how quality falls with r. Of several models it is of the one that loses it
        first.
        """
        dense = self.group.rows[self.group.rows["ratio"] == 0]
        every = self._critical(dense, keep, np.vstack([self.best, self.drawn]))  # (1 + draws, models)
        first = int(np.argmin(every[0]))
        low, high = _ends(every[1:, first])
        return Ends(*map(float, (every[0, first], low, high))), str(dense["model"].iloc[first])

    def _critical(self, dense: pd.DataFrame, keep: float, exponents: np.ndarray) -> np.ndarray:
        """Return r (n, dense models) for exponents (n, unknowns): the form solved for it, with all its terms.

        Of the first form r = (sigma L0^(1 - a) (1 + 1/(D + 1))^-c)^(1/b) - 1 with sigma = L / L0.
        """
        form, unknowns, loss, largest = self.form, self.unknowns, self.group.loss, self.group.largest
        if self.group.rows["ratio"].nunique() <= 2:  # that of the dense model and one
            return np.full((len(exponents), len(dense)), np.nan)
        wanted = dense["dense"].to_numpy() / keep if loss else dense["dense"].to_numpy() * keep
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


def fits(group: Group) -> list[Fit]:
    """Return every form that has something to say of a group and that its points tell; none of too few ratios."""
    if not group.enough:
        return []
    forms = [form for form in FORMS if (group.loss or not form.of_losses) and (form.trained or not group.mixed)]
    return [found for form in forms if (found := fit(form, group))]


def fit(form: Form, group: Group) -> Fit | None:
    """Return a form fitted to the logarithms of a group's points by least squares; None where these do not tell it.

    They are to be more than the unknowns, as nothing is left to judge the fit by otherwise. Intervals are percentiles
    of `DRAWS` fits, each to as many of the points, drawn with repetition, as there are.
    """
    rows, unknowns = group.rows, form.unknowns(group.rows)
    asked = problem(form, group, unknowns)
    n = int(asked.is_defined.sum())
    if n <= len(unknowns):
        return None
    weights = np.zeros((1 + DRAWS, len(rows)))
    weights[0] = asked.is_defined
    weights[1:, asked.is_defined] = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), DRAWS)
    best, *drawn = solved(asked, weights)
    if np.isnan(best).any():
        return None
    several = rows["model"].nunique() >= LEAST_MODELS
    return Fit(
        form=form,
        group=group,
        unknowns=unknowns,
        best=best,
        drawn=np.array(drawn)[~np.isnan(drawn).any(axis=1)],
        points=int((asked.is_defined & (rows["ratio"] > 0)).sum()),
        by_ratio=held_out(form, group, "ratio"),
        by_model=held_out(form, group, "model") if several else None,
    )


def best_of(fitted: Sequence[Fit]) -> Fit | None:
    """Return the fit that predicts best: with the lowest error in ratios that were left out, or, where these cannot be,
    in models; None where there are no two to compare.
    """
    for errors in ([one.by_ratio for one in fitted], [one.by_model for one in fitted]):
        judged = [(error.percent, place) for place, error in enumerate(errors) if error]
        if len(judged) > 1:
            return fitted[min(judged)[1]]
    return None


def _ends(drawn: np.ndarray) -> np.ndarray:
    """Return the ends (2, ...) of 95 % intervals of what was drawn (draws, ...), some of which may be infinite."""
    if not len(drawn):
        return np.full((2, *drawn.shape[1:]), np.nan)
    return np.sort(drawn, axis=0)[[round(end * (len(drawn) - 1)) for end in ENDS]]
