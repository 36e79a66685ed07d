"""The choices in the family tree: fields and clicks share keys of the session and parameters of the address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pandas as pd
import streamlit as st

from core.notation.chain import DENSE
from core.notation.formatting import label
from dashboard.charts.family.places import FAMILY as FAMILY_FOLD
from dashboard.charts.family.places import METHOD as METHOD_FOLD
from dashboard.shared.binding import BOUND, check_link

TEXT, FAMILY, METHODS = "inside_tree_text", "inside_tree_family", "inside_tree_methods"
NODE, OTHER = "inside_tree_node", "inside_tree_other"


def click(nodes: pd.DataFrame, targets: Sequence[str]) -> None:
    """Open or fold the clicked method or family, or choose the clicked node."""
    if not targets:
        return
    target = next((one for one in targets if one != st.session_state.get(NODE)), targets[0])
    if target.startswith(FAMILY_FOLD):
        st.session_state[FAMILY] = target.removeprefix(FAMILY_FOLD)
        open_largest(nodes)
    elif target.startswith(METHOD_FOLD):
        method, opened = target.removeprefix(METHOD_FOLD), st.session_state[METHODS]
        others = [one for one in opened if one != method]
        st.session_state[METHODS] = others if method in opened else [*others, method]
    else:
        choose(nodes, target)


def choose(nodes: pd.DataFrame, node: str) -> None:
    """Choose a node; the former one becomes the one to compare it with.

    A click draws the chart again, which ends the browser's selection. The shift key therefore cannot add a node.
    """
    before = st.session_state.get(NODE)
    if before not in (None, node):
        st.session_state[OTHER] = before
    st.session_state[NODE] = node
    reveal(nodes, node)


def reveal(nodes: pd.DataFrame, node: str) -> None:
    """Show a node's family, and open its method."""
    row = nodes[nodes["node"] == node].iloc[0]
    family, method = row["family"], row["first_method"]
    if family != DENSE:
        opened = st.session_state.get(METHODS, []) if st.session_state.get(FAMILY) == family else []
        st.session_state[FAMILY] = family
        st.session_state[METHODS] = opened if method in opened else [*opened, method]


def reveal_linked(nodes: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Reveal the node of a link, unless the link chooses other rows."""
    linked = st.query_params.get(NODE)
    node = next((node for node, name in names.items() if name == linked), None)
    if node is None or NODE in st.session_state or METHODS in st.query_params:
        return
    family = str(nodes.loc[nodes["node"] == node, "family"].iloc[0])
    if st.query_params.get(FAMILY) in (None, family.capitalize()):
        reveal(nodes, node)


def open_largest(nodes: pd.DataFrame) -> None:
    """Open the largest method of the chosen family."""
    st.session_state[METHODS] = [largest_method(nodes, st.session_state[FAMILY])]


def largest_method(nodes: pd.DataFrame, family: str) -> str:
    """Return the method of a family whose part of the tree has most nodes."""
    return str(nodes.loc[nodes["family"] == family, "first_method"].mode().iloc[0])


def pick_text(texts: Mapping[str, tuple[str, str]]) -> str | None:
    """Show the field of the perplexities; None if there are none."""
    if not texts:
        return None
    _check(TEXT, "text", texts)
    help = "Text, number of windows and tokens per window; a colour compares with dense under this protocol."
    return st.selectbox("Perplexity on", list(texts), key=TEXT, help=help, **BOUND)


def pick_rows(nodes: pd.DataFrame) -> tuple[str, list[str]]:
    """Show the fields of the family and of the methods to open, and return both choices."""
    first = nodes[nodes["depth"] == 1]
    families = list(dict.fromkeys(first["family"]))
    if not families:
        return DENSE, []
    _check(FAMILY, "family", families, str.capitalize)
    most = nodes.loc[nodes["family"] != DENSE, "family"].mode().iloc[0]
    family = st.selectbox(
        "Family",
        families,
        index=families.index(most),
        format_func=str.capitalize,
        key=FAMILY,
        on_change=open_largest,
        args=(nodes,),
        **BOUND,
    )
    methods = list(dict.fromkeys(first.loc[first["family"] == family, "method"]))
    _check(METHODS, "method", methods, label)
    largest, help = largest_method(nodes, family), "A method that is not open is one row of the tree."
    opened = st.multiselect("Open methods", methods, largest, label, METHODS, help, placeholder="None", **BOUND)
    return family, opened


def pick_nodes(nodes: pd.DataFrame, names: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Show the fields of the node with details and of the one to compare it with, and return both choices."""
    chosen = []
    for field, title, empty in (
        (NODE, "Details of a node", "Select a node on the tree or here"),
        (OTHER, "Compared with", "The former node, or one from here"),
    ):
        _check(field, "node", names, names.__getitem__)
        chosen.append(
            st.selectbox(
                title,
                list(names),
                index=None,
                format_func=names.__getitem__,
                key=field,
                on_change=_reveal_chosen,
                args=(nodes, field),
                placeholder=empty,
                **BOUND,
            )
        )
    return chosen[0], chosen[1]


def _reveal_chosen(nodes: pd.DataFrame, field: str) -> None:
    if node := st.session_state[field]:
        reveal(nodes, node)


def _check(key: str, field: str, options: Collection[str], form: Callable[[str], str] = str) -> None:
    """Remove values that are no options, for example after a change of the model, and check those of a link.

    Values of a visitor's own choice may be in the address until the page is complete.
    """
    value = st.session_state.get(key)
    if isinstance(value, list):
        st.session_state[key] = [one for one in value if one in options]
    elif value is not None and value not in options:
        del st.session_state[key]
    if key not in st.session_state:
        check_link(key, field, [form(one) for one in options], form)
