"""The allocation of the pruning ratio that a sensitivity scan suggests, with a link that runs it."""

from __future__ import annotations

import pandas as pd

from core.findings.inside.allocation import allocated_chain, suggested_ratios
from core.results import Result
from dashboard.charts.sensitivity import scans
from dashboard.exports.files import Item
from dashboard.inside.offers import link_to_run
from dashboard.shared import widgets
from dashboard.shared.links import CHAIN

FORMATS = {"Perplexity, times dense": "%.4f", "Suggested ratio (%)": "%.1f"}


def show_suggestion(result: Result, name: str, file: str) -> list[Item]:
    """Show the pruning ratio of each block that the scan of a variant suggests, if it has a scan by block."""
    rows, stage = scans(result).get("block"), result.variant.stages[0]
    chain = allocated_chain(result.variant.stages)
    if rows is None or chain is None:
        return []
    measured = rows.set_index("block")["perplexity_ratio"]
    ratios = suggested_ratios(measured, stage.required_ratio)
    table = pd.DataFrame(
        {"Block": measured.index, "Perplexity, times dense": measured, "Suggested ratio (%)": 100 * ratios}
    )
    caption = (
        f"{name}: pruning ratio of each block by `allocation=sensitivity`, before a common shift to the target of "
    )
    caption += f"{stage.required_ratio:.0%}. Sensitive blocks lose less.".replace("%", " %")
    item = widgets.show_table("inside_suggestion", table, caption, FORMATS, file=file)
    link_to_run("Run this allocation", {CHAIN: chain})
    return [item]
