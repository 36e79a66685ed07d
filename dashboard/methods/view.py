"""Methods page: a map of the compression methods, a card for each, and the glossary."""

import streamlit as st

from core.methods.base import Method
from core.notation.taxonomy import leaf_of, populated_branches
from core.registry import STAGES
from dashboard.methods.method_cards import known, show_card, show_map
from dashboard.shared.binding import BOUND, check_link
from dashboard.shared.glossary import show_glossary
from dashboard.shared.widgets import page_theme

UNFOLDED = 3  # cards that are shown unfolded, at most


def choose() -> list[type[Method]]:
    """Show the search and kind fields; return the matching methods."""
    kinds = [kind.leaf.name for _, kinds in populated_branches(STAGES) for kind in kinds]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search", key="methods_search", placeholder="a name, an author, a word", width=280, **BOUND
        )
        check_link("methods_kind", "kind", kinds)
        kind = st.pills("Kind", kinds, key="methods_kind", **BOUND)
    terms = words.casefold().split()
    of_kind = [one for one in STAGES if (leaf := leaf_of(one)) and kind in (None, leaf.name)]
    return [one for one in of_kind if all(word in search_text(one) for word in terms)]


def search_text(method: type[Method]) -> str:
    """Return the searchable text of a method."""
    cited = method.citation
    paper = (cited.title, cited.authors, str(cited.year)) if cited else ()
    parts = (method.name, method.label, method.summary, method.idea, *paper, *method.Parameters.model_fields)
    return " ".join(parts).casefold()


def page() -> None:
    """Show the page."""
    st.title("Methods", anchor=False)
    st.markdown("The compression methods and their effect on the weights of a model.")
    chosen = choose()
    tree = populated_branches(chosen)
    stored, theme = known(), page_theme()
    if not tree:
        st.info("No method matches all of these words. Search for fewer, or choose another kind.")
    else:
        show_map(tree, theme)
    for branch, kinds in tree:
        for kind in kinds:
            st.header(f"{branch.name}: {kind.leaf.name.lower()}", anchor=False, help=branch.about)
            st.caption(kind.leaf.about)
            for method in kind.methods:
                show_card(method, stored[method.name], theme, len(chosen) <= UNFOLDED)
    st.header("Glossary", anchor="glossary")
    with st.expander("Terms of these pages"):
        show_glossary()


page()
