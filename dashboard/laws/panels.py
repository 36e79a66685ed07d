"""Parts of the Laws page: the law as a sentence, its error and use, the chart and the table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.amount import Ratio
from core.findings.laws.fit import fits
from core.findings.laws.forms import FORMS
from core.findings.laws.groups import Group
from core.findings.laws.law import Law, law
from core.findings.laws.report import NOTES, in_words
from core.notation.formatting import capitalise
from dashboard.charts.laws import law_chart, points
from dashboard.exports.files import Item
from dashboard.laws.state import Source, pick_group, pick_limit
from dashboard.shared import widgets

WIDTHS = {  # px; all columns fit a window of 1280 px, and long texts have `LINES` lines
    "Form": 50,
    "Leave-one-ratio-out error": 185,
    "Predicts best": 105,
    "Exponents, 95 %": 150,
    "Points": 132,
}
LINES = 3


@st.fragment
def show_law(source: Source, items: list[Item]) -> None:
    """Show the law of a series or family, and store its exports in `items`."""
    with st.container(horizontal=True):
        group = pick_group(source)
        limit = pick_limit(group.loss)
    found = law(fits(group), limit)
    st.markdown(_answer(found))
    items[:] = [_chart(source, found), _table(source, found)]
    with st.expander("Findings of the papers", icon=":material/menu_book:"):
        st.markdown("\n\n".join(f"**{one.law}** ([{one.paper}]({one.link})). {one.paper_finding}" for one in FORMS))


def _answer(found: Law) -> str:
    """Return paragraphs: the permitted ratio, the error of the form that gives it, and what the law is for."""
    form = f"This is the form {found.shown.form.name}"
    error = f"{form}, which predicts best here. {found.error_sentence}" if found.best else f"{form}."
    return f"**{found.sentence}**\n\n{error}\n\n{_use(found.group)}"


def _use(group: Group) -> str:
    kind = "text" if group.loss else "documents"
    return (
        f"Use the law to choose a ratio up to {Ratio(group.largest).label}, the largest measured one, before you run "
        f"it. It predicts no larger ratio, no other model or {kind}, and no N:M or quantised variant."
    )


def _chart(source: Source, found: Law) -> Item:
    group, title = found.group, source.title
    caption = f"{group.of}, {group.name}: {group.metric}."
    explained = " Lines: forms of the papers, fitted in logarithms, up to the largest measured ratio,"
    explained += f" {Ratio(group.largest).label}. Band: 95 % bootstrap interval. Hover over a point for its method."
    if group.left_out:
        caption += f" Excluded from the fit: {group.left_out} diverged."
    return widgets.show_chart(
        "laws_chart",
        lambda theme: law_chart(found, title, theme),
        caption,
        points(found),
        file=source.file("law"),
        alt=f"{title} against the pruning ratio, points of {group.name} and the lines of {len(found.fits)} laws.",
        explained=explained,
    )


def _table(source: Source, found: Law) -> Item:
    table = pd.DataFrame(in_words(found)).drop(columns=["fitted to", "leave-one-model-out error"])
    table = table.rename(columns=capitalise)
    group = found.group
    caption = f"{group.of}, {group.name}: {group.metric}. {NOTES}"
    file = source.file("laws")
    return widgets.show_table("laws_table", table, caption, {}, file=file, captioned=False, widths=WIDTHS, lines=LINES)
