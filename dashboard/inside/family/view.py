"""The tab of the family tree: the variants of a model by the prefixes of their chains, and the details of a node."""

import math
from functools import partial

import pandas as pd
import streamlit as st

from core.base.errors import counted
from core.data.texts import called
from core.findings.axes import PACKED, RATIO
from core.findings.inside.family import path_to
from core.findings.numbers.reporting import UNADJUSTED, format_difference, ratio_words, value_words
from core.findings.rows import choices
from core.metrics import MEANS
from core.notation.chain import DENSE
from core.notation.formatting import format_number
from core.specs import EXTERNAL, TextWindows
from dashboard import data
from dashboard.charts.family.chart import family_tree
from dashboard.exports.files import Item, export_name, model_part
from dashboard.inside.family.tree import (
    FORMATS,
    NODE,
    OTHER,
    Tree,
    choose,
    click,
    node_names,
    node_table,
    nodes_of,
    pick_nodes,
    pick_rows,
    pick_text,
    reveal_linked,
)
from dashboard.inside.offers import link_to_run, text_address
from dashboard.inside.selection import Subject
from dashboard.shared import links, pickers, widgets
from dashboard.shared.binding import ALONE, write_names
from dashboard.shared.job_form import CALIBRATION, TRAINING
from dashboard.shared.links import Address, compared, inside
from dashboard.shared.literal import literal

POINT, MODE, TRADE_OFF = "explore_point", "explore_mode", "By size"  # parameters of Explore, and a value
NARROWEST = 130  # px of a metric
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


def explore_address(subject: Subject, key: str, texts: dict[str, tuple[str, str]], text: str | None) -> Address | None:
    """Return the address of Explore that opens the point of a variant; None without a perplexity.

    `texts` are the perplexities of the model (`choices.texts`), and `text` is the preferred one of them.
    """
    own = subject.rows[subject.rows["key"] == key]
    for name in sorted(texts, key=lambda name: name != text):
        if len(read := choices.on_text(own, *texts[name])):
            return _shown(read, name) | {POINT: read["chain"].iloc[0]}
    return None


def _shown(read: pd.DataFrame, text: str) -> Address:
    """Return the address of the view of Explore that has a point for a perplexity."""
    if read["method"].isin((DENSE, *EXTERNAL)).all():
        return {ALONE: "true", pickers.MODEL: read["model"].iloc[0], pickers.TEXT: text}
    if len(choices.curved(read, RATIO)):
        return links.shown(read, text)
    if len(choices.curved(read, PACKED)):
        return links.shown(read, text) | {pickers.AXIS: pickers.BY_SIZE}
    return {ALONE: "true", MODE: TRADE_OFF, pickers.MODEL: read["model"].iloc[0], pickers.TEXT: text}


def run_address(model: str, node: pd.Series) -> Address:
    """Return the address of the Run page with the chain, the data and the seed of a node."""
    found: Address = {"run_model": data.model_to_run(model), links.CHAIN: node["chain"], "run_dtype": node["dtype"]}
    for purpose, column in ((CALIBRATION, "calibration"), (TRAINING, "train")):
        if node[column]:
            found |= text_address(purpose, TextWindows.parse(node[column]))
    return found if pd.isna(node["chain_seed"]) else found | {"run_seed": f"{node['chain_seed']:.0f}"}


def show_node(tree: Tree, id: str, other: str | None) -> None:
    """Show the details of a node, and the links that compare it with its parent and with another node."""
    node = tree.node(id)
    st.header(tree.name(id), anchor=False)
    st.code(node["chain"], language=None, wrap_lines=True)
    if node["key"] is None:
        st.info("This chain has no results of its own; only longer chains that start with it have some.")
    else:
        _show_numbers(tree, node)
    if node["depth"] > 1:  # the first stage is compared with the dense model already
        st.markdown(_change(tree, node, tree.node(node["parent"])))
    with st.container(horizontal=True, vertical_alignment="center"):
        if node["key"] is None:
            link_to_run("Run this chain", run_address(tree.subject.model, node))
        else:
            _show_links(tree, node, other)
        if node["parent"] is not None:
            st.button("Select its parent", icon=":material/north:", on_click=choose, args=(tree.nodes, node["parent"]))


