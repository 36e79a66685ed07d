"""Laws page: how the quality of a model falls with its pruning ratio, and how much may be removed."""

from __future__ import annotations

import streamlit as st

from core.findings.laws.report import NOTES, TOO_FEW, dropped
from dashboard import data
from dashboard.exports.files import Item
from dashboard.laws.panels import show_law
from dashboard.laws.state import pick_source
from dashboard.shared import widgets
from dashboard.shared.binding import arrive


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
