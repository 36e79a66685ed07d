"""Table of the nodes of a family tree."""

from __future__ import annotations

import math

import pandas as pd

from core.findings.sharing import shared
from core.notation.chain import DENSE

FORMATS = {"Times dense": "%.3f", "Perplexity": "%.4g", "Packed size (MB)": "%.1f"}
INDENT = "· "  # per level; spaces would be lost in LaTeX


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
