"""The sentence at the top of Explore that names the best series at the chosen amount."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from core.analysis.verdicts import SIGNIFICANT
from dashboard import data
from dashboard.charts.frames import paired, points
from dashboard.charts.frames.answer import answer
from dashboard.explore.accuracy import Scored
from dashboard.explore.compare import numbers_of
from dashboard.shared.pickers import Chosen
from dashboard.sharing import shared


def show_answer(
    chosen: Chosen, dense: pd.DataFrame, here: pd.DataFrame, perplexities: pd.DataFrame, scored: Scored
) -> None:
    """Show which of the points `here`, all of one amount, is best; `perplexities` are their differences to dense."""
    if len(here):
        st.markdown(_answer(chosen, dense, here, perplexities, scored))


@shared
def _answer(chosen: Chosen, dense: pd.DataFrame, here: pd.DataFrame, perplexities: pd.DataFrame, scored: Scored) -> str:
    place = int(here["value"].argmin())
    best, point = here.iloc[place], here.iloc[[place]]
    means = scored.means[
        (scored.means["series_label"] == best["series_label"]) & (scored.means["amount_label"] == best["amount_label"])
    ]
    lost, plainly = None, math.nan
    if len(means):
        base = scored.means.loc[scored.means["key"] == points.dense_key(chosen.scores), "mean"]
        plainly = means["mean"].mean() - base.mean()
        lost = paired.of_points(scored.mean_differences, point.assign(seeds=len(means))).iloc[0]
    ratio = paired.of_points(perplexities, point).iloc[0]
    ties = _ties(chosen, here, best)
    return answer(best["amount_label"], best, ties, ratio, lost, dense.iloc[0] if len(dense) else None, plainly)


def _ties(chosen: Chosen, here: pd.DataFrame, best: pd.Series) -> list[str]:
    """Return the series without a significant loss difference to the best, Holm-adjusted over all of them."""
    seeds = {keys[0]: keys for keys in points.by_seed(chosen.measured)}
    others = here[here["key"] != best["key"]]
    found = data.paired([seeds[key] for key in others["key"]], best["key"], numbers_of(chosen.measured))
    tied = found.loc[found["verdict"].notna() & ~found["verdict"].isin(SIGNIFICANT), "key"]
    return list(others.loc[others["key"].isin(tied), "series_label"])
