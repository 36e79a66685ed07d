"""The figure of a finding, as its page draws it."""

import plotly.graph_objects as go

from core.base.errors import UserError
from core.findings.curve import Curve
from core.findings.finding import Finding
from core.findings.pairs.numbers import Comparison, number_rows
from core.findings.question import BestFinding
from core.findings.rows.other_texts import times_dense
from dashboard.charts.compared import difference_chart
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import Theme
from dashboard.charts.tradeoff import tradeoff


def draw(finding: Finding, theme: Theme) -> go.Figure:
    """Draw a finding.

    Raises:
        UserError: It has no chart, or nothing to draw.
    """
    if isinstance(finding, BestFinding):
        found, (quality, budget, cost) = finding.within, finding.within.query
        return tradeoff(found.rows, finding.dense, found.estimates, cost, quality, budget, theme)
    if isinstance(finding, Curve):
        view, shown, at = finding.view, finding.highlighted, finding.at
        rows, dense, multiples = finding.rows, finding.dense, finding.multiples is not None
        if finding.multiples is not None:
            rows, dense = finding.multiples, times_dense(dense, dense["value"])
        given = rows, dense, view.axis, theme, str(view.corpus)
        return perplexity_curve(*given, bright=shown, at=at, winners=finding.winners, multiples=multiples)
    if isinstance(finding, Comparison):
        rows = number_rows(finding.rows)
        if rows.empty:
            raise UserError(f"There is nothing to draw: {finding.sentence}")
        return difference_chart(rows, finding.names, theme)
    raise UserError(f"An answer of the type {type(finding).__name__} has no chart; plot one of best, compare or curve.")
