"""The answer at the top of Explore: the best of all drawn variants at the chosen amount, and a better one by size."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.analysis.differences import NUMBER
from core.analysis.verdicts import SIGNIFICANT
from core.findings.best import answer as words
from core.findings.best.answer import MOST_TESTED, Best, Winner, answer, find_best, find_smaller, smaller
from core.findings.pairs import paired
from core.findings.rows import choices, points
from core.findings.rows.other_texts import times_dense
from core.findings.sharing import shared
from core.findings.within import numbers_of
from core.specs import EXTERNAL
from dashboard import data
from dashboard.explore.accuracy import Scored
from dashboard.explore.curve_data import Shown
from dashboard.shared import links
from dashboard.shared.literal import literal
from dashboard.shared.pickers import AXIS, BY_SIZE, FAMILIES, SHOWN, TEXT, Chosen


class Smaller(NamedTuple):
    """The sentence on a smaller and better variant of another family, and the rows to show for it."""

    sentence: str
    rows: pd.DataFrame  # of this variant and of the winners
    families: list[str]  # their families


@shared
def best_at(chosen: Chosen, dense: pd.DataFrame, drawn: pd.DataFrame, at: str) -> Best | None:
    """Return the best of the drawn points at an amount; None without any.

    A variant whose ratio is that of some layers only is not at this amount, and one on the grid of the model's own
    file was not compressed.
    """
    measured = chosen.measured
    others = measured.loc[measured["own_grid"].astype(bool) | measured["layers"].notna(), "key"]
    here = points.rows_at(drawn, at)
    return find_best(here[~here["key"].isin(others)], dense)


def show_answer(shown: Shown, drawn: pd.DataFrame, best: Best, at: str) -> None:
    """Show the best of the drawn points at an amount, and a smaller and better variant of another family."""
    chosen, rows = shown.chosen, data.frame(shown.chosen.model)
    st.markdown(_answer(chosen, shown.dense, drawn, best, at, shown.perplexities, shown.scored))
    found = _smaller(chosen, shown.dense, rows, best)
    if found is None:
        return
    address = links.shown(found.rows, st.session_state[TEXT])
    del address[SHOWN]  # all methods of these families
    there = [one.capitalize() for one in dict.fromkeys((*_families(chosen), *found.families))]
    address |= {FAMILIES: there, AXIS: BY_SIZE, "explore_at": at}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(found.sentence, width="content")
        if not (chosen.axis.of_bits and set(found.families) <= set(chosen.measured["family"])):
            label, icon = "Compare by packed size", ":material/compare:"
            st.page_link("explore/view.py", label=label, icon=icon, query_params=address, width="content")


def show_elsewhere(here: pd.DataFrame) -> None:
    """Show the points of other texts (`other_texts`) at an amount, each compared with dense on its own text."""
    if here.empty:
        return
    winners = []
    for _, one in times_dense(here, here["dense_value"]).iterrows():
        found = data.paired([(one["key"],)], one["dense_key"], [tuple(one[list(NUMBER)])])
        winners.append(Winner(one, paired.of_points(found, one.to_frame().T).iloc[0]))
    st.markdown(words.elsewhere(winners, literal))


@shared
def _answer(
    chosen: Chosen,
    dense: pd.DataFrame,
    drawn: pd.DataFrame,
    best: Best,
    at: str,
    perplexities: pd.DataFrame,
    scored: Scored,
) -> str:
    here, base = points.rows_at(drawn, at), points.dense_key(chosen.scores)
    winners = []
    for key in best.keys:
        point = here[here["key"] == key]
        first = point.iloc[0]
        means = scored.means[
            (scored.means["series_label"] == first["series_label"]) & (scored.means["amount_label"] == at)
        ]
        lost, unpaired = None, math.nan
        if len(means):
            unpaired = means["mean"].mean() - scored.means.loc[scored.means["key"] == base, "mean"].mean()
            lost = paired.of_points(scored.mean_differences, point.assign(seeds=len(means))).iloc[0]
        ratio = paired.of_points(perplexities, point).iloc[0]
        winners.append(Winner(first, ratio, _ties(chosen, here, best, key), lost, unpaired))
    known = dense.iloc[0] if len(dense) else None
    return answer(chosen.model, at, best, winners, known, literal)


def _ties(chosen: Chosen, here: pd.DataFrame, best: Best, key: str) -> list[str]:
    """Return the series without a significant loss difference to a winner, Holm-adjusted over those that it beats."""
    beaten = here[here["key"].isin(best.beaten_by(key))].sort_values("value", kind="stable").head(MOST_TESTED)
    seeds = points.seeds_of(chosen.measured)
    found = data.paired([seeds[one] for one in beaten["key"]], seeds[key], numbers_of(chosen.measured))
    tied = found.loc[found["verdict"].notna() & ~found["verdict"].isin(SIGNIFICANT), "key"]
    return list(beaten.loc[beaten["key"].isin(tied), "series_label"])


@shared
def _families(chosen: Chosen) -> list[str]:
    """Return the families of the chosen methods that have points."""
    rows = chosen.measured[chosen.measured["method"].isin(chosen.methods)]
    return list(rows["family"].unique())


@shared
def _smaller(chosen: Chosen, dense: pd.DataFrame, frame: pd.DataFrame, best: Best) -> Smaller | None:
    """Return the best variant of another family that is smaller than the winner, with a significantly lower loss."""
    rows = choices.of_methods(choices.on_text(frame, chosen.corpus, chosen.protocol))
    calibration, training = (
        text or next(iter(others), None)
        for text, others in (
            (chosen.calibration, choices.calibrations(rows)),
            (chosen.training, choices.trainings(rows)),
        )
    )
    rows = choices.filter_by_text(rows, calibration, training)
    rows = rows[~points.is_dense(rows) & ~rows["method"].isin(EXTERNAL)]
    if best.overall not in set(rows["key"]):
        return None
    families = rows.drop_duplicates("key").set_index("key")["family"]
    every = points.collapse(rows)
    every = every.assign(family=every["key"].map(families))
    winner = every[every["key"] == best.overall].iloc[0]
    better = find_smaller(every, winner, winner["family"])
    seeds = points.seeds_of(rows)
    numbers = numbers_of(chosen.measured)
    found = data.paired([seeds[key] for key in better["key"]], seeds[best.overall], numbers)
    clearly = better[better["key"].isin(found.loc[found["verdict"] == SIGNIFICANT[0], "key"])]
    if clearly.empty:
        return None
    first = clearly.iloc[[0]]
    key, family = first["key"].iloc[0], str(first["family"].iloc[0])
    known = dense.iloc[0] if len(dense) else None
    to_dense = data.paired([seeds[key]], points.dense_key(chosen.measured), numbers)
    named = Winner(first.iloc[0], paired.of_points(to_dense, first).iloc[0])
    shown = rows[rows["key"].isin([key, *best.keys])]
    return Smaller(smaller(named, family, known, literal), shown, list(dict.fromkeys(shown["family"])))
