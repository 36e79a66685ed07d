"""Compression laws on Explore: fitted curves of a series or family, prediction errors and permitted ratios."""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd
import streamlit as st

from core.amount import Ratio
from core.analysis.budget import ACCURACY, PERPLEXITY
from core.analysis.laws.fit import Fit, best_of, fits
from core.analysis.laws.forms import FORMS
from core.analysis.laws.groups import Group
from core.analysis.laws.measured import above_chance_words, means, of_accuracies, of_perplexities
from core.analysis.laws.report import NOTES, dropped, in_words, sentence
from core.notation.formatting import capitalise
from dashboard import data
from dashboard.charts.laws import law_chart, points, shown_of
from dashboard.charts.qualities import quality_of
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, Between, check_link
from dashboard.shared.pickers import Chosen

WIDE = 340  # px of a control
LEAST, USUAL, MOST = 50, 90, 99  # quality to keep, in %


def show_law(chosen: Chosen, rows: pd.DataFrame, quality: str, items: list[Item]) -> None:
    """Show the law of a chosen group of rows, and append its exports to `items`.

    `rows` are tidy rows of one quality: perplexities under one protocol, or accuracies on the same documents. The laws
    describe no other quality.
    """
    if quality not in (PERPLEXITY, ACCURACY):
        return
    store = data.store()
    of = (chosen.model, quality, chosen.corpus, chosen.protocol, str(chosen.documents), str(store.url), data.stamp())
    groups = _groups(rows, quality, str(chosen.documents), of)
    enough, short = {name: one for name, one in groups.items() if one.enough}, dropped(groups.values())
    if enough or short:
        st.header("Compression law", anchor=False, help=NOTES)
    if enough:
        _show(chosen, quality, enough, of, items, len(items))
    if short:
        st.caption(short)


@st.fragment
def _show(
    chosen: Chosen,
    quality: str,
    groups: dict[str, Group],
    of: tuple[Hashable, ...],
    items: list[Item],
    first: int,
) -> None:
    """Show the law of one group and replace the items from index `first` on by its exports."""
    with st.container(horizontal=True):
        check_link("explore_law_of", "law", groups)
        check_link("explore_law_keep", "quality", Between(LEAST, MOST))
        name = st.selectbox("Fitted to", list(groups), key="explore_law_of", width=WIDE, **BOUND)
        percent = st.slider("Quality to keep (%)", LEAST, MOST, USUAL, key="explore_law_keep", width=WIDE, **BOUND)
    fitted, keep = _fits(groups[name], (name, *of)), percent / 100
    st.markdown(_answer(fitted, keep))
    items[first:] = [_chart(chosen, quality, fitted), _table(chosen, fitted, keep)]
    with st.expander("Findings of the papers", icon=":material/menu_book:"):
        st.markdown("\n\n".join(f"**{one.law}** ([{one.paper}]({one.link})). {one.paper_finding}" for one in FORMS))


@st.cache_resource(max_entries=8, show_spinner=False)
def _groups(_rows: pd.DataFrame, quality: str, documents: str, of: tuple[Hashable, ...]) -> dict[str, Group]:
    """Return the groups with a single training each, by name; `of` identifies the rows in the cache."""
    if quality == PERPLEXITY:
        found = of_perplexities(_rows)
    else:
        scored = means(_rows)
        found = of_accuracies(scored, f"{above_chance_words(scored)}, {documents}")
    return {one.name: one for one in found if not one.mixed}


@st.cache_resource(max_entries=32, show_spinner=False)
def _fits(_group: Group, of: tuple[Hashable, ...]) -> list[Fit]:
    return fits(_group)


def _answer(fitted: list[Fit], keep: float) -> str:
    """Return the permitted ratio, and the prediction error of the form that gives it."""
    text, best = f"**{sentence(shown_of(fitted), keep)}**", best_of(fitted)
    if best is None or best.by_ratio is None:
        return text
    text += f" This is the form {best.form.name}, which predicts best here. Its error at ratios outside the fit is"
    if best.by_ratio.times:
        return f"{text} {best.by_ratio.percent:.1f} % of ln(perplexity), a factor of {best.by_ratio.times:.2f}."
    return f"{text} {best.by_ratio.percent:.1f} % of the accuracy above chance."


def _chart(chosen: Chosen, quality: str, fitted: list[Fit]) -> Item:
    group, title = fitted[0].group, quality_of(quality, str(chosen.corpus)).title
    caption = f"{group.of}, {group.name}: {group.metric}."
    explained = " Lines: forms of the papers, fitted in logarithms, up to the largest measured ratio,"
    explained += (
        f" {Ratio(group.largest).label}. Band: 95 % bootstrap interval. Points: colours and marks of the methods."
    )
    if group.left_out:
        caption += f" Excluded from the fit: {group.left_out} diverged."
    return widgets.show_chart(
        "explore_law",
        lambda theme: law_chart(fitted, title, theme),
        caption,
        points(fitted),
        file=chosen.file("law"),
        alt=f"{title} against the pruning ratio, points of {group.name} and the lines of {len(fitted)} laws.",
        explained=explained,
    )


def _table(chosen: Chosen, fitted: list[Fit], keep: float) -> Item:
    table = pd.DataFrame(in_words(fitted, keep)).drop(columns=["fitted to", "leave-one-model-out error"])
    table = table.rename(columns=capitalise)
    group = fitted[0].group
    caption = f"{group.of}, {group.name}: {group.metric}. {NOTES}"
    return widgets.show_table("explore_laws", table, caption, {}, file=chosen.file("laws"), captioned=False)
