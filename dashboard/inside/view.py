"""Inside page: what compression changed in a variant, layer by layer and answer by answer."""

from collections.abc import Callable

import streamlit as st

from dashboard import data
from dashboard.exports.files import Item
from dashboard.inside.answers.view import show_answers
from dashboard.inside.compare import show_compare
from dashboard.inside.documents.tab import show_documents
from dashboard.inside.family.view import show_family
from dashboard.inside.layers import show_layers
from dashboard.inside.selection import Subject, pick_subject
from dashboard.shared import widgets
from dashboard.shared.binding import arrive, segments

TABS: dict[str, Callable[[Subject], list[Item]]] = {
    "Layers": show_layers,
    "Answers": show_answers,
    "Documents": show_documents,
    "Compare": show_compare,
    "Family tree": show_family,
}


def page() -> None:
    """Show the page."""
    arrive("inside_")
    st.title("Inside", anchor=False)
    models = data.models()
    if not models:
        widgets.show_no_results()
        return
    tab = segments("Look at", list(TABS), "inside_tab", "tab", labelled=False)
    subject = pick_subject(models)
    if items := TABS[tab](subject):
        widgets.export_page(f"slimscope-{tab.lower().replace(' ', '-')}", lambda: items)
    widgets.show_skipped(data.unread(subject.model))


page()
