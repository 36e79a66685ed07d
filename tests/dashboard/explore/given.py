"""Explore's choices and data as its page has them, without charts."""

from typing import NamedTuple

import pandas as pd
from streamlit.testing.v1 import AppTest

from core.findings import curve
from core.findings.best import ranking
from core.findings.best.budget import PERPLEXITY, Budget
from core.findings.best.qualities import quality_of
from core.findings.curve import best_at, default_series
from core.findings.estimates.words import MEASURED, YES
from core.findings.rows import choices, points
from core.findings.rows.zeroshot import first_documents, scored_on
from core.findings.within import BudgetQuery, gather, within
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.charts.tradeoff import PACKED
from dashboard.explore.budget import LIMIT, _rows
from dashboard.explore.curve_data import Shown, drawn_points, shown_series, with_winners
from dashboard.shared.literal import literal
from dashboard.shared.pickers import Chosen
from tests.dashboard.opened import open_app

HEADINGS = {"All points", "All variants", "Variants within the budget", "Nearest variants outside the budget"}


def _sidebar():
    import streamlit as st

    from dashboard import data
    from dashboard.shared.pickers import pick

    st.session_state["chosen"] = pick([*data.models(), *data.printed_models()])


def chosen(**query) -> Chosen:
    """Return the choices of Explore's sidebar for an address."""
    app = AppTest.from_function(_sidebar, default_timeout=30)
    for name, value in query.items():
        app.query_params[f"explore_{name}"] = value
    app.run()
    assert not app.exception
    return app.session_state["chosen"]


def shown(series=(), others=True, **query) -> Shown:
    """Return the data of the curve view for an address, with these series highlighted, or the default ones."""
    one = chosen(**query)
    dense, found = points.split_points(one.measured)
    return shown_series(one, dense, found, [*series] or default_series(found), others)


def best_of(view: Shown, at: str):
    """Return the points that the curve draws, and the best at an amount."""
    names = list(view.highlighted["series_label"].unique())
    drawn = drawn_points(view.points, names, view.show_context, view.chosen.axis)
    return drawn, best_at(view.chosen, view.dense, drawn, at)


def answer_at(view: Shown, at: str) -> str:
    """Return the sentences of the answer at an amount."""
    drawn, best = best_of(view, at)
    names = with_winners(view.points, list(view.highlighted["series_label"].unique()), best)
    whole = shown_series(view.chosen, view.dense, view.points, names, view.show_context)
    given = best, at, whole.perplexities, whole.scored
    return curve.answer_at(whole.chosen, whole.dense, drawn, *given, data, literal).replace("\\", "")


class Ranked(NamedTuple):
    """The trade-off of a model without its page."""

    found: pd.DataFrame
    table: pd.DataFrame
    answer: str
    estimates: pd.DataFrame


def ranked(quality=PERPLEXITY, cost=PACKED, filters=None, model=DEFAULT_MODEL, **limits) -> Ranked:
    """Return a model's variants on its first text within limits, with their list, the answer and the estimates."""
    rows = data.frame(model)
    text = next(iter(choices.texts(rows).values()))
    asked = BudgetQuery(quality_of(quality, text[0]), Budget(**limits), cost)
    answer = within(gather(rows, *text, first_documents(scored_on(rows))), asked, filters or {}, data)
    listed, _ = _rows(answer.rows, asked, answer.tests)
    said = ranking.answer(answer.rows, asked.budget, asked.quality, model, differences=None)
    return Ranked(answer.rows, listed, said, answer.estimates)


def open_tradeoff(**query):
    """Open the view By size with these fields, without the limit that it starts with."""
    cleared = {} if any(name.startswith("limit_") for name in query) else {f"{LIMIT}packed_mb": None}
    return open_app(None, cleared, explore_mode="Trade-off", **{f"explore_{name}": str(query[name]) for name in query})


def table(app) -> pd.DataFrame:
    """Return the list of variants without estimated chains."""
    shown = app.dataframe[0].value
    return shown[shown[MEASURED] == YES].reset_index(drop=True) if MEASURED in shown else shown


def panels(app) -> list[str]:
    """Return the title of the panel, if it is open."""
    return [one.value for one in app.header if one.value not in HEADINGS]
