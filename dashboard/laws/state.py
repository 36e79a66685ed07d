"""The choices on the Laws page, and the rows that laws are fitted to."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from core.findings.best.budget import ACCURACY, PERPLEXITY
from core.findings.best.qualities import quality_of
from core.findings.laws.groups import Group
from core.findings.laws.limit import Limit
from core.findings.laws.measured import means, of_means, of_perplexities
from core.findings.rows import choices
from core.specs import Perplexity
from dashboard import data
from dashboard.shared.binding import BOUND, Between, check_link, segments
from dashboard.shared.pickers import file_name, pick_documents, pick_model, pick_text

QUALITIES = {quality_of(column, "").label: column for column in (PERPLEXITY, ACCURACY)}
WIDE = 340  # px of a control
LEAST_KEPT, MOST_KEPT = 50, 99  # accuracy above chance to keep, in %
LEAST_TIMES, MOST_TIMES = 1.01, 3.0  # highest perplexity, as a multiple of dense


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
