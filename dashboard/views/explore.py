"""Explore: what a model loses, and what it saves, as more of it is removed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.analysis.differences import shown_together
from core.chain import DENSE
from core.words import amount
from dashboard import data
from dashboard.charts import figures, paired, points
from dashboard.charts.comparison import FORMATS, WIDTHS, comparison
from dashboard.exports.files import Item
from dashboard.panels import offers, widgets
from dashboard.panels.accuracy import Scored, show_accuracy
from dashboard.panels.compare import beside_dense
from dashboard.panels.details import show_details
from dashboard.panels.pickers import made_with, pick, text_of


def curve(chosen: dict, dense: pd.DataFrame, found: pd.DataFrame, at: str) -> list:
    """Show perplexity against what was removed, and offer the points that are missing."""
    measured, axis = chosen["measured"], chosen["axis"]
    protocol = measured["protocol"].iloc[0] if len(measured) else ""
    caption = f"{chosen['model']}, perplexity on {chosen['corpus']}: {protocol}.{made_with(chosen)}"
    caption += " Bars: one standard error" + (
        ", or the range over seeds where the legend says so." if (found["seeds"] > 1).any() else "."
    )
    ratio = found.loc[found["where"] == at, "ratio"]
    if found[axis.column].isna().all():
        st.info("No latency was measured for these points yet. Tick 'Latency' on the Run page to measure it.")
        return []
    item = widgets.show_chart(
        "explore_curve",
        lambda theme: figures.perplexity_curve(
            found, dense, axis, theme, chosen["corpus"], float(ratio.iloc[0]) if len(ratio) else None
        ),
        caption,
        found.drop(columns=["key", "spread"]),
        alt=f"Perplexity of {chosen['model']} against {axis.title.lower()}, a line for each method",
        on_select=clicked,
    )
    return [item]


def clicked() -> None:
    """Open the details of the point that was clicked."""
    selected = st.session_state["explore_curve"].selection.points
    if selected and selected[0].get("customdata"):
        st.session_state["explore_point"] = selected[0]["customdata"][0]


def offer_points(chosen: dict, dense: pd.DataFrame, found: pd.DataFrame) -> None:
    """Offer to run what the curve lacks: of plain methods, and of the chains that have a point."""
    patterns = sorted(set(found["pattern"].dropna()))
    plain = points.missing(found, chosen["methods"], patterns)
    if dense.empty:
        plain = [DENSE, *plain]
    offer_chains("explore_run_missing", chosen, plain, "", "Not measured yet")
    chains = points.missing_chains(found, patterns)
    offer_chains("explore_run_chains", chosen, chains, " of chains", "Not measured yet of chains")


def offer_chains(key: str, chosen: dict, wanted: list[str], whose: str, said: str) -> None:
    """Offer to run these chains, which are `said` to be missing."""
    if not wanted:
        return
    with st.spinner("Estimating ..."):
        offer = offers.offer(
            *(chosen["model"], wanted, chosen["calibration"], chosen["training"], [text_of(chosen)]),
            stamp=data.store().stamp(),
        )
    ordered = sorted(map(points.chain_amount, wanted), key=lambda one: (one[1] or "", one[0] or 0))
    amounts = ", ".join(dict.fromkeys(amount(*one) for one in ordered)).replace("nothing removed", DENSE)
    st.caption(f"{said}: {len(wanted)} {'points' if len(wanted) > 1 else 'point'} ({amounts}).")
    what = "Run the {} missing points" if len(wanted) > 1 else "Run the missing point"
    offers.show_offer(key, offer, what + whose)


def all_points(
    chosen: dict, dense: pd.DataFrame, found: pd.DataFrame, perplexities: pd.DataFrame, scored: Scored
) -> Item:
    """Show every point of the curve in a table, with what can be said of its difference to the dense model."""
    st.subheader("All points", anchor=False)
    accuracies = shown_together(paired.of_shown(scored.differences, found))
    table = comparison(found, scored.means, dense, perplexities, accuracies)
    caption = f"{chosen['model']} on {chosen['corpus']}, every point of the curve beside the dense model."
    if perplexities["why"].isna().any() or accuracies["why"].isna().any():
        caption += " Intervals are of paired differences: the same windows or documents, read by both. Better and worse"
        caption += " are at 5 %, by a paired t test of losses and McNemar's test of accuracies, by Holm's correction"
        caption += " over all points of the column."
    return widgets.show_table("explore_points", table, caption, FORMATS, widths=WIDTHS)


def page() -> None:
    st.title("Explore", anchor=False)
    models = data.models()
    if not models:
        st.info("There are no results yet. Start with a run of the default model.")
        st.page_link("views/run.py", label="Run a model", icon=":material/play_circle:")
        return
    st.markdown("What a language model loses, and what it saves, as more of its weights are removed.")
    chosen = pick(models)
    widgets.show_skipped(chosen["unread"])
    measured = chosen["measured"]
    dense = points.collapse(measured[points.is_dense(measured)])
    found = points.collapse(measured[~points.is_dense(measured)])
    if not chosen["methods"]:
        st.info("Choose at least one method at the left.")
        return
    if found.empty:
        st.info("No perplexity of these methods is there yet: run one, or choose another model or text at the left.")
        if len(measured):
            offer_points(chosen, dense, found)
        return
    steps = points.amounts(found)
    at = steps[0]
    if len(steps) > 1:
        start = "50 %" if "50 %" in steps else steps[len(steps) // 2]
        at = st.select_slider("Weights removed", steps, value=start, key="explore_at", bind="query-params")
    perplexities = shown_together(paired.of_shown(beside_dense(measured), found))
    items = curve(chosen, dense, paired.of_curve(perplexities, found), at)
    offer_points(chosen, dense, found)
    scored = show_accuracy(chosen, found, at)
    items += [*scored.items, all_points(chosen, dense, found, perplexities, scored)]
    items += show_details(pd.concat([dense, found]))
    widgets.export_page("slimscope-explore", items)
    refresh_when_done()


def refresh_when_done() -> None:
    """Look every two seconds, while jobs are active, whether a result has come, and show it."""
    if not data.active_jobs():
        return
    stamp = data.store().stamp()

    @st.fragment(run_every=2)
    def watch() -> None:
        if data.store().stamp() != stamp or not data.active_jobs():
            st.rerun()

    watch()


page()
