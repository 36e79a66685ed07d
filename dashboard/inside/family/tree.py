"""The nodes of the family tree of a model: their names in fields and in the address, and their table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from core.findings.best.budget import PERPLEXITY
from core.findings.inside.family import NOT_MEASURED, family_nodes, path_to
from core.findings.inside.prefixes import distinct
from core.findings.numbers.reporting import TableRow
from core.findings.rows import naming
from core.findings.sharing import shared
from core.notation.chain import DENSE
from dashboard import data
from dashboard.inside.selection import Subject
from dashboard.shared.literal import literal

FORMATS = {"Times dense": "%.3f", "Perplexity": "%.4g", "Packed size (MB)": "%.1f"}
INDENT = "· "  # per level; spaces would be lost in LaTeX


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
