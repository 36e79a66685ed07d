"""Estimated chains of the trade-off view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from core.analysis.budget import PERPLEXITY
from core.findings.estimates import combinations as estimates
from core.findings.estimates.rule import RuleError, rule_error
from core.findings.sharing import shared
from dashboard import data
from dashboard.explore.budget.filters import accepted
from dashboard.explore.budget.query import BudgetQuery

_combinations, _select = shared(estimates.combinations), shared(estimates.select)
_rule_error = shared(rule_error)


class Estimated(NamedTuple):
    """The shown estimated chains (rows of `combinations.select`), and the error of their rule."""

    rows: pd.DataFrame
    error: RuleError


def estimate(
    measured: pd.DataFrame,
    dense: pd.DataFrame,
    found: pd.DataFrame,
    filters: Mapping[str, Sequence[str]],
    query: BudgetQuery,
) -> Estimated:
    """Return the estimated chains within the budget that pass the filters; only perplexities add up."""
    every = _combinations(measured, dense) if query.quality.column == PERPLEXITY else pd.DataFrame()
    if every.empty:
        return Estimated(every, RuleError())
    error = _rule_error(data.rows("perplexity", [measured["dataset"].iloc[0]]), measured["window"].iloc[0])
    return Estimated(_select(accepted(every, filters), found, query.budget, query.cost.column, error), error)
