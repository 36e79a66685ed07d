"""Explore: what a model loses, and what it saves, as more of it is removed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.chain import DENSE
from core.data.cards import SEVEN
from core.specs import Perplexity, Task
from core.words import amount
from dashboard import data
from dashboard.charts import figures, points
from dashboard.panels import offers, widgets
from dashboard.panels.details import show_details
from dashboard.panels.pickers import pick

MOST_NAMED = 3  # methods on a button

FORMATS = {
    "Perplexity": "%.5g",
    "vs dense": "%+.4g",
    "Mean accuracy (%)": "%.1f",
    "Accuracy vs dense": "%+.1f",
    "Parameters (M)": "%.1f",
    "GMACs": "%.2f",
    "Packed MB": "%.1f",
    "Bits per weight": "%.2f",
    "Model removed (%)": "%.1f",
    "Read (ms a token)": "%.3f",
    "Write (ms a token)": "%.2f",
    "Peak memory (MB)": "%.0f",
}


def made_with(chosen: dict) -> str:
    """Say on which texts what is shown was calibrated and trained."""
    said = f" Calibrated on {chosen['calibration']} where a method reads data." if chosen["calibration"] else ""
    return said + (f" Trained on {chosen['training']} where there was a training." if chosen["training"] else "")


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


def text_of(chosen: dict) -> str:
    """Return the perplexity that is shown, in the command line's notation."""
    row = chosen["measured"].iloc[0]
    windows = None if pd.isna(row["windows"]) else int(row["windows"])
    return str(Perplexity(corpus=chosen["corpus"], window=int(row["window"]), windows=windows))


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


def offer_tasks(chosen: dict, lacking: pd.DataFrame, at: str, limit: float) -> None:
    """Offer to run the seven tasks on the points at this amount that lack them, without those that were trained."""
    quick = lacking[lacking["chain"].map(points.quickly_made).astype(bool)]
    if len(quick):
        tasks = [str(Task(task=task, limit=int(limit) or None)) for task in SEVEN]
        with st.spinner("Estimating ..."):
            offer = offers.offer(
                *(chosen["model"], list(quick["chain"]), chosen["calibration"], chosen["training"]),
                *([text_of(chosen)], tasks, data.store().stamp()),
            )
        names = ", ".join(quick["series"]) if len(quick) <= MOST_NAMED else f"{len(quick)} chains"
        offers.show_offer("explore_run_tasks", offer, f"Run the seven tasks at {at} with {names}")


def accuracy(chosen: dict, found: pd.DataFrame, at: str) -> tuple[list, pd.DataFrame]:
    """Show zero-shot accuracy at the chosen amount; return the exports and every variant's mean of seven."""
    rows = points.headline(chosen["rows"])
    rows = rows.assign(limit=rows["limit"].fillna(0))
    st.subheader(f"Zero-shot accuracy with {at} removed", anchor=False)
    here = points.at_amount(rows, at)
    compressed = here[here["method"] != "dense"]
    limits = list((compressed if len(compressed) else here)["limit"].value_counts().index)
    if len(limits) > 1:
        names = {limit: f"first {int(limit)} documents" if limit else "all documents" for limit in limits}
        limit = st.segmented_control(
            "Documents of each task", limits, default=limits[0], format_func=names.__getitem__, required=True
        )
    else:
        limit = limits[0] if limits else None
    offered = 100.0 if limit is None else limit
    rows = points.one_protocol(rows[rows["limit"] == limit])
    here = points.at_amount(rows, at)
    compressed = here[here["method"] != "dense"]
    means = points.seven_means(rows)
    lacking = found[(found["where"] == at) & ~found["series"].isin(compressed["label"])]
    if len(lacking):
        whose = f" of {', '.join(lacking['series'])}" if len(compressed) else ""
        st.info(f"No zero-shot numbers at {at} yet{whose}.{made_with(chosen)}")
    if compressed.empty:
        offer_tasks(chosen, lacking, at, offered)
        return [], means
    shown = points.accuracies(here)
    both = points.with_mean(shown, here)
    order = list(dict.fromkeys(both["task"]))
    caption = f"{chosen['model']}, zero-shot accuracy at {at}: "
    caption += f"first {int(limit)} documents of each task, " if limit else "all documents of each task, "
    caption += f"{here['dtype'].iloc[0]}.{made_with(chosen)}"
    caption += " Bars: one standard error, or the range over seeds. Dotted: guessing."
    caption += " HellaSwag, ARC-c and OBQA are length-normalised."
    item = widgets.show_chart(
        "explore_accuracy",
        lambda theme: figures.accuracy_dots(both, theme, order),
        caption,
        both.drop(columns=["key", "spread"]),
        alt=f"Zero-shot accuracy per task at {at}, a marker for each method",
    )
    offer_tasks(chosen, lacking, at, offered)
    return [item], means


def page() -> None:
    st.title("Explore", anchor=False)
    frame = data.frame()
    widgets.show_skipped(frame.attrs["warnings"])
    if frame[frame["metric"] == "perplexity"].empty:
        st.info("There are no results yet. Start with a run of the default model.")
        st.page_link("views/run.py", label="Run a model", icon=":material/play_circle:")
        return
    st.markdown("What a language model loses, and what it saves, as more of its weights are removed.")
    chosen = pick(frame)
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
    items = curve(chosen, dense, found, at)
    offer_points(chosen, dense, found)
    accuracies, means = accuracy(chosen, found, at)
    st.subheader("All points", anchor=False)
    table = points.comparison(found, means, dense)
    caption = f"{chosen['model']} on {chosen['corpus']}, every point of the curve beside the dense model."
    items += [*accuracies, widgets.show_table("explore_points", table, caption, FORMATS)]
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
