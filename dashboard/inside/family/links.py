"""Addresses for a node of the family tree: on Explore and on the Run page."""

from __future__ import annotations

import pandas as pd

from core.findings.axes import PACKED, RATIO
from core.findings.rows import choices
from core.notation.chain import DENSE
from core.specs import EXTERNAL, TextWindows
from dashboard import data
from dashboard.inside.run_links import text_address
from dashboard.inside.selection import Subject
from dashboard.shared import links, pickers
from dashboard.shared.binding import ALONE
from dashboard.shared.links import Address
from dashboard.shared.texts import CALIBRATION, TRAINING

POINT, MODE, TRADE_OFF = "explore_point", "explore_mode", "Trade-off"  # parameters of Explore, and a value


def explore(subject: Subject, key: str, texts: dict[str, tuple[str, str]], text: str | None) -> Address | None:
    """Return the address of Explore that opens the point of a variant; None without a perplexity.

    Args:
        subject: The variants of the model.
        key: Key of the variant.
        texts: The perplexities of the model (`choices.texts`).
        text: The preferred one of them.
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


def run(model: str, node: pd.Series) -> Address:
    """Return the address of the Run page with the chain, the data and the seed of a node."""
    found: Address = {"run_model": data.model_to_run(model), links.CHAIN: node["chain"], "run_dtype": node["dtype"]}
    for purpose, column in ((CALIBRATION, "calibration"), (TRAINING, "train")):
        if node[column]:
            found |= text_address(purpose, TextWindows.parse(node[column]))
    return found if pd.isna(node["chain_seed"]) else found | {"run_seed": f"{node['chain_seed']:.0f}"}
