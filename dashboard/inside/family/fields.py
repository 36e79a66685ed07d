"""The fields of the family tree, whose values are in the address."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

import pandas as pd
import streamlit as st

from core.notation.chain import DENSE
from core.notation.formatting import label
from dashboard.inside.family.state import (
    FAMILY,
    METHODS,
    NODE,
    OTHER,
    TEXT,
    drop_unknown,
    largest_method,
    open_largest,
    reveal,
)
from dashboard.shared.binding import BOUND, check_link


def pick_text(texts: Mapping[str, tuple[str, str]]) -> str | None:
    """Show the field of the perplexities; None if there are none."""
    if not texts:
        return None
    drop_unknown(TEXT, texts)
    _check(TEXT, "text", texts)
    help = "Text, number of windows and tokens per window; a colour compares with dense under this protocol."
    return st.selectbox("Perplexity on", list(texts), key=TEXT, help=help, **BOUND)


def pick_rows(nodes: pd.DataFrame) -> tuple[str, list[str]]:
    """Show the fields of the family and of the methods to open, and return both choices."""
    first = nodes[nodes["depth"] == 1]
    families = list(dict.fromkeys(first["family"]))
    if not families:
        return DENSE, []
    drop_unknown(FAMILY, families)
    _check(FAMILY, "family", [family.capitalize() for family in families], str.capitalize)
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
    drop_unknown(METHODS, methods)
    _check(METHODS, "method", [label(name) for name in methods], label)
    opened = st.multiselect(
        "Open methods",
        methods,
        default=largest_method(nodes, family),
        format_func=label,
        key=METHODS,
        placeholder="None",
        help="A method that is not open is one row of the tree.",
        **BOUND,
    )
    return family, opened


def pick_nodes(nodes: pd.DataFrame, names: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Show the fields of the node with details and of the one to compare it with, and return both choices."""
    chosen = []
    for field, title, empty in (
        (NODE, "Details of a node", "Select a node on the tree or here"),
        (OTHER, "Compared with", "The former node, or one from here"),
    ):
        drop_unknown(field, names)
        _check(field, "node", names.values(), names.__getitem__)
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


def _check(key: str, field: str, accepted: Container[str], form: Callable[[str], str] = str) -> None:
    """Check the values of a link; those of a visitor's own choice may be in the address until the page is complete."""
    if key not in st.session_state:
        check_link(key, field, accepted, form)
