"""Methods: the ways to make a model smaller, as a map and a card each, and the words that pages use."""

from __future__ import annotations

import streamlit as st

from core.methods.base import Method
from core.registry import STAGES
from core.taxonomy import leaf_of, populated_branches
from dashboard.panels.binding import BOUND
from dashboard.panels.glossary import show_glossary
from dashboard.panels.method_cards import known, show_card, show_map
from dashboard.panels.widgets import page_theme


def choose() -> list[type[Method]]:
    """Let the methods be searched and one kind of them be picked; return those that are left."""
    kinds = [kind.leaf.name for _, kinds in populated_branches(STAGES) for kind in kinds]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search", key="methods_search", placeholder="a name, an author, a word", width=280, **BOUND
        )
        kind = st.pills("Kind", kinds, key="methods_kind", **BOUND)
    asked = words.casefold().split()
    return [one for one in STAGES if _of(one, kind) and all(word in search_text(one) for word in asked)]


def _of(method: type[Method], kind: str | None) -> bool:
    leaf = leaf_of(method)
    return leaf is not None and kind in (None, leaf.name)


def search_text(method: type[Method]) -> str:
    """Return all words of a method that a search looks through."""
    cited = method.citation
    paper = (cited.title, cited.authors, str(cited.year)) if cited else ()
    parts = (method.name, method.label, method.summary, method.idea, *paper, *method.Parameters.model_fields)
    return " ".join(parts).casefold()


def page() -> None:
    st.title("Methods", anchor=False)
    st.markdown("What can be done to a model to make it smaller, and what each way does to its weights.")
    tree = populated_branches(choose())
    stored, theme = known(STAGES), page_theme()
    if not tree:
        st.info("No method has all of these words; search for fewer, or choose another kind.")
    else:
        show_map(tree, theme)
    for branch, kinds in tree:
        for kind in kinds:
            st.header(f"{branch.name}: {kind.leaf.name.lower()}", anchor=False, help=branch.about)
            st.caption(kind.leaf.about)
            for method in kind.methods:
                show_card(method, stored[method.name], theme)
    st.header("Glossary", anchor="glossary")
    show_glossary()


page()
