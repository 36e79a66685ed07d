"""The points that a curve lacks: which of them to run, and how long that takes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.chain import DENSE
from core.formatting import format_amount
from dashboard import data
from dashboard.charts import missing
from dashboard.charts.marks import is_hollow
from dashboard.panels import offers
from dashboard.panels.pickers import Chosen
from dashboard.sharing import shared

OPEN = "explore_missing"  # the key of the part that is opened


def offer_points(chosen: Chosen, dense: pd.DataFrame, found: pd.DataFrame, shown: Sequence[str]) -> None:
    """Offer what the curve lacks: of plain methods, and of the chains that have a point and are `shown`."""
    wanted = _wanted(dense, found, chosen.methods, shown)
    count = sum(map(len, wanted.values()))
    if not count:
        return
    title = f"{count} points are not measured yet" if count > 1 else "One point is not measured yet"
    box = st.expander(title, key=OPEN, on_change="rerun")
    if not box.open:  # an estimate reads all that was measured
        return
    with box:
        ticked = [chain for series, chains in wanted.items() if chains for chain in _tick(series, chains)]
        if not ticked:
            st.caption("Choose the points to run.")
            return
        with st.spinner("Estimating ..."):
            offer = offers.offer(
                *(chosen.model, ticked, chosen.calibration, chosen.training, [chosen.text]),
                stamp=data.stamp(),
            )
        what = "Run these {} points" if len(ticked) > 1 else "Run this point"
        offers.show_offer("explore_run_missing", offer, what)


@shared
def _wanted(
    dense: pd.DataFrame, found: pd.DataFrame, methods: Sequence[str], shown: Sequence[str]
) -> dict[str, list[str]]:
    """Return the chains that the curve lacks, by their series."""
    patterns = sorted(set(filter(is_hollow, found["pattern"])))
    wanted = missing.of_methods(found, methods, patterns)
    if dense.empty:
        wanted = {DENSE.capitalize(): [DENSE]} | wanted
    return wanted | missing.of_chains(found[found["series"].isin(shown)], patterns)


def _tick(series: str, chains: Sequence[str]) -> list[str]:
    """Let amounts of a series be ticked; at first all of a method alone are, and none of a chain."""
    by_amount = {format_amount(*missing.chain_amount(chain)): chain for chain in chains}
    plain = not any("+" in chain for chain in chains)
    chosen = st.pills(
        series,
        list(by_amount),
        selection_mode="multi",
        default=list(by_amount) if plain else [],
        key=f"explore_missing_{series}",
    )
    return [by_amount[one] for one in chosen]
