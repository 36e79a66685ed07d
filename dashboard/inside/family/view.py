"""The tab of the family tree: the variants of a model by the prefixes of their chains, coloured by loss."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.data.texts import called
from core.findings.rows import choices
from dashboard import data
from dashboard.charts.family.chart import family_tree
from dashboard.exports.files import Item, export_name, model_part
from dashboard.inside.family.panel import show_node
from dashboard.inside.family.tree import (
    FORMATS,
    NODE,
    OTHER,
    Tree,
    click,
    node_names,
    node_table,
    nodes_of,
    pick_nodes,
    pick_rows,
    pick_text,
    reveal_linked,
)
from dashboard.inside.selection import Subject
from dashboard.shared import widgets
from dashboard.shared.binding import write_names

CHART, TABLE = "inside_tree", "inside_tree_nodes"  # keys
FIELD = 200  # px: minimum width of a field
WIDTHS = (3, 2)  # of the tree and the details
WIDEST = 320  # px of a column of the table
MARKS = (
    " Each row is a series, and its amounts lie along one line. A row that starts with + is a further stage, below the "
    "chains that it continues. The colour is the multiple of the dense perplexity. A triangle is a diverged model, a "
    "hollow circle has no multiple on this text, and a cross is a chain without results. A square is a method or "
    "family, with its number of variants and their lowest multiple; a click opens or folds it."
)


def show_family(subject: Subject) -> list[Item]:
    """Show the variants of a model as a tree, and the details of a chosen node."""
    texts = choices.texts(subject.rows, data.corpora_here()[0])
    with st.grid(3, min_column_width=FIELD):
        text = pick_text(texts)
        nodes = nodes_of(subject.rows, texts[text] if text else None)
        tree = Tree(subject, nodes, node_names(nodes, subject.names), texts, text)
        for field in (NODE, OTHER):
            write_names(field, tree.names)
        reveal_linked(nodes, tree.names)
        family, opened = pick_rows(nodes)
    drawn, details = st.columns(WIDTHS, gap="medium")
    with details:
        node, other = pick_nodes(nodes, tree.names)
        if node:
            show_node(tree, node, other)
        else:
            st.info("Click a node of the tree for its details. The node before stays chosen, to compare both.")
    with drawn:  # last, as it marks the nodes that the fields choose
        chart = _show_tree(tree, family, opened, [one for one in (node, other) if one])
    table = node_table(tree.nodes, family, opened)
    caption = f"{_caption(tree)} Indented rows continue the chain above them."
    widths = {name: min(wide, WIDEST) for name, wide in widgets.fitting_widths(table, ("Stage", "Remark")).items()}
    return [chart, widgets.show_table(TABLE, table, caption, FORMATS, file=_file(tree, "nodes"), widths=widths)]


def _show_tree(tree: Tree, family: str, opened: list[str], chosen: list[str]) -> Item:
    """Show the chart of the tree."""
    title = f"Perplexity{f' on {called(tree.texts[tree.text][0])}' if tree.text else ''}, times dense"
    return widgets.show_chart(
        CHART,
        partial(family_tree, tree.nodes, family=family, opened=opened, title=title, chosen=chosen),
        _caption(tree),
        node_table(tree.nodes, family, opened),
        f"Family tree: {tree.nodes['key'].notna().sum()} variants of {tree.subject.model} by their stages.",
        file=_file(tree, "family"),
        on_select=partial(click, tree.nodes),
        explained=MARKS,
    )


def _caption(tree: Tree) -> str:
    """Return the first sentence of the captions, with the protocol."""
    start = f"Family tree of {tree.subject.model}"
    if tree.text is None:
        return f"{start}; no perplexity is measured."
    corpus, protocol = tree.texts[tree.text]
    described = choices.on_text(tree.subject.rows, corpus, protocol)["protocol"].iloc[0]
    return f"{start}: perplexity on {called(corpus)} as a multiple of the dense model's, {described}."


def _file(tree: Tree, content: str) -> str:
    return export_name(model_part(tree.subject.model), *([tree.text] if tree.text else []), content)
