"""Laws page: how the quality of a model falls with its pruning ratio, and how much may be removed."""

from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.amount import Ratio
from core.findings.best.budget import ACCURACY, PERPLEXITY
from core.findings.best.qualities import quality_of
from core.findings.laws.fit import fits
from core.findings.laws.forms import FORMS
from core.findings.laws.groups import Group
from core.findings.laws.law import Law, law
from core.findings.laws.limit import Limit
from core.findings.laws.measured import means, of_means, of_perplexities
from core.findings.laws.report import NOTES, TOO_FEW, dropped, in_words
from core.findings.rows import choices
from core.notation.formatting import capitalise
from core.specs import Perplexity
from dashboard import data
from dashboard.charts.laws import law_chart, points
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, Between, arrive, check_link, segments
from dashboard.shared.pickers import file_name, pick_documents, pick_model, pick_text

QUALITIES = {quality_of(column, "").label: column for column in (PERPLEXITY, ACCURACY)}
WIDE = 340  # px of a control
LEAST_KEPT, MOST_KEPT = 50, 99  # accuracy above chance to keep, in %
LEAST_TIMES, MOST_TIMES = 1.01, 3.0  # highest perplexity, as a multiple of dense
WIDTHS = {  # px; all columns fit a window of 1280 px, and long texts have `LINES` lines
    "Form": 50,
    "Leave-one-ratio-out error": 185,
    "Predicts best": 105,
    "Exponents, 95 %": 150,
    "Points": 132,
}
LINES = 3


class Source(NamedTuple):
    """The rows of one quality of a model: perplexities under one protocol, or accuracies on the same documents."""

    model: str
    title: str  # of the chart
    groups: dict[str, Group]  # with a single training each, by name
    text: Perplexity | None  # None for accuracies

    def file(self, content: str) -> str:
        """Return the name of an export file, without extension."""
        return file_name(self.model, self.text, content)


def pick_source(models: list[str]) -> Source:
    """Show the fields of model, quality, and text or documents, and return the rows that they choose."""
    model = pick_model(models, "laws_model", help=None)
    quality = QUALITIES[segments("Quality", list(QUALITIES), "laws_quality", "quality")]
    frame = data.frame(model)
    corpus, text = "", None
    with st.sidebar:
        if quality == PERPLEXITY:
            chosen, protocol, _ = pick_text(model, "laws_text")
            corpus, rows = str(chosen), choices.on_text(frame, chosen, protocol)
            text = None if rows.empty else choices.text_of(rows, corpus)
            groups = of_perplexities(rows)
        else:
            documents, _, rows = pick_documents(frame, True, "laws_documents")
            groups = of_means(means(rows), str(documents))
    single = {one.name: one for one in groups if not one.mixed}
    return Source(model, quality_of(quality, corpus).title, single, text)


def pick_group(source: Source) -> Group:
    """Show the field of the series and families that have a law, and return the chosen one."""
    fitted = {name: one for name, one in source.groups.items() if one.enough}
    check_link("laws_of", "law", fitted)
    return fitted[st.selectbox("Fitted to", list(fitted), key="laws_of", width=WIDE, **BOUND)]


def pick_limit(loss: bool) -> Limit:
    """Show the field of the loss to accept: of perplexity if `loss`, else of accuracy above chance."""
    usual = Limit()
    if loss:
        check_link("laws_times", "limit", Between(LEAST_TIMES, MOST_TIMES))
        label, step = "Highest perplexity (times dense)", 0.01
        times = st.slider(label, LEAST_TIMES, MOST_TIMES, usual.times, step, key="laws_times", width=WIDE, **BOUND)
        return usual._replace(times=times)
    check_link("laws_keep", "limit", Between(LEAST_KEPT, MOST_KEPT))
    label, start = "Accuracy above chance to keep (%)", round(100 * usual.keep)
    percent = st.slider(label, LEAST_KEPT, MOST_KEPT, start, key="laws_keep", width=WIDE, **BOUND)
    return usual._replace(keep=percent / 100)


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


def page() -> None:
    """Show the page."""
    arrive("laws_")
    st.title("Laws", anchor=False, help=NOTES)
    st.markdown("A compression law predicts the quality of a model from its pruning ratio.")
    models = data.models()
    if not models:
        widgets.show_no_results()
        return
    source = pick_source(models)
    short = dropped(source.groups.values())
    if any(one.enough for one in source.groups.values()):
        items: list[Item] = []  # filled by the fragment, for the export of the page
        show_law(source, items)
        if short:
            st.caption(short)
        widgets.export_page("slimscope-laws", lambda: items)
    else:
        st.info(short or TOO_FEW)
        st.page_link("run/view.py", label="Run more ratios", icon=":material/play_circle:")
    widgets.show_skipped(data.unread(source.model))


page()