def _show_numbers(tree: Tree, node: pd.Series) -> None:
    """Show the loss and the size of a node, compared with the dense model."""
    root = tree.node(path_to(tree.nodes, node["node"])[0])
    rows, fidelity = tree.subject.rows, {}
    if tree.text is not None:
        known = choices.on_text(rows[rows["key"] == node["key"]], *tree.texts[tree.text], list(MEANS))
        fidelity = dict(zip(known["metric"], known["value"], strict=True))
    with st.grid(4, min_column_width=NARROWEST, gap="small"):
        times = ratio_words(node["times_dense"]) if math.isfinite(node["times_dense"]) else "–"
        st.metric("Times dense", times, border=True, help="Perplexity as a multiple of the dense model's")
        if pd.notna(node["packed_mb"]):
            dense = f"dense {format_number(root['packed_mb'])}" if pd.notna(root["packed_mb"]) else None
            size = format_number(node["packed_mb"])
            st.metric("Packed size (MB)", size, dense, delta_color="off", delta_arrow="off", border=True)
        for one in (one for one in MEANS.values() if one.name in fidelity):
            unit = "" if one.percent else f", in {one.unit}"
            help = f"{one.relation.capitalize()}{unit}"
            st.metric(one.label, value_words(one.name, fidelity[one.name]), border=True, help=help)
    st.caption(f"{_loss(tree, node, root)} {counted(node['results'], 'result')} in total.")


def _loss(tree: Tree, node: pd.Series, root: pd.Series) -> str:
    """Describe the perplexity of a node, and its ratio to dense with an interval if that is known."""
    if node["reason"]:
        return f"{node['reason'].capitalize()}."
    sentence = f"Perplexity {format_number(node['perplexity'])} on {literal(str(tree.text))}"
    found = tree.ratio(node["key"], root["key"]) if root["key"] and node["depth"] else None
    ratio = f", relative to dense {format_difference(found)} ({UNADJUSTED} interval)" if found else ""
    return f"{sentence}{ratio}{'; the model diverged' * node['diverged']}."


def _change(tree: Tree, node: pd.Series, parent: pd.Series) -> str:
    """Describe the parent of a node, and what the node's stage changed in loss and size."""
    stage = f"**{literal(node['label'])}** follows {tree.name(parent['node'])}"
    if node["key"] is None or parent["key"] is None:
        return f"{stage}, which is not measured." if parent["key"] is None else f"{stage}."
    found, changes = tree.ratio(node["key"], parent["key"]), []
    if found:
        changes.append(f"perplexity {format_difference(found)} ({UNADJUSTED} interval)")
    elif math.isfinite(node["times_dense"]) and math.isfinite(parent["times_dense"]):
        changes.append(f"perplexity x {ratio_words(node['times_dense'] / parent['times_dense'])}")
    if pd.notna(node["packed_mb"]) and pd.notna(parent["packed_mb"]):
        sizes = [format_number(one["packed_mb"]) for one in (parent, node)]
        changes.append(f"packed size from {sizes[0]} to {sizes[1]} MB" if len({*sizes}) > 1 else "the same packed size")
    return f"{stage}: {', '.join(changes)}." if changes else f"{stage}."


def _show_links(tree: Tree, node: pd.Series, other: str | None) -> None:
    """Show the links of a measured node."""
    subject, key = tree.subject, node["key"]
    if address := explore_address(subject, key, tree.texts, tree.text):
        links.show("explore", "Show on Explore", "show_chart", address, "A point of several seeds is their mean.")
    links.show("inside", "Look at its layers", "layers", inside(key, subject.model))
    before = [tree.node(one)["key"] for one in path_to(tree.nodes, node["node"])[:-1]]
    if measured := [one for one in before if one]:
        whose = "parent's" if measured[-1] == node["parent"] else "nearest measured ancestor's"
        address = inside(key, subject.model, measured[-1], "Documents")
        links.show("inside", f"Compare its documents with its {whose}", "compare_arrows", address)
    if other and (second := tree.node(other)["key"]):
        links.show("inside", "Compare both nodes", "table", compared([second, key], subject.model))
        address = inside(key, subject.model, second, "Documents")
        links.show("inside", "Compare the documents of both nodes", "compare_arrows", address)


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
