"""The missing points of a curve and numbers of variants, and the buttons that run them with their time estimates."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.data.texts import called
from core.findings.best.budget import ACCURACY
from core.findings.best.candidates import TEXTS
from core.findings.best.qualities import Quality
from core.findings.numbers.reporting import listed
from core.findings.rows import choices, missing, points
from core.findings.rows.other_texts import WINDOWS
from core.findings.sharing import shared
from core.metrics import FIDELITY
from core.notation.chain import DENSE, last_amount, parse
from core.notation.formatting import format_amount, label
from core.specs import EXTERNAL, Perplexity
from dashboard import data
from dashboard.charts.elements.style import is_hollow
from dashboard.explore import offers
from dashboard.shared.pickers import Chosen
from dashboard.shared.series import ELSEWHERE

OPEN, UNSCORED, ESTIMATED = "explore_missing", "explore_unscored", "explore_estimated"  # keys of the expanders
PRESELECTED = 5  # variants to measure, at most


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
    here, on = offers.texts_here(chosen.text, chosen.calibration, chosen.training), ""
    with box:
        if here.lacking:
            there = _measured_on(data.frame(chosen.model), here)
            wanted = {series: [one for one in chains if one not in there] for series, chains in wanted.items()}
            corpus = called(Perplexity.parse(here.text).corpus)
            on = f" on {corpus}"
            names = listed([called(name) for name in here.lacking])
            st.caption(
                f"Not on this machine, and not available for download: {names}. New points use {corpus} and data that "
                "are available here. They have hollow markers and compare by their multiples of dense."
            )
            if not any(wanted.values()):
                st.caption(f"All of these points are measured{on}.")
                show, chosen_value = st.session_state.update, ({ELSEWHERE: True},)
                st.button("Show them, hollow", key="explore_show_elsewhere", on_click=show, args=chosen_value)
                return
        chosen_chains = [chain for series, chains in wanted.items() if chains for chain in _choose(series, chains)]
        if not chosen_chains:
            st.caption("Choose the points to run.")
            return
        button = f"Run these {{}} points{on}" if len(chosen_chains) > 1 else f"Run this point{on}"
        runs = [offers.Wanted(chain, here.calibration, here.train) for chain in chosen_chains]
        key, measures, elsewhere = "explore_run_missing", offers.Measures(here.text), bool(here.lacking)
        offers.show_offer(key, button, chosen.model, runs, measures, elsewhere)


@shared
def _measured_on(frame: pd.DataFrame, here: offers.TextsHere) -> set[str]:
    """Return the chains with a perplexity on these texts."""
    text = Perplexity.parse(here.text)
    rows = frame[(frame["metric"] == "perplexity") & (frame["dataset"] == text.corpus)]
    name = choices.text_name(text.corpus, text.window, text.windows, text.spread)
    same = [choices.text_name(*one) == name for one in rows[WINDOWS].itertuples(index=False, name=None)]
    return set(choices.filter_by_text(rows[same], here.calibration, here.train)["chain"])


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


def offer_numbers(chosen: Chosen, found: pd.DataFrame, quality: Quality) -> None:
    """Offer to measure the quality of variants that fit without it, or that may fit once it is known.

    `found` are rows of `core.findings.best.budget.ranked`. Variants without training are preselected, as they take less
    time.
    """
    lacking = _lacking(found, quality)
    if lacking.empty:
        return
    count = f"{len(lacking)} variants are" if len(lacking) > 1 else "One variant is"
    box = st.expander(f"{count} not ranked: {quality.unscored}", key=UNSCORED, on_change="rerun")
    if not box.open:  # an estimate reads all results
        return
    with box:
        names = {row["key"]: points.point_name(row) for _, row in lacking.iterrows()}
        quick = lacking.loc[lacking["chain"].map(missing.is_training_free).astype(bool), "key"]
        keys = st.multiselect(
            "Variants to measure",
            list(names),
            default=list(quick[:PRESELECTED]),
            format_func=names.__getitem__,
            key=f"{UNSCORED}_{quality.column}",
            help="A variant whose model is not cached is compressed again first.",
        )
        if not keys:
            st.caption("Choose the variants to measure.")
            return
        measures = offers.seven_tasks(chosen) if quality.column == ACCURACY else offers.Measures(chosen.text)
        measures = measures._replace(fidelity=quality.column in FIDELITY)
        button = "Measure these {} variants" if len(keys) > 1 else "Measure this variant"
        runs = _runs(lacking.loc[lacking["key"].isin(keys), ["chain", *TEXTS]])
        offers.show_offer("explore_run_unscored", button, chosen.model, runs, measures)


def offer_estimates(chosen: Chosen, estimates: pd.DataFrame) -> None:
    """Offer to run estimated chains (rows of `combinations.select`): the best one, or all."""
    if estimates.empty:
        return
    count = f"{len(estimates)} estimated chains" if len(estimates) > 1 else "the estimated chain"
    box = st.expander(f"Measure {count}", key=ESTIMATED, on_change="rerun")
    if not box.open:  # an estimate of the time reads all results
        return
    runs = _runs(estimates[["chain", *TEXTS, "seed", "dtype"]])
    with box:
        label, measures = "Measure the best estimate", offers.Measures(chosen.text)
        offers.show_offer("explore_run_best", label, chosen.model, runs[:1], measures)
        if len(estimates) > 1:
            offers.show_offer("explore_run_estimated", "Measure all {} estimates", chosen.model, runs, measures)


def _runs(rows: pd.DataFrame) -> list[offers.Wanted]:
    """Return the run of each row, with its data; and with its seed and precision, if the rows have them."""
    known = rows.assign(seed=rows["seed"].fillna(0).astype(int)) if "seed" in rows else rows
    known = known.astype(object).where(known.notna(), None)
    return [offers.Wanted(*row) for row in known.itertuples(index=False, name=None)]


@shared
def _lacking(found: pd.DataFrame, quality: Quality) -> pd.DataFrame:
    """Return the variants that lack the quality alone and that a run can measure, the lowest perplexity first."""
    only = found["fits"] | (found["undecided"] & (found["misses"] == quality.lacking))
    lacking = found[only & ~found["scored"] & ~found["method"].isin(EXTERNAL)]
    return lacking.sort_values("times_dense", kind="stable")
