"""The missing points of a curve, and the button that runs them with its time estimate."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.notation.chain import DENSE, last_amount, parse
from core.notation.formatting import format_amount, label
from dashboard import data
from dashboard.charts.elements.marks import is_hollow
from dashboard.charts.frames import missing
from dashboard.explore import offers
from dashboard.shared.pickers import Chosen
from dashboard.sharing import shared

OPEN = "explore_missing"  # key of the expander


def offer_points(chosen: Chosen, dense: pd.DataFrame, found: pd.DataFrame, shown: Sequence[str]) -> None:
    """Offer to run missing points of single methods, and of highlighted chains (`shown`) that have a point."""
    wanted = _wanted(dense, found, chosen.methods, shown)
    count = sum(map(len, wanted.values()))
    if not count:
        return
    title = f"{count} points are not measured yet" if count > 1 else "One point is not measured yet"
    box = st.expander(title, key=OPEN, on_change="rerun")
    if not box.open:  # an estimate reads all results
        return
    with box:
        chosen_chains = [chain for series, chains in wanted.items() if chains for chain in _choose(series, chains)]
        if not chosen_chains:
            st.caption("Choose the points to run.")
            return
        with st.spinner("Estimating ..."):
            offer = offers.offer(
                *(chosen.model, chosen_chains, chosen.calibration, chosen.training, [chosen.text]),
                stamp=data.stamp(),
            )
        button = "Run these {} points" if len(chosen_chains) > 1 else "Run this point"
        offers.show_offer("explore_run_missing", offer, button)


@shared
def _wanted(
    dense: pd.DataFrame, found: pd.DataFrame, methods: Sequence[str], shown: Sequence[str]
) -> dict[str, list[str]]:
    """Return the missing chains by series."""
    patterns = sorted(set(filter(is_hollow, found["pattern"])))
    wanted = missing.of_methods(found, methods, patterns)
    if dense.empty:
        wanted = {label(DENSE): [DENSE]} | wanted
    return wanted | missing.of_chains(found[found["series_label"].isin(shown)], patterns)


def _choose(series: str, chains: Sequence[str]) -> list[str]:
    """Show the missing amounts of a series; preselect all for a single method and none for a chain."""
    by_amount = {format_amount(last_amount(parse(chain))): chain for chain in chains}
    plain = not any("+" in chain for chain in chains)
    chosen = st.pills(
        series,
        list(by_amount),
        selection_mode="multi",
        default=list(by_amount) if plain else [],
        key=f"explore_missing_{series}",
    )
    return [by_amount[one] for one in chosen]
