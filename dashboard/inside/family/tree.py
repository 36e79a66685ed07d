"""The nodes of the family tree of a model: their names and table, and the fields that choose among them."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.best.budget import PERPLEXITY
from core.findings.inside.family import NOT_MEASURED, distinct, family_nodes, path_to
from core.findings.numbers.reporting import TableRow
from core.findings.rows import naming
from core.findings.sharing import shared
from core.notation.chain import DENSE
from core.notation.formatting import label
from dashboard import data
from dashboard.charts.family.layout import FAMILY as FAMILY_FOLD
from dashboard.charts.family.layout import METHOD as METHOD_FOLD
from dashboard.inside.selection import Subject
from dashboard.shared.binding import BOUND, check_link, multiselect
from dashboard.shared.literal import literal

FORMATS = {"Times dense": "%.3f", "Perplexity": "%.4g", "Packed size (MB)": "%.1f"}
INDENT = "· "  # per level; spaces would be lost in LaTeX
TEXT, FAMILY, METHODS = "inside_tree_text", "inside_tree_family", "inside_tree_methods"
NODE, OTHER = "inside_tree_node", "inside_tree_other"


class Tree(NamedTuple):
    """The nodes of a model, with their names and the chosen perplexities."""

    subject: Subject
    nodes: pd.DataFrame  # as of `core.findings.inside.family.family_nodes`
    names: dict[str, str]  # by id
    texts: dict[str, tuple[str, str]]  # as of `choices.texts`
    text: str | None  # key of `texts`

    def node(self, id: str) -> pd.Series:
        """Return the row of a node."""
        return self.nodes[self.nodes["node"] == id].iloc[0]

    def name(self, id: str) -> str:
        """Return the name of a node as Markdown, without its chain."""
        return literal(self.names[id].partition(naming.JOINT)[0])

    def ratio(self, key: str, reference: str) -> TableRow | None:
        """Return the paired difference of two perplexities on the chosen text; None if they cannot be paired."""
        if self.text is None:
            return None
        corpus, protocol = self.texts[self.text]
        found = data.paired([(key,)], reference, [(corpus, PERPLEXITY, protocol)])
        return next((row for row in found.to_dict("records") if pd.notna(row["verdict"])), None)


@shared
def nodes_of(rows: pd.DataFrame, text: tuple[str, str] | None) -> pd.DataFrame:
    """Return `family_nodes` of the variants in tidy rows; the stages of a variant never change under its key."""
    return family_nodes([one.variant for one in data.results(set(rows["key"])).values()], rows, text)


@shared
def node_names(nodes: pd.DataFrame, names: Mapping[str, str]) -> dict[str, str]:
    """Return the unambiguous name of each node by its id; `names` are those of the measured variants, by key."""
    missing = nodes[nodes["key"].isna()]
    labels = dict(zip(nodes["node"], nodes["label"], strict=True))
    paths = [", then ".join(labels[node] for node in path_to(nodes, last)[1:]) for last in missing["node"]]
    more = missing[["data", "seed", "node"]].itertuples(index=False, name=None)
    parts = [(path, text, seed, node[:8]) for path, (text, seed, node) in zip(paths, more, strict=True)]
    own = {
        node: f"{name or 'Dense'}, {NOT_MEASURED}{naming.JOINT}{chain}"
        for node, chain, name in zip(missing["node"], missing["chain"], distinct(parts), strict=True)
    }
    return {node: names.get(node) or own[node] for node in nodes["node"]}


@shared
def node_table(nodes: pd.DataFrame, family: str, opened: list[str]) -> pd.DataFrame:
    """Return the table of the dense model and the opened methods, or all of the family if none is open.

    Rows are depth first, and names are indented by their depth.
    """
    inside = nodes["first_method"].isin(opened) if opened else nodes["family"] == family
    shown = nodes[inside | (nodes["family"] == DENSE)]
    names = [INDENT * depth + name for depth, name in zip(shown["depth"], shown["label"], strict=True)]
    table = {
        "Stage": names,
        "Amount": [amount.label if amount else "" for amount in shown["amount"]],
        "Times dense": shown["times_dense"].where(shown["times_dense"] != math.inf),
        "Perplexity": shown["perplexity"].where(shown["perplexity"] != math.inf),
        "Packed size (MB)": shown["packed_mb"],
        "Results": shown["results"].astype(int),
        "Remark": [
            "diverged" if diverged else reason
            for diverged, reason in zip(shown["diverged"], shown["reason"], strict=True)
        ],
        "Chain": shown["chain"],
    }
    found = pd.DataFrame(table).reset_index(drop=True)
    return found if any(found["Remark"]) else found.drop(columns="Remark")


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
    opened = multiselect("Open methods", methods, largest, label, METHODS, help, placeholder="None", **BOUND)
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
